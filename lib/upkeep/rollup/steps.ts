/**
 * Work in steps of a number of buckets, each its own transaction or refresh. Steps grow while they are quick, since
 * each has a fixed cost, and shrink when they are slow. The size is kept between turns.
 */

/** A minute of buckets. */
const BUCKETS_MIN = 6

export interface StepBounds {
  /** For sparse or cheap buckets. */
  readonly bucketsMax: number
  /** A quicker step is too small. */
  readonly quickMs: number
  /** A slower step is too large. */
  readonly slowMs: number
}

export class Steps {
  private buckets = BUCKETS_MIN

  constructor (private readonly bounds: StepBounds) {}

  /** Runs until nothing is left or time is up; true: there is more. @param step true: there is more */
  async take (turnMs: number, step: (buckets: number) => Promise<boolean>): Promise<boolean> {
    const endMs = performance.now() + turnMs
    for (let nowMs = performance.now(); nowMs < endMs;) {
      if (!await this.attempt(step)) return false
      nowMs = this.adapt(nowMs)
    }
    return true
  }

  /** A failed step may have been too large. */
  private async attempt (step: (buckets: number) => Promise<boolean>): Promise<boolean> {
    const { buckets } = this
    this.buckets = BUCKETS_MIN
    const more = await step(buckets)
    this.buckets = buckets
    return more
  }

  /** Adapts the size to a step that began at beganMs; returns the current time. */
  private adapt (beganMs: number): number {
    const nowMs = performance.now()
    if (nowMs - beganMs < this.bounds.quickMs) this.buckets = Math.min(this.buckets * 2, this.bounds.bucketsMax)
    if (nowMs - beganMs > this.bounds.slowMs) this.buckets = Math.max(this.buckets >> 1, BUCKETS_MIN)
    return nowMs
  }
}
