/**
 * Reuses the memory of payloads once they are stored.
 *
 *   take ─► filled by the open batch ─► lend: the payload, a view of its buffer ─► journal, drain ─► giveBack ─► take …
 *
 * A payload is given back at most once: its view is the key to its buffer, and is forgotten with it. One never given
 * back is garbage-collected with its buffer, as if there were no pool.
 */
import { BufferPool } from '../../support/buffer-pool.js'

/** Roughly what a fully loaded worker has in flight, apart from what the drain has taken. */
const SPARE_BYTES_MAX = 8 * 1024 * 1024
/** Smaller buffers cost less to allocate than to track. */
const ROOM_BYTES_MIN = 4096

/** Rounds up to one of four sizes per power of two, which wastes less than a fifth of a buffer. */
export function roomBytes (bytesMin: number): number {
  if (bytesMin <= ROOM_BYTES_MIN) return ROOM_BYTES_MIN
  const step = 2 ** (Math.floor(Math.log2(bytesMin - 1)) - 2)
  return Math.ceil(bytesMin / step) * step
}

export class PayloadBuffers {
  private readonly pool = new BufferPool(SPARE_BYTES_MAX)
  private readonly rooms = new WeakMap<Buffer, Buffer>()

  /** A buffer of at least `bytesMin` bytes. */
  take (bytesMin: number): Buffer {
    return this.pool.take(roomBytes(bytesMin))
  }

  /** A payload to fill, in no more memory than it needs: a journal may hold a great many small ones. */
  payload (bytes: number): Buffer {
    return bytes < ROOM_BYTES_MIN ? Buffer.allocUnsafeSlow(bytes) : this.lend(this.take(bytes), bytes)
  }

  /** The first bytes of a buffer, which is given back as a whole. */
  lend (room: Buffer, bytes: number): Buffer {
    const payload = room.subarray(0, bytes)
    this.rooms.set(payload, room)
    return payload
  }

  /** The payload will not be read again. Ignores one not lent here, or already given back. */
  giveBack (payload: Buffer): void {
    const room = this.rooms.get(payload)
    if (room === undefined) return
    this.rooms.delete(payload)
    this.pool.giveBack(room)
  }

  /** Returns a buffer that was never lent. */
  giveRoomBack (room: Buffer): void {
    this.pool.giveBack(room)
  }
}
