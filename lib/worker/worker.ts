/**
 * A worker process: wires listener, pipeline, journal and drain together, and obeys the primary.
 *
 *   forked → hello → start → journal open → listening → ready → … → stop → drained → exit
 *
 * It ignores SIGINT, SIGTERM and SIGHUP: a terminal sends them to every process of the group, but only the primary
 * decides what they mean and in what order to stop. When the primary dies, node:cluster ends the worker at once.
 */
import { strict as assert } from 'node:assert'
import cluster from 'node:cluster'
import { Catalogue } from '../../protocol/catalogue.js'
import { createOpenApiRoute } from '../ingress/http/openapi/document.js'
import { createQueryRoutes } from '../ingress/http/query/query-routes.js'
import { Exports } from '../ingress/http/query/export-route.js'
import { RequestReader } from '../ingress/http/query/requests.js'
import { ExportConnections } from './export-connections.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { AnomalyStreams, LiveAnomalies } from '../ingress/http/live/anomaly-stream.js'
import { Feed } from '../ingress/http/live/feed.js'
import { createCatalogueRoute } from '../ingress/http/api/catalogue-route.js'
import { ClientBounds, type ClientNews, type ClientSettings } from '../ingress/http/clients/client-bounds.js'
import { createDataRoutes } from '../ingress/http/api/data-routes.js'
import { TokenCheck } from '../ingress/http/api/tokens.js'
import { Lifecycle } from '../support/lifecycle.js'
import { ChangeLimits } from '../limits/change-limits.js'
import type { NumberedLimits } from '../limits/limit-set.js'
import { createLogger, type Log } from '../support/log.js'
import type { Journal } from '../journal/journal.js'
import { Pipelines } from '../pipeline/pipelines.js'
import type { Spool } from '../spool/spool.js'
import type { TlsMaterial } from '../support/tls.js'
import { AnomalyFeed } from './anomaly-feed.js'
import { openJournal, type JournalHooks } from '../lane/open-journal.js'
import { LostLanes } from '../lane/lost-lanes.js'
import { openLog } from '../lane/open-log.js'
import type { ReplicatedLog } from '../replicated/replicated-log.js'
import type { LostLane } from '../replicated/lost-lane.js'
import { RecentFaults } from './recent-faults.js'
import { Lane, type LaneOptions } from '../lane/lane.js'
import { describeLeftOver, Lanes } from '../lane/lanes.js'
import type { Listener, OpenListener } from './listener.js'
import { openHttpListener } from './listener-http.js'
import { openUdpListener } from './listener-udp.js'
import { dispatch, LAST_REPORT } from '../messages/messages.js'
import type {
  ListenerSettings, ToPrimary, ToWorker, WorkerHandlers, WorkerReport, WorkerSettings
} from '../messages/messages.js'
import { Orphans } from '../lane/orphans.js'
import { PrimaryClient } from './primary-client.js'
import { NewestPoints, type GatherWant } from './newest-points.js'
import { WorkerMetrics } from './worker-metrics.js'

/** After a spool failure: time for durable points to reach the database. */
const FAILED_DRAIN_MS = 10_000
/**
 * How long a worker that was replaced goes on with what was begun: exports, and bodies, of which the largest takes as
 * long at the slowest rate that is tolerated.
 */
const RETIRE_MS_MAX = 600_000

const OPEN_LISTENER: Readonly<Record<ListenerSettings['kind'], OpenListener>> = {
  http: openHttpListener,
  udp: openUdpListener
}

function send (message: ToPrimary, onSent?: () => void): void {
  // False when the channel is closing: the primary is gone, and this process will follow.
  process.send?.(message, undefined, undefined, onSent)
}

function clientSettings (config: WorkerSettings['config']): ClientSettings {
  const { clientRequests: requests, clientPoints: points, trustedProxies } = config
  return { rates: { requests, points }, trustedProxies }
}

interface WorkerParts {
  readonly settings: WorkerSettings
  readonly log: Log
  readonly lifecycle: Lifecycle
  readonly journal: Journal
  /** Null: SPOOL_DIR is not a replicated log. */
  readonly replicated: ReplicatedLog | null
  readonly hooks: JournalHooks
}

class Worker {
  /** `start` creates the worker. */
  readonly handlers: Omit<WorkerHandlers, 'start'> = {
    'report?': ({ id }) => { void this.tryReport(id) },
    'export-share': ({ share }) => this.exporting.useShare(share),
    answer: ({ id, answer }) => this.status.answered(id, answer),
    limits: ({ limits }) => this.useLimits(limits),
    tokens: ({ tokens }) => this.tokens.replace(tokens),
    'client-news': ({ news }) => this.clients.learn(news),
    tls: ({ tls }) => { void this.useTls(tls) },
    'udp-keys': ({ keys }) => this.listener?.useUdpKeys(keys),
    watched: ({ id, start }) => this.status.watched(id, start),
    leased: ({ id, granted }) => this.status.leased(id, granted),
    anomalies: ({ events }) => this.anomalies.add(events),
    'gather?': ({ want }) => this.gather(want),
    feed: ({ tick }) => this.liveFeed.add(tick),
    'drain-lane': (claimed) => this.lostLanes.add(claimed),
    'leave-lane': ({ lane }) => this.lostLanes.leave(lane),
    orphans: ({ slotsInUse }) => { void this.lookForOrphans(slotsInUse) },
    retire: () => { void this.retire() },
    'take-over': ({ senders }) => this.listener?.takeOver(senders),
    'senders?': ({ id, query }) => {
      if (this.listener !== null) send({ type: 'senders', id, page: this.listener.senders(query) })
    },
    stop: ({ deadlineMs }) => { void this.stop(deadlineMs, 0) }
  }

  private readonly status = new PrimaryClient(send)
  private readonly anomalies = new LiveAnomalies(this.status)
  private readonly anomalyFeed = new AnomalyFeed((found, onSent) => send({ type: 'found', found }, onSent))
  private readonly tokens: TokenCheck
  private readonly clients: ClientBounds
  private readonly exporting: ExportConnections
  private readonly streams: AnomalyStreams
  private readonly liveFeed: Feed
  private readonly newest: NewestPoints
  private readonly catalogue: Catalogue
  private readonly pipelines: Pipelines
  private changeLimits: ChangeLimits | null
  private readonly lanes: Lanes
  private readonly metrics: WorkerMetrics
  private readonly orphans: Orphans
  private readonly lostLanes: LostLanes
  private listener: Listener | null = null
  /** Why the listener does not serve the latest certificate. */
  private tlsComplaints: readonly string[] = []
  private readonly logFaults = new RecentFaults()
  private stopping = false

  constructor (private readonly parts: WorkerParts) {
    const { settings: { config, slot, limits, streams, tokens }, log, lifecycle, journal, hooks, replicated } = parts
    const catalogue = this.catalogue = new Catalogue(streams)
    const fullCode = config.spoolDir === 'off' ? 'overloaded' : 'spool_full'
    this.tokens = new TokenCheck(tokens, { readOpen: config.readOpen === 'on' })
    this.clients = new ClientBounds(clientSettings(config), this.tokens)
    this.exporting = new ExportConnections(parts.settings.databaseUrl, config.databaseUrl === null, this.status, log)
    this.streams = new AnomalyStreams(this.anomalies, this.tokens)
    this.liveFeed = new Feed({
      anomalies: this.anomalies,
      tokens: this.tokens,
      metrics: catalogue.limitable.metrics,
      tell: (id, want) => send({ type: 'feed-want', id, want })
    })
    this.changeLimits = new ChangeLimits(limits, catalogue.streams).orNull
    const satellites = new SatelliteTable()
    const newest = this.newest = new NewestPoints(
      satellites, catalogue.streams.map(({ schema }) => schema.metricCount))
    const pipelines = this.pipelines = new Pipelines({
      journal,
      settings: { ...config, fullCode },
      catalogue,
      limits,
      satellites,
      listener: (_, position) => ({
        onOffered: (columns, anomalies) => newest.take(columns, anomalies, position),
        onAnomalies: (payload) => this.anomalyFeed.take(payload),
        onClosed: (rows) => this.metrics.observeBatch(rows)
      })
    })
    this.lanes = new Lanes(pipelines)
    this.metrics = new WorkerMetrics({ slot, lanes: this.lanes, pipelines })
    this.lanes.add(new Lane(this.laneOptions(journal, `orbitstream worker ${slot}`)))
    const drain = async (spool: Spool): Promise<void> => { await this.drainLeftover(spool, 'orphaned slot') }
    this.orphans = new Orphans({ config, log, hooks, drain })
    lifecycle.push('the orphaned spools', async () => { await this.orphans.close() })
    this.lostLanes = new LostLanes({
      replicated,
      config,
      log,
      onFault: hooks.onFault,
      drain: async (lane) => { await this.drainLeftover(lane, 'orphaned lane') },
      onDrained: (lane, isRemoved) => send({ type: 'lane-drained', lane, isRemoved }),
      onLeft: (lane) => send({ type: 'lane-left', lane })
    })
    lifecycle.push('the lost lanes', async () => { await this.lostLanes.close() })
  }

  async start (): Promise<void> {
    const { catalogue, pipelines, status, tokens, clients, metrics, parts: { settings, log } } = this
    if (settings.slotsInUse !== null) await this.orphans.openBeside(settings.slotsInUse)
    const reader = new RequestReader(catalogue)
    const routes = {
      ...createDataRoutes(status, this.streams.handle, catalogue.limitable),
      ...createCatalogueRoute(catalogue, tokens),
      ...createOpenApiRoute(catalogue),
      ...createQueryRoutes(status, reader, new Exports(this.exporting, reader, tokens).handle),
      '/feed': { name: 'feed', methods: { GET: this.liveFeed.handle } } as const
    }
    const open = OPEN_LISTENER[settings.listener.kind]
    this.listener = await open({ settings, pipelines, status, tokens, clients, metrics, log, routes })
    this.shareClients()
    send({ type: 'ready', engine: this.listener.engine })
  }

  /** Tells the other workers what clients have sent to this one, so that bounds hold for all of them together. */
  private shareClients (): void {
    const { settings: { listener, config }, lifecycle } = this.parts
    if (listener.kind !== 'http') return
    const tell = (news: ClientNews, onSent: () => void): void => { send({ type: 'client-news', news }, onSent) }
    lifecycle.push('the exchange about clients', this.clients.share(config.workers === 1 ? null : tell))
  }

  /** What is wrong with the log, for as long as it is, or for a while. */
  logFault (message: string): void {
    this.parts.log.error(message)
    this.logFaults.note(message)
  }

  observeSync (milliseconds: number): void {
    this.metrics.observeSync(milliseconds)
  }

  /** The disk no longer accepts writes. Durable points go to the database if possible; then a new process tries. */
  spoolFailed (error: Error): void {
    this.parts.log.fatal({ err: error }, 'the spool cannot be written; this worker refuses points and exits')
    send({ type: 'fatal', message: error.message })
    void this.stop(FAILED_DRAIN_MS, 1)
  }

  /** Recovery reads what is to be stored again, as after a crash; it runs in a new process. */
  private commitsLost (): void {
    send({ type: 'fatal', message: 'the database lost commits; they will be stored again from disk' })
    void this.stop(FAILED_DRAIN_MS, 1)
  }

  private useLimits (limits: NumberedLimits): void {
    this.pipelines.useLimits(limits)
    this.changeLimits = new ChangeLimits(limits, this.catalogue.streams).orNull
    send({ type: 'limits-in-force', version: limits.version })
  }

  private async useTls (tls: TlsMaterial): Promise<void> {
    const { log, settings: { slot } } = this.parts
    try {
      await this.listener?.useTls(tls)
      this.tlsComplaints = []
    } catch (error) {
      log.error({ err: error }, 'the new certificate could not be loaded; the previous one stays in force')
      this.tlsComplaints = [`worker ${slot} still serves the previous TLS certificate: ${(error as Error).message}`]
    }
  }

  /** Numbers and points of one instant; the kernel's drops are up to a second old. */
  private gather (want: GatherWant | null): void {
    this.newest.watch(want)
    if (want === null) return
    const counts = { ...this.lanes.snapshot(), udp: this.listener?.udp() ?? null }
    send({ type: 'gathered', gathered: { counts, newest: this.newest.part(want.isFull) } })
  }

  private laneOptions (journal: Journal, applicationName: string): LaneOptions {
    const { settings: { databaseUrl, listener, config }, log } = this.parts
    return {
      catalogue: this.catalogue,
      journal,
      databaseUrl,
      listener: listener.kind,
      directCompress: config.timescaleDirectCompress === 'on',
      applicationName,
      log,
      waitsForLedger: true,
      changeLimits: () => this.changeLimits,
      onChanges: (found) => {
        this.pipelines.countChanges(found.counts)
        this.anomalyFeed.add(found.anomalies, found.total)
      },
      onCommitted: (stored, milliseconds) => this.metrics.observeCommit(stored, milliseconds),
      onLostCommits: () => this.commitsLost()
    }
  }

  private async lookForOrphans (slotsInUse: readonly number[]): Promise<void> {
    await this.orphans.openBeside(slotsInUse).catch((error: unknown) => {
      this.parts.log.error({ err: error }, 'the spool directory cannot be searched for slots without a worker')
    })
  }

  /**
   * What has no worker. Resolves when nothing is left of it, or when a shutdown closes the drain and none is at hand;
   * not at all if frames are left.
   */
  private async drainLeftover (journal: Spool | LostLane, what: string): Promise<void> {
    const lane = new Lane(this.laneOptions(journal, `orbitstream ${what}`))
    this.lanes.add(lane)
    // Nothing is appended to it, so it ends when it is empty.
    journal.end()
    await lane.drained
    if (lane.drain.state !== 'ended' || journal.backlog().frames > 0) await new Promise(() => {})
    this.lanes.remove(lane)
  }

  /** A worker that cannot report carries on: storing points comes first, and the primary shows its previous report. */
  private async tryReport (id: number): Promise<void> {
    await this.report(id).catch((error: unknown) => this.parts.log.error({ err: error }, 'the worker could not report'))
  }

  /** Takes all numbers at one instant, so they add up. Resolves when the report has left this process. */
  private async report (id: number): Promise<void> {
    await this.listener?.refresh()
    const snapshot = this.lanes.snapshot()
    const udp = this.listener?.udp() ?? null
    const metrics = await this.metrics.toJson()
    const report: WorkerReport = {
      slot: this.parts.settings.slot,
      limitsVersion: this.pipelines.limitsVersion,
      ...snapshot,
      orphans: this.orphans.slots,
      complaints: [
        ...this.lanes.complaints, ...this.orphans.complaints, ...this.tlsComplaints, ...this.logFaults.messages
      ],
      udp,
      metrics
    }
    await new Promise<void>((resolve) => send({ type: 'report', id, report }, resolve))
  }

  /**
   * Another worker takes over: goes on with what was begun, requests on open connections included, and stops. Nothing
   * may be lost without the database: with a spool the points stay there, otherwise they are waited for.
   */
  private async retire (): Promise<void> {
    const { config: { spoolDir, shutdownDeadlineMs } } = this.parts.settings
    const senders = await this.listener?.retire(RETIRE_MS_MAX) ?? null
    if (senders !== null) send({ type: 'left', senders })
    await this.stop(spoolDir === 'off' ? RETIRE_MS_MAX : shutdownDeadlineMs, 0)
  }

  /**
   * Refuses points, stores what was accepted, answers, exits. Points left over at the deadline are in the spool, or
   * were never acknowledged.
   */
  private async stop (deadlineMs: number, exitCode: number): Promise<void> {
    if (this.stopping) return
    this.stopping = true
    const { settings, log, lifecycle } = this.parts
    this.orphans.stop()
    this.lostLanes.stop()
    await this.listener?.catchUp()
    this.pipelines.stop()
    const closed = this.listener?.close(deadlineMs)
    const outcome = await this.lanes.drain(deadlineMs, settings.config.spoolDir !== 'off')
    const { waiting } = this.lanes.snapshot()
    if (outcome !== 'empty' && waiting > 0) log.warn({ waiting }, describeLeftOver(outcome, settings.config))
    await this.tryReport(LAST_REPORT)
    await lifecycle.release()
    await closed
    process.exit(exitCode)
  }
}

async function startWorker (settings: WorkerSettings, log: Log): Promise<Worker> {
  const lifecycle = new Lifecycle()
  let worker: Worker | null = null
  const hooks: JournalHooks = {
    onFatal: (error) => worker?.spoolFailed(error),
    onFault: (message) => worker === null ? log.error(message) : worker.logFault(message),
    onSync: (milliseconds) => worker?.observeSync(milliseconds)
  }
  const { lane, config, slot } = settings
  const name = `orbitstream worker ${slot}`
  const replicated = await openLog({ config, deployment: lane?.deployment ?? '', name, log, lifecycle })
  const journal = await openJournal(settings, replicated, log, lifecycle, hooks)
  worker = new Worker({ settings, log, lifecycle, journal, replicated, hooks })
  await worker.start()
  return worker
}

/** The first message, `start`, creates the worker; all others wait until it is serving. */
function run (): void {
  let starting: Promise<Worker> | null = null
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('message', (message: ToWorker) => {
    if (message.type === 'start') {
      assert(starting === null, 'a worker is started once')
      const { settings } = message
      const log = createLogger({ level: settings.config.logLevel, name: `worker ${settings.slot}` })
      starting = startWorker(settings, log)
      starting.catch((error: unknown) => fail(log, error))
    } else {
      // A failed start has been reported by then.
      starting?.then((worker) => dispatch(worker.handlers, message), () => {})
    }
  })
  send({ type: 'hello' })
}

/** The worker cannot serve: says why and leaves it to the primary. */
function fail (log: Log, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  log.fatal({ err: error }, 'the worker cannot start')
  send({ type: 'fatal', message }, () => process.exit(1))
}

if (cluster.isWorker) run()
