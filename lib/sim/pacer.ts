/**
 * Decides which points are due: an open loop, driven by the clock alone and never by responses.
 *
 * The points of a run are numbered from 0; point n is due n / rate seconds after the start and belongs to satellite n
 * modulo the number of satellites, which spreads the satellites evenly. take() returns at most SLICE_MS of points at a
 * time. Points more than CATCH_UP_MS late are skipped and counted: a stall is not made up for by a burst.
 */

/** Points due within this time are returned at once. */
const SLICE_MS = 5
/** Points later than this are skipped. */
const CATCH_UP_MS = 100

export interface PacerOptions {
  /** Of the whole fleet. */
  readonly pointsPerSecond: number
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
  private readonly slice: Slice = { first: 0, count: 0 }
  private readonly pointsPerMs: number
  private readonly slicePointsMax: number
  private readonly durationMs: number
  private readonly pointsMax: number
  private nextPoint = 0

  constructor (options: PacerOptions) {
    this.pointsPerMs = options.pointsPerSecond / 1000
    this.slicePointsMax = Math.max(1, Math.floor(this.pointsPerMs * SLICE_MS))
    this.durationMs = options.durationMs
    this.pointsMax = Math.round(options.durationMs * this.pointsPerMs)
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
    return point / this.pointsPerMs
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
    return Math.min(this.pointsMax, Math.floor(elapsedMs * this.pointsPerMs) + 1)
  }
}
