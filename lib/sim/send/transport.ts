/**
 * The interface between the simulator and a way to send points: one file per transport.
 *
 * Every point passed to send() ends up in exactly one of `acceptedPoints` and `failures`, at the latest when drain()
 * has resolved.
 */
import { createLatencies, type Latencies } from '../histogram.js'

/** Points that failed for one cause, and the server's message the first time. */
export interface Failure {
  points: number
  /** '' if there is nothing beyond the cause. */
  readonly example: string
}

export interface TransportStats {
  /** Requests or packets. */
  sentMessages: number
  sentPoints: number
  acceptedPoints: number
  failedPoints: number
  /** By cause: status and code of the server's response, or the code of a network error. */
  readonly failures: Map<string, Failure>
  /** Responses that asked to wait (Retry-After). Only counted: the run keeps its rate. */
  askedToWait: number
  /** Messages are answered individually; if not, there are no latencies, and points are accepted only after drain(). */
  readonly answered: boolean
  /** From send() to the response, including the wait for a connection; since the last reset. */
  readonly latencies: Latencies
}

/** Takes the points of one stream. */
export interface Outlet {
  /** Points of a full message. */
  readonly messagePoints: number
  /** Number of points that it accepts now without exceeding its bounds. */
  readonly room: number
  /**
   * Sends a point, now or batched with others shortly after. Never throws, never blocks.
   *
   * @param satellite index in the fleet
   * @param timeMs whole milliseconds since 1970
   * @param values in catalogue order; the caller may reuse the array
   */
  send (satellite: number, timeMs: number, values: Float64Array): void
}

export interface Transport {
  /** Sends what is buffered and waits for responses; points still unanswered at the deadline count as failed. */
  drain (deadlineMs: number): Promise<void>
  close (): Promise<void>
}

/** @param answered see TransportStats */
export function createStats (answered: boolean): TransportStats {
  return {
    sentMessages: 0,
    sentPoints: 0,
    acceptedPoints: 0,
    failedPoints: 0,
    failures: new Map(),
    askedToWait: 0,
    answered,
    latencies: createLatencies()
  }
}

const CAUSES_MAX = 20
const OTHER_CAUSES = 'other'

/** Counts a failure; beyond CAUSES_MAX causes, further ones are lumped together. */
export function countFailure (stats: TransportStats, cause: string, example: string, points: number): void {
  stats.failedPoints += points
  const known = stats.failures.has(cause) || stats.failures.size < CAUSES_MAX
  const key = known ? cause : OTHER_CAUSES
  const failure = stats.failures.get(key)
  if (failure === undefined) stats.failures.set(key, { points, example })
  else failure.points += points
}
