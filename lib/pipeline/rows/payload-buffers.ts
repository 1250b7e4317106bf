/**
 * The memory of payloads, used again when a payload is stored.
 *
 *   take ─► filled by the open batch ─► lend: the payload, a view of its room ─► journal, drain ─► giveBack ─► take …
 *
 * A payload is given back once at most: its room is known by that very view, and forgotten with it. One that nobody gives
 * back is collected with its room, as if there were no pool.
 */
import { RoomPool } from '../../support/buffer-pool.js'

/** About what a worker at full load has on its way, beside what the drain has taken. */
const SPARE_BYTES_MAX = 8 * 1024 * 1024
/** Smaller ones cost less than looking after them. */
const ROOM_BYTES_MIN = 4096

/** Sizes of rooms: four in each power of two, so that less than a fifth of a room stays empty. */
export function roomBytes (bytesMin: number): number {
  if (bytesMin <= ROOM_BYTES_MIN) return ROOM_BYTES_MIN
  const step = 2 ** (Math.floor(Math.log2(bytesMin - 1)) - 2)
  return Math.ceil(bytesMin / step) * step
}

export class PayloadRooms {
  private readonly pool = new RoomPool(SPARE_BYTES_MAX)
  private readonly rooms = new WeakMap<Buffer, Buffer>()

  /** A buffer of at least so many bytes. */
  take (bytesMin: number): Buffer {
    return this.pool.take(roomBytes(bytesMin))
  }

  /** A payload to be filled, in as little memory as there is need for: a journal may hold very many small ones. */
  payload (bytes: number): Buffer {
    return bytes < ROOM_BYTES_MIN ? Buffer.allocUnsafeSlow(bytes) : this.lend(this.take(bytes), bytes)
  }

  /** The first bytes of a room, to be given back as a whole. */
  lend (room: Buffer, bytes: number): Buffer {
    const payload = room.subarray(0, bytes)
    this.rooms.set(payload, room)
    return payload
  }

  /** Nobody reads this payload any more. One that was not lent here, or was given back before, is left alone. */
  giveBack (payload: Buffer): void {
    const room = this.rooms.get(payload)
    if (room === undefined) return
    this.rooms.delete(payload)
    this.pool.giveBack(room)
  }

  /** A room that was never lent. */
  giveRoomBack (room: Buffer): void {
    this.pool.giveBack(room)
  }
}
