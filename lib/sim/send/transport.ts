/**
 * The seam between the simulator and a way to send points. One file per transport; the run knows only this.
 *
 * Every point that is handed to send() ends in exactly one of `acceptedPoints` and `failures`, at the latest when
 * drain() has resolved.
 */
import type { Histogram } from '../histogram.js'

/** What went wrong, how often, and how the server put it the first time. */
export interface Failure {
  points: number
  /** '' if nobody said more than the cause. */
  readonly example: string
}

export interface TransportStats {
  /** Requests or packets. */
  sentMessages: number
  sentPoints: number
  acceptedPoints: number
  failedPoints: number
  /** By cause: status and code of the server's answer, or the code of a network error. */
  readonly failures: Map<string, Failure>
  /** Answers that asked to wait (Retry-After). They are counted only: the run goes on at its rate. */
  askedToWait: number
  /** Messages are answered one by one; else there are no latencies, and points count as accepted only after drain(). */
  readonly answered: boolean
  /** From send() to the answer, waiting for a free connection included; since somebody last absorbed it. */
  readonly latencies: Histogram
}

export interface Transport {
  /** Points that it takes now; others would wait longer than its bounds allow. */
  readonly room: number
  readonly stats: TransportStats
  /**
   * Sends a point, now or with others shortly after. Never throws, never blocks.
   *
   * @param satellite position in the fleet
   * @param timeMs whole milliseconds since 1970
   * @param values in the order of the catalogue; the caller may change them afterwards
   */
  send (satellite: number, timeMs: number, values: Float64Array): void
  /** Sends what is held back and waits for the answers; those that are not there after the deadline count as failed. */
  drain (deadlineMs: number): Promise<void>
  close (): Promise<void>
}

const CAUSES_MAX = 20
const OTHER_CAUSES = 'other'

/** Counts a failure; beyond CAUSES_MAX causes the rest is counted as one. */
export function countFailure (stats: TransportStats, cause: string, example: string, points: number): void {
  stats.failedPoints += points
  const known = stats.failures.has(cause) || stats.failures.size < CAUSES_MAX
  const key = known ? cause : OTHER_CAUSES
  const failure = stats.failures.get(key)
  if (failure === undefined) stats.failures.set(key, { points, example })
  else failure.points += points
}
