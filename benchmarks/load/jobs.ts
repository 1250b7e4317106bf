/** Jobs and results of load generators. */
import type { Target } from '../bodies.js'
import type { PointSet } from '../points.js'
import type { Latency } from '../result.js'

export interface HttpJob {
  readonly target: Target
  readonly points: PointSet
  /** One point per request, as an object. */
  readonly single: boolean
  readonly connections: number
  readonly seconds: number
  /** How long to wait for responses after the end; default: 20 s. */
  readonly answerDeadlineMs?: number
}

export interface HttpResult {
  /** Requests by body: sent, and answered with 2xx. */
  readonly sent: number[]
  readonly acknowledged: number[]
  /** Responses by status and error code (`outcomeOf`); 0: the connection was lost. */
  readonly statuses: Readonly<Record<string, number>>
  /** Requests unanswered at the deadline. */
  readonly unanswered: number
  /** Only of 2xx: refusals are cheap. Requests unanswered at the deadline count with their age. */
  readonly latency: Latency
  /** When the first request was sent, on `clockMs`. */
  readonly startedAtMs: number
  /** From the first request to the last response. */
  readonly seconds: number
}

/** An open loop: requests are due at a fixed rate, regardless of responses. */
export interface PacedJob extends HttpJob {
  readonly requestsPerSecond: number
  /**
   * First part of `seconds`, whose latencies do not count and which has no probes. The sender is a new process, slow
   * until its code is compiled.
   */
  readonly warmUpSeconds?: number
  /** Rate of probes, which are distinguishable points in separate requests; 0: none. */
  readonly probesPerSecond: number
  readonly probePath: string
}

export interface PacedResult extends HttpResult {
  /** When each probe was due, on `clockMs`; its number is its index. */
  readonly probesDueMs: number[]
  readonly probeStatuses: Readonly<Record<string, number>>
  readonly probesAcknowledged: number
}

export interface AutocannonJob {
  readonly url: string
  readonly points: PointSet
  readonly connections: number
  /** Null: as fast as possible. */
  readonly requestsPerSecond: number | null
  readonly seconds: number
}

export interface AutocannonResult {
  /** Requests by body: sent, and answered with 2xx. */
  readonly sent: number[]
  readonly acknowledged: number[]
  readonly statuses: Readonly<Record<string, number>>
  /** Lost connections and timeouts. */
  readonly failed: number
  /** Of 2xx, from when autocannon sent the request. */
  readonly latency: Latency
  /** When the first request could be sent, on `clockMs`. */
  readonly startedAtMs: number
}

export interface UdpJob {
  readonly host: string
  readonly port: number
  readonly points: PointSet
  readonly pointsPerSecond: number
  readonly seconds: number
}

export interface UdpResult {
  readonly packets: number
  readonly points: number
  readonly seconds: number
}

/** How long a load waits for responses after its end: a slower server has failed. */
export const ANSWER_DEADLINE_MS = 20_000

/** The probes' satellite. */
export const PROBE_ID = 'PROBE'
