/**
 * When an open batch closes while the journal is idle: at once, or a moment later together with what comes meanwhile.
 *
 * A group of the spool costs the same however few requests share it, so that a steady stream of single points would keep
 * the machine busy with syncs for a handful each. So batches keep a distance while requests come fast enough to share
 * one. Nobody waits for nothing:
 *
 *   few requests expected within the distance ─► close in this turn of the event loop (one client alone never waits)
 *   everybody who had a request under way lately waits in this batch ─► close now: nobody is left to come
 *   otherwise ─► close when the distance from the batch before is over; a slow disk has used it up already
 */

/** From the close of one batch to that of the next, while many requests come. Part of the latency of a 202. */
export const GATHER_MS_MAX = 8
/** Fewer requests than this within GATHER_MS_MAX are not worth the wait. */
const COMPANY_MIN = 4
/** The most requests under way at once are remembered for one to two of these. */
const PEAK_WINDOW_MS = 250
/** What came in about so long makes the rate of requests. */
const RATE_MS = 40

export class Gathering {
  /** Most requests under way in this window, and in the one before. */
  private peak = 0
  private peakBefore = 0
  private peakSinceMs = 0
  /** Requests of the open batch. */
  private requests = 0
  private requestsPerMs = 0
  private closedMs = 0

  /** A request was appended to the open batch. @param underWay requests that wait for an answer, in this batch or another */
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

  /** Milliseconds that the open batch should still wait; 0 and less: none. */
  restMs (underWay: number, nowMs: number): number {
    if (this.isComplete(underWay)) return 0
    const sinceMs = nowMs - this.closedMs
    // After a pause the rate of before says nothing.
    const perMs = Math.min(this.requestsPerMs, Math.max(this.requests, 1) / Math.max(sinceMs - GATHER_MS_MAX, 0.1))
    return perMs * GATHER_MS_MAX < COMPANY_MIN ? 0 : GATHER_MS_MAX - sinceMs
  }

  /** Everybody who had a request under way lately waits. */
  isComplete (underWay: number): boolean {
    return underWay > 0 && underWay >= this.peak && underWay >= this.peakBefore
  }
}
