/**
 * The primary process: opens what all share, forks the workers, watches over them, and closes everything in reverse.
 *
 *   lock DATA_DIR → port is free → database is there → migrated → maintenance → limits → workers → ready
 *
 * Until the workers listen it answers HTTP itself: that the server starts, and what it waits for. It handles no point. When it ends politely, workers first store what they accepted.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Token } from '../access/token.js'
import { writersOf, type Config } from '../config/config.js'
import { freeUdpPorts } from '../ingress/udp/bind.js'
import { chooseEngine, type EngineChoice } from '../ingress/http/engines/load-engine.js'
import type { StatusAnswer } from '../ingress/http/api/status-port.js'
import { TokenCheck } from '../ingress/http/api/tokens.js'
import { Lifecycle } from '../support/lifecycle.js'
import { defaultLimits } from '../limits/default-limits.js'
import type { Log } from '../support/log.js'
import { PointCounters } from '../pipeline/pipeline.js'
import type { DatabaseConnection } from '../database/connection.js'
import { startMaintenance, type Maintenance } from '../upkeep/maintenance.js'
import { QueryConnection } from '../database/query-connection.js'
import { StartupError } from '../support/startup-error.js'
import { version } from '../support/version.js'
import { AnomalyHub } from './anomaly-hub.js'
import { assertBounds } from './bounds.js'
import { Conservation } from './reconciliation.js'
import { DataDesk } from './answers/data-service.js'
import { addPoints, healthAnswer } from './answers/health.js'
import { IngestStepCutter } from './ingest-steps.js'
import { lockInstance, readInstanceId } from './instance.js'
import { LimitsDistribution } from './limits-distribution.js'
import { LimitsKeeper } from './limits-keeper.js'
import type { ListenerSettings, Question, ToPrimary } from '../messages/messages.js'
import { connectPrimary, openAndMigrate } from './opening.js'
import { PrimaryMetrics } from './answers/primary-metrics.js'
import { SenderPages } from './answers/sender-pages.js'
import { isBroken, Slots, type Slot } from './slots.js'
import { StartingListener } from './answers/starting-listener.js'
import { StatusDesk } from './answers/status-service.js'
import { UdpTotals } from './answers/udp-totals.js'
import { WorkerReports } from './worker-reports.js'

/** Reports are asked for this often, so that little is missing from the sums when a worker is killed. */
const REPORT_INTERVAL_MS = 1_000
/** Statements for limits are small. */
const LIMITS_STATEMENT_MS_MAX = 10_000
/** Points that wait for the database for longer than this come before late rows and history of the rollups. */
const BEHIND_MS = 2_000
/** What stop leaves of the deadline for the database and the rest. */
const CLOSE_RESERVE_SHARE = 0.2

export interface Primary {
  readonly host: string
  readonly port: number
  readonly udpPorts: readonly number[]
  readonly databaseUrl: string
  /** Exit code, when everything is closed. */
  readonly done: Promise<number>
  /** Ends politely; calls after the first change nothing. */
  stop (reason: string): void
  /** From now on these count. @param tokens null: none is asked for */
  useTokens (tokens: readonly Token[] | null): void
}

/**
 * Starts everything; resolves when all workers serve. Rejects with what hinders, or when `signal` aborts, everything closed again.
 * @param tokens who may do what; null: no token is asked for
 * @param retentionIsDefault nobody has set RETENTION
 */
export async function startPrimary (config: Config, tokens: readonly Token[] | null, log: Log, signal: AbortSignal, retentionIsDefault: boolean): Promise<Primary> {
  assertBounds()
  const primary = new RunningPrimary(config, tokens, log, retentionIsDefault)
  signal.addEventListener('abort', () => primary.abandon())
  try {
    await primary.start()
  } catch (error) {
    await primary.close()
    throw error
  }
  return primary
}

class RunningPrimary implements Primary {
  readonly host: string
  port: number
  udpPorts: readonly number[] = []
  databaseUrl = ''
  readonly done: Promise<number>
  private settleDone: (code: number) => void = () => {}
  private readonly lifecycle = new Lifecycle()
  private readonly startedMs = performance.now()
  private readonly retired = new PointCounters()
  private readonly retiredUdp = new UdpTotals()
  private readonly senderPages = new SenderPages({
    portOf: (slot) => this.listenerOf(slot.number).port,
    ask: (slot, id, query) => this.slots?.send(slot, { type: 'senders?', id, query })
  })

  private slots: Slots | null = null
  private distribution: LimitsDistribution | null = null
  private desk: DataDesk | null = null
  private readonly hub = new AnomalyHub<Slot>(randomUUID().slice(0, 8), (slot, events, onSent) => this.slots?.send(slot, { type: 'anomalies', events }, onSent))
  private metrics: PrimaryMetrics | null = null
  private readonly conservation: Conservation
  private maintenance: Maintenance | null = null
  private steps: IngestStepCutter | null = null
  private httpEngine: EngineChoice | null = null
  private databaseKind = ''
  private instanceId = ''
  private lastEpoch = 0
  private stopping = false
  /** When closing began, on the monotonic clock. */
  private stopMs = 0
  private readonly abandoned = new AbortController()
  /** Made while it starts, and cut if that is given up. */
  private startConnections: DatabaseConnection[] | null = []
  /** What the start waits for; null: it goes on, or is over. */
  private waitsFor: string | null = null
  private readonly reports = new WorkerReports()
  private status: StatusDesk | null = null
  private onSlotChange: () => void = () => {}

  constructor (private readonly config: Config, private tokens: readonly Token[] | null, private readonly log: Log, private readonly retentionIsDefault: boolean) {
    this.host = config.host
    this.port = config.port
    this.conservation = new Conservation(log)
    this.done = new Promise((resolve) => { this.settleDone = resolve })
  }

  async start (): Promise<void> {
    const { config, log } = this
    await lockInstance(config, log, this.lifecycle)
    this.instanceId = await readInstanceId(config.dataDir, log)
    this.port = await freePort(config.host, config.port)
    this.udpPorts = await freeUdpPorts(config.host, config.udpPorts).catch((error: unknown) => { throw new StartupError((error as Error).message, { cause: error }) })
    const engine = await chooseHttpEngine(config, log)
    this.httpEngine = engine
    const starting = await StartingListener.open(this.host, this.port, () => this.health(), new TokenCheck(this.tokens, { readOpen: config.readOpen === 'on' }))
    this.lifecycle.push('the listener of the start', () => starting.close())
    await this.openDatabase()
    await this.startMaintenance()
    const limits = await this.startLimits()
    await starting.close()
    await this.startWorkers(limits, engine.name)
    this.startConnections = null
    log.info({ host: this.host, port: this.port, udpPorts: this.udpPorts, workers: config.workers, database: this.databaseKind }, 'ready')
  }

  stop (reason: string): void {
    if (this.stopping) return
    this.log.info({ reason }, 'stopping: storing what was accepted')
    void this.end(0)
  }

  useTokens (tokens: readonly Token[] | null): void {
    this.tokens = tokens
    for (const slot of this.slots?.all ?? []) this.slots?.send(slot, { type: 'tokens', tokens })
  }

  /** Ends a start that is under way. */
  abandon (): void {
    this.stopping = true
    this.abandoned.abort()
    for (const db of this.startConnections ?? []) db.destroy()
    this.onSlotChange()
  }

  async close (): Promise<void> {
    this.stopping = true
    this.stopMs = performance.now()
    await this.lifecycle.release()
  }

  private async end (code: number): Promise<void> {
    this.stopping = true
    this.stopMs = performance.now()
    try {
      await this.lifecycle.release()
      this.log.info('stopped')
      this.settleDone(code)
    } catch (error) {
      this.log.error({ err: error }, 'stopping failed')
      this.settleDone(1)
    }
  }

  private async openDatabase (): Promise<void> {
    const { config, log, lifecycle, retentionIsDefault, abandoned: { signal } } = this
    const opened = await openAndMigrate({ config, retentionIsDefault, log, lifecycle, signal, onWaiting: (reason) => { this.waitsFor = reason } })
    this.databaseUrl = opened.url
    this.databaseKind = opened.kind
    this.lastEpoch = opened.lastEpoch
  }

  private async connectOnce (statementMsMax?: number): Promise<DatabaseConnection> {
    const db = await connectPrimary(this.databaseUrl, statementMsMax)
    this.startConnections?.push(db)
    if (this.abandoned.signal.aborted) db.destroy()
    return db
  }

  private async startMaintenance (): Promise<void> {
    const steps = new IngestStepCutter(this.instanceId, Date.now())
    this.steps = steps
    const maintenance = startMaintenance({ connect: () => this.connectOnce(), settings: this.config, log: this.log, steps, storingIsBehind: () => this.storingIsBehind() })
    this.maintenance = maintenance
    this.lifecycle.push('maintenance', () => this.finishMaintenance(maintenance))
    await maintenance.runNow()
  }

  private storingIsBehind (): boolean {
    return this.slots?.all.some(({ report }) => (report?.backlog.oldestMs ?? 0) > BEHIND_MS) === true
  }

  /** The workers have reported what they stored to the end, and are gone. */
  private async finishMaintenance (maintenance: Maintenance): Promise<void> {
    await this.noteTotals()
    const leftMs = this.config.shutdownDeadlineMs * (1 - CLOSE_RESERVE_SHARE / 4) - (performance.now() - this.stopMs)
    await maintenance.finish(Math.max(leftMs, 0))
  }

  private async startLimits (): Promise<LimitsKeeper> {
    const limits = new LimitsKeeper({
      connect: () => this.connectOnce(LIMITS_STATEMENT_MS_MAX),
      configured: defaultLimits(this.config),
      log: this.log,
      onChange: (changed) => this.distribution?.send(changed)
    })
    this.lifecycle.push('the limits', () => limits.close())
    await limits.start()
    return limits
  }

  private async startWorkers (limits: LimitsKeeper, httpEngine: EngineChoice['name']): Promise<void> {
    const { config, log } = this
    const slots = new Slots({
      count: writersOf(config),
      vitalCount: config.workers,
      exec: fileURLToPath(new URL('../worker/worker.js', import.meta.url)),
      log,
      settingsFor: (slot) => ({ slot, config, listener: this.listenerOf(slot), httpEngine, databaseUrl: this.databaseUrl, instanceId: this.instanceId, epoch: this.nextEpoch(), limits: limits.current, tokens: this.tokens }),
      onMessage: (slot, message) => this.received(slot, message),
      onDeath: (slot) => this.retire(slot),
      onGiveUp: (reason) => this.giveUp(reason)
    })
    this.slots = slots
    this.openDesk(slots, limits)
    const metrics = new PrimaryMetrics(() => slots.all, this.conservation, version(), this.databaseKind, () => this.maintenance?.rollups ?? null)
    this.metrics = metrics
    this.status = new StatusDesk({
      collect: async () => await this.reports.collect(slots),
      health: () => this.health(),
      metrics: async () => await metrics.answer()
    })
    this.lifecycle.push('the workers', async () => await slots.stop(config.shutdownDeadlineMs * (1 - CLOSE_RESERVE_SHARE), config.shutdownDeadlineMs * CLOSE_RESERVE_SHARE / 2))
    slots.start()
    const timer = setInterval(() => { this.noteReports().catch((error: unknown) => log.error({ err: error }, 'the reports of the workers could not be added up')) }, REPORT_INTERVAL_MS)
    this.lifecycle.push('the report timer', () => clearInterval(timer))
    await this.allReady()
  }

  /** HTTP workers have the first slots, UDP workers those behind them. */
  private listenerOf (slot: number): ListenerSettings {
    const udpPort = this.udpPorts[slot - this.config.workers]
    return udpPort === undefined ? { kind: 'http', port: this.port } : { kind: 'udp', port: udpPort }
  }

  /** Larger than every epoch before, whatever the clock says. */
  private nextEpoch (): number {
    this.lastEpoch = Math.max(Date.now(), this.lastEpoch + 1)
    return this.lastEpoch
  }

  private openDesk (slots: Slots, limits: LimitsKeeper): void {
    const distribution = new LimitsDistribution(slots, limits.current.version)
    const queries = new QueryConnection((statementMsMax) => this.connectOnce(statementMsMax))
    this.lifecycle.push('the connection for queries', () => queries.close())
    this.distribution = distribution
    this.desk = new DataDesk({ limits, distribution, queries, log: this.log })
  }

  /** All but those that cannot: these are in the log, and in /health. */
  private async allReady (): Promise<void> {
    while (this.slots?.all.some((slot) => slot.state !== 'ready' && !isBroken(slot)) === true) {
      if (this.stopping) throw new StartupError(`The workers did not start: ${this.slots.all.find((slot) => slot.lastDeath !== null)?.lastDeath ?? 'stopped before they were ready'}`)
      await new Promise<void>((resolve) => { this.onSlotChange = resolve })
    }
  }

  private giveUp (reason: string): void {
    this.log.fatal(reason)
    const running = !this.stopping
    this.stopping = true
    this.onSlotChange()
    if (running) void this.end(1)
  }

  private retire (slot: Slot): void {
    if (slot.report !== null) {
      this.metrics?.retire(slot.report.metrics, this.stopping)
      addPoints(this.retired, slot.report.points)
      if (slot.report.udp !== null) this.retiredUdp.add(slot.report.udp.counters)
    }
    this.hub.unwatch(slot)
    this.onSlotChange()
    this.distribution?.changed()
  }

  private received (slot: Slot, message: ToPrimary): void {
    switch (message.type) {
      case 'ready':
        this.onSlotChange()
        this.distribution?.changed()
        break
      case 'limits-in-force':
        this.distribution?.changed()
        break
      case 'found':
        this.hub.add(message.found)
        break
      case 'watch':
        this.slots?.send(slot, { type: 'watched', id: message.id, start: this.hub.watch(slot, message.lastEventId) })
        break
      case 'unwatch':
        this.hub.unwatch(slot)
        break
      case 'report':
        this.conservation.check(message.report)
        this.reports.received(message.id)
        break
      case 'ask':
        void this.answer(slot, message.id, message.question)
        break
      case 'senders':
        this.senderPages.received(slot, message.id, message.page)
        break
      case 'hello':
      case 'fatal':
    }
  }

  private async answer (slot: Slot, id: number, question: Question): Promise<void> {
    // Whoever asked is told that there is no answer, when it has waited for one.
    const answer = await this.answerTo(question).catch((error: unknown) => { this.log.error({ err: error }, 'a question of a worker could not be answered') })
    if (answer !== undefined) this.slots?.send(slot, { type: 'answer', id, answer })
  }

  private async answerTo (question: Question): Promise<StatusAnswer | undefined> {
    if (typeof question === 'string') return await this.status?.answer(question)
    if ('kind' in question) return await this.desk?.answer(question)
    return await this.senderPages.answer(this.slots?.all.slice(this.config.workers) ?? [], question)
  }

  private health (): StatusAnswer {
    return healthAnswer({
      version: version(),
      startedMs: this.startedMs,
      slots: this.slots?.all ?? [],
      retired: this.retired,
      retiredUdp: this.retiredUdp,
      database: { kind: this.databaseKind, embedded: this.config.databaseUrl === null },
      waitsFor: this.waitsFor,
      httpEngine: this.httpEngine,
      maintenanceError: this.maintenance?.lastError ?? null,
      rollups: this.maintenance?.rollups ?? null,
      limits: { version: this.distribution?.version ?? 0, complaint: this.distribution?.complaint() ?? null }
    })
  }

  private async noteReports (): Promise<void> {
    await this.status?.refresh()
    await this.noteTotals()
  }

  private async noteTotals (): Promise<void> {
    if (this.metrics !== null) this.steps?.sample(await this.metrics.totals(), Date.now())
  }
}

/** Before anything is forked: all workers serve by the same engine, also those that are started later. */
async function chooseHttpEngine ({ httpEngine }: Config, log: Log): Promise<EngineChoice> {
  try {
    return await chooseEngine(httpEngine, { info: (message) => log.info(message), warn: (message) => log.warn(message) })
  } catch (cause) {
    throw new StartupError((cause as Error).message, { cause })
  }
}

/**
 * The port, once it is sure that nobody listens on it: workers share it by SO_REUSEPORT, and so could, silently,
 * another deployment. Port 0 becomes a free one.
 */
async function freePort (host: string, port: number): Promise<number> {
  const probe = createServer()
  return await new Promise((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      reject(cause.code === 'EADDRINUSE' ? new StartupError(`Port ${port} is in use by another program: stop it, or choose another with PORT or --port.`, { cause }) : cause)
    })
    probe.listen({ host, port, exclusive: true }, () => {
      const { port: bound } = probe.address() as AddressInfo
      probe.close(() => resolve(bound))
    })
  })
}
