/**
 * Connections that were answered before their request had arrived, and are about to be closed. Shared by both engines.
 *
 * Closing a socket that has unread bytes resets the connection, and a client that is still sending may then lose the
 * answer that it has not read (RFC 9112, 9.6). Reading the bytes would cost what the early answer saves. So nothing
 * more is read, and the socket is closed only once its client has had time to read the answer. A client that sends on
 * meanwhile fills the buffers of its connection, no more. How long and how many is bounded.
 */
import { NOT_LISTED } from '../../../support/roster.js'
import { TICKS_PER_STALL, type BodyWatch, type Watched } from './body.js'

/**
 * As much of a body that was answered early is read and discarded, so that its connection serves on. Reading more would
 * cost more than a new connection does. As much as uWebSockets.js reads at once: so a longer body cannot have arrived
 * together with its head and the next request.
 */
export const DISCARDED_BYTES_MAX = 512 * 1024
/** More than that: the oldest is closed. On node:http each may hold a read of 64 KB. */
export const LINGERING_MAX = 256
/** Two seconds, with the default stall timeout. */
const TICKS = TICKS_PER_STALL / 4

interface Connection {
  destroy (): void
}

export class Lingering {
  private readonly oldestFirst = new Map<Connection, Grace>()

  constructor (private readonly watch: BodyWatch) {}

  /** Destroys it in a while. The caller deletes it once it is closed. */
  add (connection: Connection): void {
    if (this.oldestFirst.has(connection)) return
    const grace = new Grace(() => this.destroy(connection))
    this.oldestFirst.set(connection, grace)
    this.watch.add(grace)
    const [oldest] = this.oldestFirst.keys()
    if (this.oldestFirst.size > LINGERING_MAX && oldest !== undefined) this.destroy(oldest)
  }

  delete (connection: Connection): void {
    const grace = this.oldestFirst.get(connection)
    if (grace === undefined) return
    this.oldestFirst.delete(connection)
    this.watch.delete(grace)
  }

  /** Destroys all. */
  close (): void {
    for (const connection of [...this.oldestFirst.keys()]) this.destroy(connection)
  }

  private destroy (connection: Connection): void {
    this.delete(connection)
    connection.destroy()
  }
}

class Grace implements Watched {
  place = NOT_LISTED
  private ticks = 0

  constructor (private readonly destroy: () => void) {}

  tick (): void {
    if (++this.ticks === TICKS) this.destroy()
  }
}
