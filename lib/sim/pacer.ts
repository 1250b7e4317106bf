/**
 * Decides which points are due: an open loop, driven by the clock alone and never by responses.
 *
 * The points of a run are numbered from 0; point n is due n / rate seconds after the start and belongs to satellite n
 * modulo the number of satellites, which spreads the satellites evenly. take() returns at most SLICE_MS of points at a
 * time. Points more than CATCH_UP_MS late are skipped and counted: a stall is not made up for by a burst.
 *
 * A run of many messages a second warms up first: both programs' code is compiled while it runs, and a machine that can
 * keep a rate cannot keep it from the first moment. It ramps up evenly from START_PER_SECOND.
 */

/** Points due within this time are returned at once. */
const SLICE_MS = 5
/** Points later than this are skipped. */
const CATCH_UP_MS = 100
/** Messages per second that need no warm-up. */
const START_PER_SECOND = 1_000
/** How much the rate rises in a second of warm-up. */
const RISE_PER_SECOND = 4_000
/** Longest warm-up, and as a share of the run. */
const WARM_UP_MS_MAX = 3_000
const WARM_UP_SHARE_MAX = 0.25

export interface PacerOptions {
  /** Of the whole fleet. */
  readonly pointsPerSecond: number
  /** Points per request or packet. */
  readonly pointsPerMessage: number
  /** Length of the run; Infinity: until stopped. */
  readonly durationMs: number
}

/** Consecutive points that are due. */
export interface Slice {
  /** Number of the first point. */
  first: number
  count: number
}

export class Pacer {
  /** Points skipped because they were too late. */
  skippedPoints = 0
  /** From the start of the run; 0: none. */
  readonly warmUpMs: number
  private readonly slice: Slice = { first: 0, count: 0 }
  private readonly pointsPerMs: number
  /** Of the warm-up: the rate that it starts with, and how much that rises in a millisecond. */
  private readonly startPerMs: number
  private readonly risePerMs: number
  private readonly warmUpPoints: number
  private readonly slicePointsMax: number
  private readonly durationMs: number
  private readonly pointsMax: number
  private nextPoint = 0

  constructor (options: PacerOptions) {
    const { durationMs, pointsPerSecond, pointsPerMessage } = options
    this.pointsPerMs = pointsPerSecond / 1000
    this.slicePointsMax = Math.max(1, Math.floor(this.pointsPerMs * SLICE_MS))
    this.durationMs = durationMs
    const risePerSecond = pointsPerSecond / pointsPerMessage - START_PER_SECOND
    this.warmUpMs = risePerSecond <= 0
      ? 0
      : Math.min(risePerSecond / RISE_PER_SECOND * 1000, WARM_UP_MS_MAX, durationMs * WARM_UP_SHARE_MAX)
    this.startPerMs = Math.min(this.pointsPerMs, START_PER_SECOND * pointsPerMessage / 1000)
    this.risePerMs = this.warmUpMs === 0 ? 0 : (this.pointsPerMs - this.startPerMs) / this.warmUpMs
    this.warmUpPoints = (this.startPerMs + this.pointsPerMs) / 2 * this.warmUpMs
    this.pointsMax = Math.round(this.pointsBy(durationMs))
  }

  /**
   * The points to send now; the result is valid until the next call. Call again immediately while more are due.
   *
   * @param elapsedMs since the start of the run, on a monotonic clock
   */
  take (elapsedMs: number): Slice {
    this.skip(elapsedMs - CATCH_UP_MS)
    this.slice.first = this.nextPoint
    this.slice.count = Math.min(this.slicePointsMax, this.duePoints(elapsedMs) - this.nextPoint)
    this.nextPoint += this.slice.count
    return this.slice
  }

  /** take() would return points now. */
  isDue (elapsedMs: number): boolean {
    return this.duePoints(elapsedMs) > this.nextPoint
  }

  /** The run's time is up, and all of its points were taken or skipped. */
  isOver (elapsedMs: number): boolean {
    return elapsedMs >= this.durationMs && this.nextPoint >= this.pointsMax
  }

  /** When a point is due, in milliseconds since the start of the run. */
  dueMs (point: number): number {
    if (point >= this.warmUpPoints) return this.warmUpMs + (point - this.warmUpPoints) / this.pointsPerMs
    const { startPerMs, risePerMs } = this
    // The positive root of risePerMs / 2 × ms² + startPerMs × ms = point, in the form without cancellation.
    return 2 * point / (startPerMs + Math.sqrt(startPerMs * startPerMs + 2 * risePerMs * point))
  }

  private skip (latestMs: number): void {
    const late = this.duePoints(latestMs) - this.nextPoint
    if (late <= 0) return
    this.skippedPoints += late
    this.nextPoint += late
  }

  /** Number of points due so far. */
  private duePoints (elapsedMs: number): number {
    if (elapsedMs < 0) return 0
    return Math.min(this.pointsMax, Math.floor(this.pointsBy(elapsedMs)) + 1)
  }

  /** Points whose time has come by then, with fractions. */
  private pointsBy (elapsedMs: number): number {
    return elapsedMs >= this.warmUpMs
      ? this.warmUpPoints + (elapsedMs - this.warmUpMs) * this.pointsPerMs
      : (this.startPerMs + this.risePerMs / 2 * elapsedMs) * elapsedMs
  }
}
