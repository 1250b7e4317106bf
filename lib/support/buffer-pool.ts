/**
 * Memory for buffers of several kilobytes and more that come and go constantly. Allocating them each time costs more
 * than using them: the system clears the pages, and their size triggers garbage collections.
 *
 * Buffers are pooled by exact size, so callers should use few different sizes. The pool is bounded; buffers beyond
 * that, and buffers that are never returned, are garbage-collected as usual.
 */
export class BufferPool {
  private readonly spares = new Map<number, Buffer[]>()
  private spareBytes = 0

  /** @param spareBytesMax bound on the bytes kept for reuse */
  constructor (private readonly spareBytesMax: number) {}

  /** A buffer of exactly this size, with arbitrary content. */
  take (bytes: number): Buffer {
    const spare = this.spares.get(bytes)?.pop()
    if (spare === undefined) return Buffer.allocUnsafeSlow(bytes)
    this.spareBytes -= bytes
    return spare
  }

  /** Returns a buffer to the pool; it must not be used afterwards. */
  giveBack (room: Buffer): void {
    const { length } = room
    if (this.spareBytes + length > this.spareBytesMax) return
    this.spareBytes += length
    const alike = this.spares.get(length)
    if (alike === undefined) this.spares.set(length, [room])
    else alike.push(room)
  }
}
