/**
 * A window remembers which sequence numbers of one name, epoch and address have been seen: a range of numbers, and a
 * bitmap of the highest SEQUENCE_WINDOW of them.
 *
 *       first             highest - SEQUENCE_WINDOW        highest     + JUMP_MAX
 *    ─────┼──────────────────────────┼────────────────────────┼────────────┼────────▶ seq
 *    new  │          stale           │   late or duplicate    │   fresh    │  new
 *
 *   fresh      just above the highest number: the window advances, and the numbers it skips become missing
 *   late       in the bitmap, not seen yet: accepted, and no longer missing
 *   duplicate  in the bitmap, already seen: dropped
 *   stale      below the bitmap, where nothing is remembered: dropped, because storing twice is worse; stays missing
 *   new        outside every window: accepted as fresh, and opens a window; all others are left alone
 *
 * So a packet with an absurd number or epoch opens a window beside the sender's own, which its packets continue to use.
 * Windows of the same name, epoch and address never overlap. The only window of its epoch covers all numbers from 0 if
 * it opens below SEQUENCE_WINDOW; any other joins midway, at its first packet, and extends down to numbers just below
 * as they arrive.
 */
import { AssertionError, strict as assert } from 'node:assert'
import type { Life } from './life.js'

/** Numbers below the highest for which a repeat is recognized. A power of two. */
export const SEQUENCE_WINDOW = 4096
/** How far above its highest number a window follows at once; also the furthest that one forged packet can push it. */
export const JUMP_MAX = 256

/** A window as plain data. */
export interface SavedWindow {
  readonly address: string
  readonly first: number
  readonly highest: number
  readonly heardMs: number
  /** The bitmap, base64. */
  readonly seen: string
}

export class Window {
  first = 0
  highest = 0
  heardMs = 0
  private readonly seen = new Uint32Array(SEQUENCE_WINDOW / 32)

  constructor (public life: Life, public address: string) {}

  static load (life: Life, { address, first, highest, heardMs, seen }: SavedWindow): Window {
    const window = new Window(life, address)
    Object.assign(window, { first, highest, heardMs })
    Buffer.from(window.seen.buffer).set(Buffer.from(seen, 'base64'))
    return window
  }

  save (): SavedWindow {
    const { address, first, highest, heardMs, seen } = this
    return { address, first, highest, heardMs, seen: Buffer.from(seen.buffer).toString('base64') }
  }

  /** Starts over, for another life. */
  open (life: Life, address: string): this {
    this.life = life
    this.address = address
    this.first = life.first
    this.highest = life.highest
    this.heardMs = life.lastSeenMs
    this.seen.fill(0)
    this.mark(life.highest)
    return this
  }

  has (seq: number): boolean {
    const bit = seq & (SEQUENCE_WINDOW - 1)
    return ((this.seen[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0
  }

  mark (seq: number): void {
    const bit = seq & (SEQUENCE_WINDOW - 1)
    this.seen[bit >>> 5] = (this.seen[bit >>> 5] ?? 0) | (1 << (bit & 31))
  }

  /** Advances to seq; the numbers it skips are unseen. */
  advance (seq: number): void {
    // Not assert(): its call would cost every packet more than the comparison.
    const by = seq - this.highest
    if (by <= 0 || by > JUMP_MAX) throw new AssertionError({ message: 'a window advances by 1 to JUMP_MAX' })
    this.moveTo(seq)
  }

  /** Advances by any number, for a sender whose numbers are believed. */
  leap (seq: number): void {
    assert(seq > this.highest, 'a window advances')
    if (seq - this.highest >= SEQUENCE_WINDOW) {
      this.seen.fill(0)
      this.highest = seq - 1
    }
    this.moveTo(seq)
  }

  /** Extends down to seq. */
  extendDown (seq: number): void {
    assert(seq < this.first && seq > this.highest - SEQUENCE_WINDOW, 'a window extends down within its bitmap')
    this.first = seq
    this.mark(seq)
  }

  private moveTo (seq: number): void {
    for (let next = this.highest + 1; next < seq; next++) {
      const bit = next & (SEQUENCE_WINDOW - 1)
      this.seen[bit >>> 5] = (this.seen[bit >>> 5] ?? 0) & ~(1 << (bit & 31))
    }
    this.mark(seq)
    this.highest = seq
  }
}
