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
}

export interface HttpResult {
  /** Requests by body: those that were sent, and those that were answered with 2xx. */
  readonly sent: number[]
  readonly acknowledged: number[]
  /** Answers by status; 0: none. */
  readonly statuses: Readonly<Record<string, number>>
  readonly latency: Latency
  /** From the first request to the last answer. */
  readonly seconds: number
}

/** An open loop: requests are due at a fixed rate, whatever the answers. */
export interface PacedJob extends HttpJob {
  readonly requestsPerSecond: number
  /** Of points that can be told apart, each a request of its own; none: 0. */
  readonly probesPerSecond: number
  readonly probePath: string
}

export interface PacedResult extends HttpResult {
  /** When each probe was due, on the clock of process.hrtime, in milliseconds; its number is its position. */
  readonly probesDueMs: number[]
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
  readonly sent: number
  readonly acknowledged: number
  readonly failed: number
  readonly latency: Latency
  readonly seconds: number
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

/** Satellite of the probes. */
export const PROBE_ID = 'PROBE'
