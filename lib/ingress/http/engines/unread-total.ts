/** How much a worker keeps for clients that have not read it yet (unread.ts), and what had to be refused for that. */

/** Of one worker. */
export const UNREAD_BYTES_MAX = 64 * 1024 * 1024
/** No larger answer is sent without room for it. */
export const SMALL_ANSWER_BYTES = 16 * 1024

/** All of one worker. */
export class UnreadTotal {
  /** Kept now. */
  bytes = 0
  /** Large answers that were refused. */
  refused = 0
  /** Connections closed because their clients took nothing, or because there was no room. */
  cut = 0
  /** Chunks of event streams that were dropped because there was no room. */
  dropped = 0

  constructor (private readonly bytesMax = UNREAD_BYTES_MAX) {}

  hasRoom (bytes: number): boolean {
    return this.bytes + bytes <= this.bytesMax
  }

  /** Whether a large answer may be sent; counts those that may not. */
  admits (bytes: number): boolean {
    const isAdmitted = this.hasRoom(bytes)
    if (!isAdmitted) this.refused++
    return isAdmitted
  }

  /** Whether a chunk of an event stream may be sent; counts those that may not. */
  admitsEvent (chunk: string | Buffer): boolean {
    const isAdmitted = this.hasRoom(chunk.length)
    if (!isAdmitted) this.dropped++
    return isAdmitted
  }
}
