/**
 * Work in steps of so many buckets, each a transaction or a refresh of its own. Steps grow while they are quick, since each
 * costs something however little is in it, and get smaller when they are slow. The size is kept from turn to turn.
 */

/** A minute of buckets. */
const BUCKETS_MIN = 6

export interface StepBounds {
  /** Where there is little in them, or it is cheap. */
  readonly bucketsMax: number
  /** A step that takes less is too small. */
  readonly quickMs: number
  /** A step that takes more is too large. */
  readonly slowMs: number
}

export class Steps {
  private buckets = BUCKETS_MIN

  constructor (private readonly bounds: StepBounds) {}

  /** Until nothing is left or the time is over; true: there is more. @param step true: there is more */
  async take (turnMs: number, step: (buckets: number) => Promise<boolean>): Promise<boolean> {
    const endMs = performance.now() + turnMs
    for (let nowMs = performance.now(); nowMs < endMs;) {
      if (!await this.attempt(step)) return false
      nowMs = this.note(nowMs)
    }
    return true
  }

  /** What fails may have been too much. */
  private async attempt (step: (buckets: number) => Promise<boolean>): Promise<boolean> {
    const { buckets } = this
    this.buckets = BUCKETS_MIN
    const more = await step(buckets)
    this.buckets = buckets
    return more
  }

  /** A step began then, and has ended. Gives the time. */
  private note (beganMs: number): number {
    const nowMs = performance.now()
    if (nowMs - beganMs < this.bounds.quickMs) this.buckets = Math.min(this.buckets * 2, this.bounds.bucketsMax)
    if (nowMs - beganMs > this.bounds.slowMs) this.buckets = Math.max(this.buckets >> 1, BUCKETS_MIN)
    return nowMs
  }
}
