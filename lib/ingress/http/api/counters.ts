/** Counters of the HTTP routes: plain numbers, incremented in place, which the cluster code turns into metrics. */

import { REFUSALS } from '../engines/engine.js'
import { DENIALS } from './tokens.js'
import type { RefusalCode } from '../engines/engine.js'
import type { DenialCode } from './tokens.js'

/** Label of a request in metrics: one of a small fixed set, whatever paths clients request. */
export type RouteName = 'index' | 'telemetry' | 'batch' | 'live' | 'ready' | 'health' | 'metrics' | 'limits' |
  'anomalies' | 'stream' | 'feed' | 'page' | 'senders' | 'catalogue' | 'satellites' | 'query' | 'export' | 'openapi' |
  'unknown'

/** Requests of one route by outcome. */
export class RouteCounters {
  /** Answered with a status below 400. */
  ok = 0
  /** Answered with 4xx. */
  clientError = 0
  /** Answered with 5xx. */
  serverError = 0
  /** The client disconnected before the answer. */
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
    feed: new RouteCounters(),
    page: new RouteCounters(),
    senders: new RouteCounters(),
    catalogue: new RouteCounters(),
    satellites: new RouteCounters(),
    query: new RouteCounters(),
    export: new RouteCounters(),
    openapi: new RouteCounters(),
    unknown: new RouteCounters()
  }

  /** Requests and connections refused before they reached a route, by error code. */
  readonly refused = Object.fromEntries(REFUSALS.map((code) => [code, 0])) as Record<RefusalCode, number>

  /** Requests denied for their token, or the lack of one, by error code. Their routes count them as well. */
  readonly denied = Object.fromEntries(DENIALS.map((code) => [code, 0])) as Record<DenialCode, number>

  /** Bytes of complete bodies, as received. */
  bodyBytes = 0

  /** @param observeAck is told the time from the end of each accepted body to its acknowledgement */
  constructor (readonly observeAck: (milliseconds: number) => void) {}
}
