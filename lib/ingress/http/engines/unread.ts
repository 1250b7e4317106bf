/**
 * What clients have not read yet: answers, and chunks of streams, that did not fit into their connections. A worker
 * keeps them until they do, all together within UNREAD_BYTES_MAX, so that clients who do not read cannot fill its
 * memory:
 *
 * - A large answer for which there is no room is refused (HttpExchange.reply); a small one costs its connection.
 * - An event is dropped, as for any slow client. Chunks of exports, of which few run at a time, are always kept.
 * - A client that takes nothing for a stall timeout is cut off, so that nobody holds room for good.
 */
import { NOT_LISTED } from '../../../support/roster.js'
import { StallTicks, type BodyWatch, type Watched } from './body.js'
import type { UnreadTotal } from './unread-total.js'

/** What one client has not read yet. */
export class Unread implements Watched {
  place = NOT_LISTED
  private bytes = 0
  private hasMoved = false
  private ticks = new StallTicks()

  /**
   * @param cut closes the connection
   * @param isNext false: earlier answers of the connection come first, so its client is not expected to take anything
   */
  constructor (
    private readonly watch: BodyWatch,
    private readonly total: UnreadTotal,
    private readonly cut: () => void,
    private readonly isNext = (): boolean => true
  ) {}

  /** More is kept. */
  add (bytes: number): void {
    this.bytes += bytes
    this.total.bytes += bytes
  }

  /** Something small is kept, and expected to be taken. False: there is no room, and the connection was cut off. */
  addIfRoom (bytes: number): boolean {
    if (!this.total.hasRoom(bytes)) {
      this.cutOff()
      return false
    }
    this.add(bytes)
    this.expect()
    return true
  }

  /** From now on, the client must take something in each stall timeout. */
  expect (): void {
    if (this.place === NOT_LISTED) this.ticks = new StallTicks()
    this.watch.add(this)
  }

  /** The client has taken something. */
  moved (): void {
    this.hasMoved = true
  }

  /** The connection takes more, and whether anything is still kept will show with the next chunk. */
  rest (): void {
    this.watch.delete(this)
  }

  /** Nothing is kept any more. */
  clear (): void {
    this.total.bytes -= this.bytes
    this.bytes = 0
    this.watch.delete(this)
  }

  tick (): void {
    if (!this.isNext() || !this.ticks.next()) return
    if (!this.hasMoved) this.cutOff()
    this.hasMoved = false
  }

  private cutOff (): void {
    this.total.cut++
    this.cut()
  }
}
