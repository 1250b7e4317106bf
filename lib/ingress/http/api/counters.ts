/** What the HTTP routes count: plain numbers, increased in place; the cluster code makes metrics of them. */

import { REFUSALS } from '../engines/refusals.js'
import { DENIALS } from './tokens.js'
import type { RefusalCode } from '../engines/refusals.js'
import type { DenialCode } from './tokens.js'

/** The label of a request in metrics: a small fixed set, whatever paths clients ask for. */
export type RouteName = 'index' | 'telemetry' | 'batch' | 'live' | 'ready' | 'health' | 'metrics' | 'limits' | 'anomalies' | 'stream' | 'senders' | 'unknown'

/** Requests of one route by outcome. */
export class RouteCounters {
  /** Answered with a status below 400. */
  ok = 0
  /** Answered with 4xx. */
  clientError = 0
  /** Answered with 5xx. */
  serverError = 0
  /** The client went before the answer. */
  aborted = 0
}

export class HttpCounters {
  readonly requests: Readonly<Record<RouteName, RouteCounters>> = {
    index: new RouteCounters(),
    telemetry: new RouteCounters(),
    batch: new RouteCounters(),
    live: new RouteCounters(),
    ready: new RouteCounters(),
    health: new RouteCounters(),
    metrics: new RouteCounters(),
    limits: new RouteCounters(),
    anomalies: new RouteCounters(),
    stream: new RouteCounters(),
    senders: new RouteCounters(),
    unknown: new RouteCounters()
  }

  /** Requests and connections that never got to a route, by the code of their answer. */
  readonly refused = Object.fromEntries(REFUSALS.map((code) => [code, 0])) as Record<RefusalCode, number>

  /** Requests that their token does not allow, or that have none, by code. They count as answers of their routes too. */
  readonly denied = Object.fromEntries(DENIALS.map((code) => [code, 0])) as Record<DenialCode, number>

  /** Bytes of complete bodies, as they came over the wire. */
  bodyBytes = 0

  /** @param observeAck gets the milliseconds from the end of a body to its acknowledgement, for each accepted one */
  constructor (readonly observeAck: (milliseconds: number) => void) {}
}
