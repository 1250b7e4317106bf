/**
 * Decides when an open batch closes while the journal is idle: at once, or a moment later to include more requests.
 *
 * A spool group costs the same however few requests share it, so a steady stream of single points would keep the
 * machine busy with a sync for every handful. Batches are therefore spaced while requests arrive fast enough to share
 * one, and only if waiting can pay off:
 *
 *   few requests expected within the interval ─► close in this turn of the event loop (a single client never waits)
 *   all recently active requests are in this batch ─► close now: there are no others to wait for
 *   otherwise ─► close when the interval since the previous batch is over; a slow disk has already used it up
 */

/** Minimum interval between closing two batches under load. Adds to the latency of a 202. */
export const GATHER_MS_MAX = 8
/** Fewer requests than this within GATHER_MS_MAX are not worth waiting for. */
const COMPANY_MIN = 4
/** The peak of concurrent requests is remembered for one to two of these windows. */
const PEAK_WINDOW_MS = 250
/** Time constant of the moving average of the request rate. */
const RATE_MS = 40

export class Gathering {
  /** Most concurrent requests in this window, and in the previous one. */
  private peak = 0
  private peakBefore = 0
  private peakSinceMs = 0
  /** Requests of the open batch. */
  private requests = 0
  private requestsPerMs = 0
  private closedMs = 0

  /** A request was appended to the open batch. @param underWay requests awaiting an answer, in this batch or another */
  appended (underWay: number): void {
    this.requests++
    if (underWay > this.peak) this.peak = underWay
  }

  /** The batch was closed. @param nowMs on the monotonic clock */
  closed (underWay: number, nowMs: number): void {
    const sinceMs = Math.max(nowMs - this.closedMs, 0.01)
    this.requestsPerMs += (1 - Math.exp(-sinceMs / RATE_MS)) * (this.requests / sinceMs - this.requestsPerMs)
    this.closedMs = nowMs
    this.requests = 0
    if (nowMs - this.peakSinceMs < PEAK_WINDOW_MS) return
    this.peakBefore = nowMs - this.peakSinceMs < 2 * PEAK_WINDOW_MS ? this.peak : 0
    this.peak = underWay
    this.peakSinceMs = nowMs
  }

  /** Milliseconds that the open batch should still wait; none if 0 or less. */
  restMs (underWay: number, nowMs: number): number {
    if (this.isComplete(underWay)) return 0
    const sinceMs = nowMs - this.closedMs
    // After a pause the earlier rate is meaningless.
    const perMs = Math.min(this.requestsPerMs, Math.max(this.requests, 1) / Math.max(sinceMs - GATHER_MS_MAX, 0.1))
    return perMs * GATHER_MS_MAX < COMPANY_MIN ? 0 : GATHER_MS_MAX - sinceMs
  }

  /** Every recently active request is waiting. */
  isComplete (underWay: number): boolean {
    return underWay > 0 && underWay >= this.peak && underWay >= this.peakBefore
  }
}
