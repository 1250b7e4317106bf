/** What load generators are told, and what they answer. */
import type { Target } from '../bodies.js'
import type { PointSet } from '../points.js'
import type { Latency } from '../result.js'

export interface HttpJob {
  readonly target: Target
  readonly points: PointSet
  /** One point a request, as an object. */
  readonly single: boolean
  readonly connections: number
  readonly seconds: number
  /** How long after its end a load waits for answers; without it 20 s. */
  readonly answerDeadlineMs?: number
}

export interface HttpResult {
  /** Requests by body: those that were sent, and those that were answered with 2xx. */
  readonly sent: number[]
  readonly acknowledged: number[]
  /** Answers by status and code of the error (`outcomeOf`); 0: the connection was lost. */
  readonly statuses: Readonly<Record<string, number>>
  /** Requests that had no answer by the deadline. */
  readonly unanswered: number
  /** Of 2xx alone: a refusal costs nothing. What had no answer by the deadline counts with its age. */
  readonly latency: Latency
  /** When the first request was sent, on `clockMs`. */
  readonly startedAtMs: number
  /** From the first request to the last answer. */
  readonly seconds: number
}

/** An open loop: requests are due at a fixed rate, whatever the answers. */
export interface PacedJob extends HttpJob {
  readonly requestsPerSecond: number
  /** Of `seconds`, the first: latencies of what is due then do not count, and probes come later. The sender is a new process, slow until it is compiled. */
  readonly warmUpSeconds?: number
  /** Of points that can be told apart, each a request of its own; none: 0. */
  readonly probesPerSecond: number
  readonly probePath: string
}

export interface PacedResult extends HttpResult {
  /** When each probe was due, on `clockMs`; its number is its position. */
  readonly probesDueMs: number[]
  readonly probeStatuses: Readonly<Record<string, number>>
  readonly probesAcknowledged: number
}

export interface AutocannonJob {
  readonly url: string
  readonly points: PointSet
  readonly connections: number
  /** Null: as fast as it goes. */
  readonly requestsPerSecond: number | null
  readonly seconds: number
}

export interface AutocannonResult {
  /** Requests by body: those that were sent, and those that were answered with 2xx. */
  readonly sent: number[]
  readonly acknowledged: number[]
  readonly statuses: Readonly<Record<string, number>>
  /** Lost connections and time-outs. */
  readonly failed: number
  /** Of 2xx, from the moment that autocannon sent the request. */
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

/** How long a load waits for answers after its end: a server that takes longer has lost. */
export const ANSWER_DEADLINE_MS = 20_000

/** Satellite of the probes. */
export const PROBE_ID = 'PROBE'
