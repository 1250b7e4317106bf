/** What a worker listens to, seen alike for all kinds; the worker owns everything behind it. */
import type { SenderPage } from '../ingress/udp/senders.js'
import type { RouteTable } from '../ingress/http/api/router.js'
import type { SenderQuery, StatusPort } from '../ingress/http/api/status-port.js'
import type { TokenCheck } from '../ingress/http/api/tokens.js'
import type { Log } from '../support/log.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import { openHttpListener } from './listener-http.js'
import { openUdpListener } from './listener-udp.js'
import type { UdpReport, WorkerSettings } from '../messages/messages.js'
import type { WorkerMetrics } from './worker-metrics.js'

export interface Listener {
  /** What serves, for people: the name of the HTTP engine, or `udp`. */
  readonly engine: string
  /** Brings up to date what udp() gives. */
  refresh (): Promise<void>
  /** Null: not UDP. */
  udp (): UdpReport | null
  senders (query: SenderQuery): SenderPage
  /** Takes what has arrived already and nobody would send again. Before the pipeline stops. */
  catchUp (): Promise<void>
  /** Takes nothing new; resolves when all is closed, after deadlineMs at the latest. */
  close (deadlineMs: number): Promise<void>
}

/** What a listener works with. */
export interface ListenerParts {
  readonly settings: WorkerSettings
  readonly pipeline: Pipeline
  readonly status: StatusPort
  readonly tokens: TokenCheck
  /** Further HTTP routes. */
  readonly routes: RouteTable
  /** Gets the listener's own counters. */
  readonly metrics: WorkerMetrics
  readonly log: Log
}

/** Opens what the settings ask for. Rejects when the address cannot be had. */
export async function openListener (parts: ListenerParts): Promise<Listener> {
  switch (parts.settings.listener.kind) {
    case 'http': return await openHttpListener(parts)
    case 'udp': return await openUdpListener(parts)
  }
}
