/**
 * The messages between the primary and its workers, sent over the channel of node:cluster.
 *
 * Two tables, one for each direction, name every message and what it carries. A receiver holds one handler for each
 * message; dispatch() calls it. Adding a message without handling it does not compile.
 */
import type { StreamDefinition } from '../../protocol/catalogue.js'
import type { ClientNews } from '../ingress/http/clients/client-bounds.js'
import type { AnomalyEvents, StreamStart } from '../ingress/http/live/anomaly-stream.js'
import type { FeedTick, FeedWant } from '../ingress/http/live/feed.js'
import type { EngineChoice } from '../ingress/http/engines/load-engine.js'
import type { DataQuestion, SenderQuery, StatusAnswer } from '../ingress/http/api/status-port.js'
import type { HandedSenders, UdpCounters } from '../ingress/udp/dgram-listener.js'
import type { SenderPage } from '../ingress/udp/senders.js'
import type { DrainState } from '../drain/drain.js'
import type { JournalBacklog } from '../journal/journal.js'
import type { PointCounters } from '../pipeline/pipeline.js'
import type { FoundAnomalies } from '../worker/anomaly-feed.js'
import type { GatherWant, NewestPart } from '../worker/newest-points.js'
import type { Pressure } from '../journal/pressure.js'
import type { Config } from '../config/settings.js'
import type { Token } from '../access/token.js'
import type { UdpKey } from '../access/udp-key.js'
import type { TlsMaterial } from '../support/tls.js'
import type { NumberedLimits } from '../limits/limit-set.js'

/** What a worker listens on. The port is never 0. */
export interface ListenerSettings {
  readonly kind: 'http' | 'udp'
  readonly port: number
}

export interface WorkerSettings {
  readonly slot: number
  readonly config: Config
  readonly listener: ListenerSettings
  /** It takes over from another worker on the same port, which is told to retire once this one is ready. */
  readonly takesOver: boolean
  /** Slots that have workers, for the one that drains the spools of the others; null: it does not. */
  readonly slotsInUse: readonly number[] | null
  readonly httpEngine: EngineChoice['name']
  readonly databaseUrl: string
  /** Random, created once per DATA_DIR; with the slot it forms the key of a ledger row. */
  readonly instanceId: string
  /** Greater than every earlier epoch of this slot. */
  readonly epoch: number
  /** Its lane of the replicated log; null: SPOOL_DIR is not one. */
  readonly lane: LaneSettings | null
  /** Of the catalogue in force, by id. */
  readonly streams: readonly StreamDefinition[]
  /** Limits to start with. */
  readonly limits: NumberedLimits
  /** Tokens to start with; null: none required. */
  readonly tokens: readonly Token[] | null
  /** Certificate to start with; null: plain HTTP. */
  readonly tls: TlsMaterial | null
  /** Keys of UDP senders to start with; null: none required, or no UDP worker. */
  readonly udpKeys: readonly UdpKey[] | null
}

/** A lane of the replicated log. */
export interface LaneSettings {
  /** Random, 32 hexadecimal digits, new for each worker. */
  readonly lane: string
  /** Of the database: see ingest_deployment. */
  readonly deployment: string
}

/** Metrics as returned by prom-client's getMetricsAsJSON. */
export type MetricsJson = readonly object[]

/** Counters and socket of a UDP worker. */
export interface UdpReport {
  readonly port: number
  /** Size granted by the kernel. */
  readonly receiveBufferBytes: number
  readonly counters: Readonly<UdpCounters>
}

export interface WorkerReport {
  readonly slot: number
  readonly points: Readonly<PointCounters>
  /** Version of the limits in force. */
  readonly limitsVersion: number
  /** Points in the open batch and the journal. */
  readonly waiting: number
  /** Of these, those that are not yet durable. */
  readonly unspooled: number
  readonly backlog: JournalBacklog
  readonly pressure: Pressure
  readonly database: { readonly state: DrainState, readonly lastError: string | null, readonly retries: number }
  /** Ids of journals whose ledger does not fit: nothing of them is stored. */
  readonly halted: readonly string[]
  /** Slots of orphaned spools, which no worker may have. */
  readonly orphans: readonly number[]
  /** Problems with orphaned spools and with a new certificate, worded for people. */
  readonly complaints: readonly string[]
  /** Null: not a UDP worker. */
  readonly udp: UdpReport | null
  readonly metrics: MetricsJson
}

/** What a worker has for the live feed: its present counts, and what is new since the last time. */
export interface Gathered {
  readonly counts: Pick<WorkerReport, 'points' | 'waiting' | 'unspooled' | 'backlog' | 'pressure' | 'database' | 'udp'>
  readonly newest: NewestPart
}

/** Id of the report that a worker sends unasked, before it exits. */
export const LAST_REPORT = 0

/** What a client asked of a worker and only the primary can answer. */
export type Question =
  | { readonly kind: 'health' }
  | { readonly kind: 'metrics' }
  | { readonly kind: 'senders', readonly query: SenderQuery }
  | DataQuestion

/** Primary → worker. An id ties a reply to its request. */
interface ToWorkerTable {
  /** Slot and settings; the first message, and sent once. */
  start: { readonly settings: WorkerSettings }
  /** Requests a `report`. */
  'report?': { readonly id: number }
  /** Replies to `ask`. */
  answer: { readonly id: number, readonly answer: StatusAnswer }
  /** Of its time, what each export may take; 1: no points come in. For workers with exports, once a second. */
  'export-share': { readonly share: number }
  /** New limits, in force from now on. */
  limits: { readonly limits: NumberedLimits }
  /** New tokens, in force from now on. */
  tokens: { readonly tokens: readonly Token[] | null }
  /** New keys of UDP senders, in force from now on; for UDP workers. */
  'udp-keys': { readonly keys: readonly UdpKey[] | null }
  /** What clients have sent to another worker. */
  'client-news': { readonly news: ClientNews }
  /** Another certificate, for new connections from now on. */
  tls: { readonly tls: TlsMaterial }
  /** Replies to `watch`; `anomalies` follow until `unwatch`. */
  watched: { readonly id: number, readonly start: StreamStart }
  anomalies: { readonly events: AnomalyEvents }
  /** Replies to `lease?`. */
  leased: { readonly id: number, readonly granted: boolean }
  /** Requests `gathered`; null: nobody watches any more, which ends it. */
  'gather?': { readonly want: GatherWant | null }
  /** For this worker's clients of the live feed. */
  feed: { readonly tick: FeedTick }
  /** Requests a page of a UDP worker's `senders`. */
  'senders?': { readonly id: number, readonly query: SenderQuery }
  /** Drain the spools of slots without a worker. */
  orphans: { readonly slotsInUse: readonly number[] }
  /** Drain a lane without a writer. */
  'drain-lane': { readonly lane: string, readonly wasOpened: boolean, readonly isOld: boolean }
  /** Its writer is back, or another server drains it: stop, and say `lane-left`. */
  'leave-lane': { readonly lane: string }
  /** Let the worker that takes over have everything new; finish what was begun, then exit with code 0. */
  retire: unknown
  /** The senders of the worker that retires, for the one that takes over from it. */
  'take-over': { readonly senders: HandedSenders }
  /** Finish what was accepted, then exit with code 0. */
  stop: { readonly deadlineMs: number }
}

/** Worker → primary. */
interface ToPrimaryTable {
  /** The process is up and waits for `start`. */
  hello: unknown
  /** The worker is serving. */
  ready: { readonly engine: string }
  /** Replies to `report?`; also sent before a clean exit, with the id LAST_REPORT. */
  report: { readonly id: number, readonly report: WorkerReport }
  /** A client's question. */
  ask: { readonly id: number, readonly question: Question }
  /** Confirms `limits`. */
  'limits-in-force': { readonly version: number }
  /** Anomalies for live streams. */
  found: { readonly found: FoundAnomalies }
  /** A client of this worker opened a live stream. */
  watch: { readonly id: number, readonly lastEventId: string }
  /** The last live stream of this worker closed. */
  unwatch: unknown
  /** What clients have sent to this worker, for the others. */
  'client-news': { readonly news: ClientNews }
  /** Requests a connection's place for an export. */
  'lease?': { readonly id: number }
  /** An export is over; also sent if the lease came too late. */
  'lease-over': unknown
  /** What the clients of the live feed want, whenever that changes; a `feed` answers the id, unless it is 0. */
  'feed-want': { readonly id: number, readonly want: FeedWant }
  /** Replies to `gather?`. */
  gathered: { readonly gathered: Gathered }
  /** Replies to `senders?`. */
  senders: { readonly id: number, readonly page: SenderPage }
  /** A UDP worker that retires has stopped reading; this is what it knows of senders. */
  left: { readonly senders: HandedSenders }
  /** A lane is over: everything in it is stored. */
  'lane-drained': { readonly lane: string, readonly isRemoved: boolean }
  /** A lane is not drained here any more, though it is not over. */
  'lane-left': { readonly lane: string }
  /** Why the worker is about to exit. */
  fatal: { readonly message: string }
}

type MessageOf<Table, Type extends keyof Table> = { readonly type: Type } & Table[Type]
type AnyOf<Table> = { [Type in keyof Table]: MessageOf<Table, Type> }[keyof Table]

export type ToWorker = AnyOf<ToWorkerTable>
export type ToPrimary = AnyOf<ToPrimaryTable>

/** One handler per message. Every handler also gets the context. */
type Handlers<Table, Context extends readonly unknown[]> = {
  readonly [Type in keyof Table]: (message: MessageOf<Table, Type>, ...context: Context) => void
}

export type WorkerHandlers = Handlers<ToWorkerTable, []>
/** The context is the sender, such as its slot. */
export type PrimaryHandlers<Sender> = Handlers<ToPrimaryTable, [sender: Sender]>

type HandlersFor<Message extends { readonly type: string }, Context extends readonly unknown[]> = {
  readonly [Type in Message['type']]: (message: Extract<Message, { readonly type: Type }>, ...context: Context) => void
}

/** Calls the handler of a message. */
export function dispatch<Message extends { readonly type: string }, Context extends readonly unknown[]> (
  handlers: HandlersFor<Message, Context>, message: Message, ...context: Context
): void {
  // The signature guarantees that handler and message match; the compiler cannot track it through the look-up.
  const handle = handlers[message.type as Message['type']] as (message: Message, ...context: Context) => void
  handle(message, ...context)
}
