/**
 * Memory for buffers of some kilobytes and more that come and go all the time. Made anew each time, they cost more than
 * what is done with them: pages that the system clears, and collections of the heap that their size brings on.
 *
 * Rooms are kept by their exact size, so whoever takes them asks for few different sizes. What is kept for later is bounded;
 * rooms beyond that, and rooms that are never given back, are collected as any buffer is.
 */
export class RoomPool {
  private readonly spares = new Map<number, Buffer[]>()
  private spareBytes = 0

  /** @param spareBytesMax kept at most for those who come */
  constructor (private readonly spareBytesMax: number) {}

  /** A buffer of exactly so many bytes, with anything in it. */
  take (bytes: number): Buffer {
    const spare = this.spares.get(bytes)?.pop()
    if (spare === undefined) return Buffer.allocUnsafeSlow(bytes)
    this.spareBytes -= bytes
    return spare
  }

  /** Takes a room back; nobody may read or write it afterwards. */
  giveBack (room: Buffer): void {
    const { length } = room
    if (this.spareBytes + length > this.spareBytesMax) return
    this.spareBytes += length
    const alike = this.spares.get(length)
    if (alike === undefined) this.spares.set(length, [room])
    else alike.push(room)
  }
}
