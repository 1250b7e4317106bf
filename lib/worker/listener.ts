/** What a worker listens on, whether HTTP or UDP; the worker owns everything behind it. */
import type { ClientBounds } from '../ingress/http/clients/client-bounds.js'
import type { UdpKey } from '../access/udp-key.js'
import type { HandedSenders } from '../ingress/udp/dgram-listener.js'
import type { SenderPage } from '../ingress/udp/senders.js'
import type { RouteTable } from '../ingress/http/api/router.js'
import type { SenderQuery, StatusPort } from '../ingress/http/api/status-port.js'
import type { TokenCheck } from '../ingress/http/api/tokens.js'
import type { Log } from '../support/log.js'
import type { Pipelines } from '../pipeline/pipelines.js'
import type { TlsMaterial } from '../support/tls.js'
import type { UdpReport, WorkerSettings } from '../messages/messages.js'
import type { WorkerMetrics } from './worker-metrics.js'

export interface Listener {
  /** For people: the name of the HTTP engine, or `udp`. */
  readonly engine: string
  /** Brings udp() up to date. */
  refresh (): Promise<void>
  /** Null: not UDP. */
  udp (): UdpReport | null
  senders (query: SenderQuery): SenderPage
  /** Takes up another certificate for new connections. Rejects if that fails; the previous one then stays. */
  useTls (tls: TlsMaterial): Promise<void>
  /** Takes up other keys of UDP senders. */
  useUdpKeys (keys: readonly UdpKey[] | null): void
  /** Takes what has already arrived and no client would resend. To be called before the pipeline stops. */
  catchUp (): Promise<void>
  /**
   * Leaves everything new to another process that listens on the same port; resolves when all that was begun has been
   * answered, after deadlineMs at the latest. Returns what that process needs to know, for its takeOver().
   */
  retire (deadlineMs: number): Promise<HandedSenders | null>
  takeOver (senders: HandedSenders): void
  /** Refuses anything new; resolves when everything is closed, after deadlineMs at the latest. */
  close (deadlineMs: number): Promise<void>
}

export interface ListenerParts {
  readonly settings: WorkerSettings
  readonly pipelines: Pipelines
  readonly status: StatusPort
  readonly tokens: TokenCheck
  readonly clients: ClientBounds
  /** Additional HTTP routes. */
  readonly routes: RouteTable
  /** The listener registers its counters here. */
  readonly metrics: WorkerMetrics
  readonly log: Log
}

/** Rejects when it cannot listen on its address. */
export type OpenListener = (parts: ListenerParts) => Promise<Listener>
