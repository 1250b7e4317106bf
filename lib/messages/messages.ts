/**
 * What primary and workers say to one another, over the channel of node:cluster.
 *
 *   worker → primary   hello            the process runs and asks for its settings
 *   primary → worker   start            its slot and settings
 *   worker → primary   ready            it serves
 *   primary → worker   report?          asks for a report; `id` ties the answer to it
 *   worker → primary   report           asked for; and once more when it has stored all it can before it exits, see LAST_REPORT
 *   worker → primary   ask              a client asked for what only the primary knows
 *   primary → worker   answer
 *   primary → worker   senders?         asks a UDP worker for a page of its senders
 *   worker → primary   senders
 *   worker → primary   found            anomalies, for those who watch them live
 *   worker → primary   watch            somebody here does; after `watched` come `anomalies`, until `unwatch`
 *   primary → worker   watched
 *   primary → worker   anomalies
 *   worker → primary   unwatch
 *   primary → worker   limits           what to judge points by from now on
 *   worker → primary   limits-in-force  it does
 *   primary → worker   tokens           who may do what from now on
 *   primary → worker   stop             finish what was accepted, then exit with 0
 *   worker → primary   fatal            why it is about to exit
 */
import type { AnomalyEvents, StreamStart } from '../ingress/http/api/anomaly-stream.js'
import type { EngineChoice } from '../ingress/http/engines/load-engine.js'
import type { DataQuestion, SenderQuery, StatusAnswer } from '../ingress/http/api/status-port.js'
import type { UdpCounters } from '../ingress/udp/listener.js'
import type { SenderPage } from '../ingress/udp/senders.js'
import type { DrainState } from '../drain/drain.js'
import type { JournalBacklog } from '../journal/journal.js'
import type { PointCounters } from '../pipeline/pipeline.js'
import type { FoundAnomalies } from '../worker/anomaly-feed.js'
import type { Pressure } from '../journal/pressure.js'
import type { Config } from '../config/config.js'
import type { Token } from '../access/token.js'
import type { NumberedLimits } from '../limits/limit-set.js'

/** What a worker listens to. The port is never 0. */
export interface ListenerSettings {
  readonly kind: 'http' | 'udp'
  readonly port: number
}

export interface WorkerSettings {
  readonly slot: number
  readonly config: Config
  readonly listener: ListenerSettings
  readonly httpEngine: EngineChoice['name']
  readonly databaseUrl: string
  /** Random, made once for a DATA_DIR: with the slot the key of a ledger row. */
  readonly instanceId: string
  /** Larger than that of any earlier life of this slot. */
  readonly epoch: number
  /** What it judges points by until others come. */
  readonly limits: NumberedLimits
  /** Who may do what, until others come; null: no token is asked for. */
  readonly tokens: readonly Token[] | null
}

/** A metric as prom-client's getMetricsAsJSON gives it. */
export type MetricsJson = readonly object[]

/** What a UDP worker has counted, and its socket. */
export interface UdpReport {
  readonly port: number
  /** What the kernel gave. */
  readonly receiveBufferBytes: number
  readonly counters: Readonly<UdpCounters>
}

export interface WorkerReport {
  readonly slot: number
  readonly pid: number
  readonly engine: string
  readonly points: Readonly<PointCounters>
  /** Version of the limits that it judges by. */
  readonly limitsVersion: number
  /** Points in the open batch and the journal. */
  readonly waiting: number
  readonly backlog: JournalBacklog
  readonly pressure: Pressure
  readonly database: { readonly state: DrainState, readonly lastError: string | null, readonly retries: number }
  /** What is wrong with spools that nobody owns, for people. */
  readonly complaints: readonly string[]
  /** Null: not a UDP worker. */
  readonly udp: UdpReport | null
  readonly metrics: MetricsJson
}

/** The id of a report that nobody asked for. */
export const LAST_REPORT = 0

export type Question = 'health' | 'metrics' | SenderQuery | DataQuestion

export type ToWorker =
  | { readonly type: 'start', readonly settings: WorkerSettings }
  | { readonly type: 'report?', readonly id: number }
  | { readonly type: 'answer', readonly id: number, readonly answer: StatusAnswer }
  | { readonly type: 'limits', readonly limits: NumberedLimits }
  | { readonly type: 'tokens', readonly tokens: readonly Token[] | null }
  | { readonly type: 'watched', readonly id: number, readonly start: StreamStart }
  | { readonly type: 'anomalies', readonly events: AnomalyEvents }
  | { readonly type: 'senders?', readonly id: number, readonly query: SenderQuery }
  | { readonly type: 'stop', readonly deadlineMs: number }

export type ToPrimary =
  | { readonly type: 'hello' }
  | { readonly type: 'ready', readonly engine: string }
  | { readonly type: 'report', readonly id: number, readonly report: WorkerReport }
  | { readonly type: 'ask', readonly id: number, readonly question: Question }
  | { readonly type: 'limits-in-force', readonly version: number }
  | { readonly type: 'found', readonly found: FoundAnomalies }
  | { readonly type: 'watch', readonly id: number, readonly lastEventId: string }
  | { readonly type: 'unwatch' }
  | { readonly type: 'senders', readonly id: number, readonly page: SenderPage }
  | { readonly type: 'fatal', readonly message: string }
