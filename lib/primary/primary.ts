/**
 * The primary process: opens everything shared, forks the workers, watches over them, and closes it all in reverse.
 *
 *   lock DATA_DIR → check ports → open database → migrate → maintenance → limits → workers → ready
 *
 * Until the workers listen, it answers HTTP itself: that the server is starting, and what it is waiting for. It never
 * handles a point. On a graceful shutdown the workers first store what they accepted.
 */
import { strict as assert } from 'node:assert'
import { isDeepStrictEqual } from 'node:util'
import { BUILT_IN, type Catalogue } from '../../protocol/catalogue.js'
import type { Token } from '../access/token.js'
import type { TlsFiles } from '../access/tls-files.js'
import type { UdpKey } from '../access/udp-key.js'
import { describeOpenUdp } from '../access/udp-key-file.js'
import { queryConnectionsOf, type Config } from '../config/settings.js'
import { loadEngine, type EngineChoice } from '../ingress/http/engines/load-engine.js'
import type { StatusAnswer } from '../ingress/http/api/status-port.js'
import { TokenCheck } from '../ingress/http/api/tokens.js'
import { Lifecycle } from '../support/lifecycle.js'
import { defaultLimits, thresholdsInUse } from '../catalogue/default-limits.js'
import type { Log } from '../support/log.js'
import type { DatabaseConnection } from '../database/database.js'
import { startMaintenance, type Maintenance } from '../upkeep/maintenance.js'
import { QueryPool } from '../database/query-pool.js'
import { version } from '../support/version.js'
import { assertBounds } from './bounds.js'
import { healthAnswer, NO_WORKERS } from './answers/health.js'
import { freePorts } from './free-ports.js'
import { chooseHttpEngine } from './http-engine.js'
import { IngestStepCutter } from './counts/ingest-steps.js'
import { lockInstance, readInstanceId } from './instance.js'
import { LimitsKeeper } from './limits/limits-keeper.js'
import type { ListenerSettings } from '../messages/messages.js'
import { acknowledgementOf, openLogLanes, type LogLanes } from './log-lanes.js'
import { connectPrimary, openAndMigrate, type OpenedDatabase } from './opening.js'
import { Reloads, logTls } from './reloads.js'
import { StartingListener } from './answers/starting-listener.js'
import type { RestartOutcome } from './rolling/rolling-restart.js'
import { Workers } from './workers.js'

/** How often metrics are sampled; little is missing from the sums when a worker is killed. */
const SAMPLE_INTERVAL_MS = 1_000
/** Points that have waited this long for the database take precedence over late rows and rollup history. */
const BEHIND_MS = 2_000
/** Share of the shutdown deadline at which maintenance must be done; the rest is for closing the database. */
const MAINTENANCE_SHARE = 0.95

export interface PrimaryOptions {
  readonly config: Config
  /** Of the catalogue file; null: whatever the database has. */
  readonly proposed: Catalogue | null
  /** Null: no token required. */
  readonly tokens: readonly Token[] | null
  /** Null: plain HTTP. */
  readonly tls: TlsFiles | null
  /** Of UDP senders; null: none required. */
  readonly udpKeys: readonly UdpKey[] | null
  /** RETENTION is not set explicitly. */
  readonly retentionIsDefault: boolean
  readonly log: Log
  /** Aborts the start. */
  readonly signal: AbortSignal
}

export interface Primary {
  readonly port: number
  /** In force since the start. */
  readonly catalogue: Catalogue
  /** Resolves with the exit code once everything is closed. */
  readonly done: Promise<number>
  /** Shuts down gracefully. Further calls have no effect. */
  stop (reason: string): void
  /** Takes up the files of tokens, UDP keys and TLS again; the log and /health say what was wrong. */
  reload (): void
  /** Replaces all workers one by one. Never rejects. */
  restartWorkers (): Promise<RestartOutcome>
}

/** Resolves when all workers are serving. Rejects if that fails or is aborted, with everything closed again. */
export async function startPrimary (options: PrimaryOptions): Promise<Primary> {
  const primary = new RunningPrimary(options)
  options.signal.addEventListener('abort', () => primary.abort())
  try {
    await primary.start()
  } catch (error) {
    await primary.close()
    throw error
  }
  return primary
}

class RunningPrimary implements Primary {
  port: number
  private udpPorts: readonly number[] = []
  catalogue = BUILT_IN
  readonly done: Promise<number>
  private settleDone: (code: number) => void = () => {}
  private readonly lifecycle = new Lifecycle()
  private readonly startedMs = performance.now()
  private tokens: readonly Token[] | null
  private tls: TlsFiles | null
  private udpKeys: readonly UdpKey[] | null
  private readonly reloads: Reloads
  private lastEpoch = 0
  private stopping = false
  /** Monotonic time at which closing began. */
  private stopMs = 0

  /** Null until the start has got there; /health is answered from the beginning. */
  private httpEngine: EngineChoice | null = null
  private database: OpenedDatabase | null = null
  private maintenance: Maintenance | null = null
  private workers: Workers | null = null
  /** What the start is waiting for; null: nothing. */
  private waitsFor: string | null = null
  /** Connections opened by the start, to be cut if it is aborted; null: it is over. */
  private startConnections: DatabaseConnection[] | null = []

  constructor (private readonly options: PrimaryOptions) {
    this.port = options.config.port
    this.tokens = options.tokens
    this.tls = options.tls
    this.udpKeys = options.udpKeys
    this.reloads = new Reloads({
      ...options,
      useTokens: (tokens) => this.useTokens(tokens),
      useUdpKeys: (keys) => this.useUdpKeys(keys),
      useTls: async (tls) => { await this.useTls(tls) }
    })
    this.done = new Promise((resolve) => { this.settleDone = resolve })
  }

  async start (): Promise<void> {
    const { lifecycle, options: { config, log } } = this
    await lockInstance(config, log, lifecycle, true)
    const instanceId = await readInstanceId(config.dataDir, log)
    const ports = await freePorts(config)
    this.port = ports.port
    this.udpPorts = ports.udpPorts
    if (this.openUdp !== null) log.warn(this.openUdp)
    const tls = this.tls?.material ?? null
    logTls(log, this.tls, 'HTTP is served over TLS')
    const engine = this.httpEngine = await chooseHttpEngine(config, log, tls)
    const tokens = new TokenCheck(this.tokens, { readOpen: config.readOpen === 'on' })
    const starting = await StartingListener.open(config.host, this.port, () => this.health(), tokens, tls)
    lifecycle.push('the start-up listener', () => starting.close())
    const database = this.database = await this.openDatabase()
    const steps = new IngestStepCutter(instanceId, Date.now())
    const maintenance = await this.startMaintenance(steps, database.catalogue)
    const limits = await this.startLimits(database.catalogue)
    const lanes = await this.openLogLanes(instanceId)
    await starting.close()
    const workers = this.workers = this.createWorkers({ instanceId, engine, database, maintenance, limits, lanes })
    this.startSampling(workers, steps)
    await workers.start()
    this.startConnections = null
    const { port, udpPorts } = this
    log.info({ host: config.host, port, udpPorts, workers: config.workers, database: database.kind }, 'ready')
  }

  stop (reason: string): void {
    if (this.stopping) return
    this.options.log.info({ reason }, 'stopping: storing accepted points')
    void this.end(0)
  }

  reload (): void {
    this.reloads.request()
  }

  async restartWorkers (): Promise<RestartOutcome> {
    return await this.started.workers.replace()
  }

  /** Makes a start() in progress reject. */
  abort (): void {
    this.stopping = true
    for (const db of this.startConnections ?? []) db.destroy()
    this.workers?.cancel()
  }

  async close (): Promise<void> {
    this.stopping = true
    this.stopMs = performance.now()
    await this.lifecycle.release()
  }

  private async end (code: number): Promise<void> {
    const { log } = this.options
    try {
      await this.close()
      log.info('stopped')
      this.settleDone(code)
    } catch (error) {
      log.error({ err: error }, 'shutdown failed')
      this.settleDone(1)
    }
  }

  private useTokens (tokens: readonly Token[] | null): void {
    this.tokens = tokens
    this.started.workers.useTokens(tokens)
  }

  private useUdpKeys (keys: readonly UdpKey[] | null): void {
    this.udpKeys = keys
    this.started.workers.useUdpKeys(keys)
  }

  private get openUdp (): string | null {
    return describeOpenUdp(this.options.config, this.tokens !== null, this.udpKeys !== null)
  }

  private async useTls (tls: TlsFiles): Promise<void> {
    const { started: { httpEngine, workers }, options: { config } } = this
    if (!isDeepStrictEqual(tls.material, this.tls?.material)) {
      const engine = await loadEngine(httpEngine.name)
      engine.checkTls({ material: tls.material, directory: config.dataDir })
    }
    this.tls = tls
    // Unchanged too: a worker may have failed to take it up.
    workers.useTls(tls.material)
  }

  /** What there is once start() has resolved; nobody reloads or restarts anything before. */
  private get started (): { readonly httpEngine: EngineChoice, readonly workers: Workers } {
    const { httpEngine, workers } = this
    assert(httpEngine !== null && workers !== null, 'the server has started')
    return { httpEngine, workers }
  }

  private async openDatabase (): Promise<OpenedDatabase> {
    const { lifecycle, options: { config, proposed, retentionIsDefault, log, signal } } = this
    const onWaiting = (reason: string | null): void => { this.waitsFor = reason }
    const database = await openAndMigrate({ config, proposed, retentionIsDefault, log, lifecycle, signal, onWaiting })
    this.lastEpoch = database.lastEpoch
    this.catalogue = database.catalogue
    for (const { schema } of database.catalogue.streams) assertBounds(schema)
    return database
  }

  private async connect (statementMsMax?: number): Promise<DatabaseConnection> {
    assert(this.database !== null, 'the database is open')
    const db = await connectPrimary(this.database.url, statementMsMax)
    this.startConnections?.push(db)
    if (this.options.signal.aborted) db.destroy()
    return db
  }

  private async startMaintenance (steps: IngestStepCutter, { streams }: Catalogue): Promise<Maintenance> {
    const { config, log } = this.options
    const maintenance = this.maintenance = startMaintenance({
      connect: () => this.connect(),
      settings: config,
      streams: streams.map(({ name }) => name),
      log,
      steps,
      storingIsBehind: () => (this.workers?.oldestMs ?? 0) > BEHIND_MS
    })
    this.lifecycle.push('maintenance', async () => {
      // The workers have exited, and their last reports are in.
      if (this.workers !== null) steps.sample(await this.workers.sample(), Date.now())
      const leftMs = config.shutdownDeadlineMs * MAINTENANCE_SHARE - (performance.now() - this.stopMs)
      await maintenance.finish(Math.max(leftMs, 0))
    })
    await maintenance.runNow()
    return maintenance
  }

  private async startLimits (catalogue: Catalogue): Promise<LimitsKeeper> {
    const { config, log } = this.options
    const limits = new LimitsKeeper({
      connect: (statementMsMax) => this.connect(statementMsMax),
      metrics: catalogue.limitable,
      configured: defaultLimits(config, catalogue),
      variables: thresholdsInUse(config, catalogue),
      log,
      onChange: (changed) => this.workers?.distribution.send(changed)
    })
    this.lifecycle.push('the limits', () => limits.close())
    await limits.start()
    return limits
  }

  private async openLogLanes (instance: string): Promise<LogLanes | null> {
    return await openLogLanes({
      ...this.options,
      lifecycle: this.lifecycle,
      instance,
      connect: async (statementMsMax) => await this.connect(statementMsMax),
      workers: () => this.workers,
      onWaiting: (reason) => { this.waitsFor = reason }
    })
  }

  private createWorkers ({ instanceId, engine, database, maintenance, limits, lanes }: {
    readonly instanceId: string
    readonly engine: EngineChoice
    readonly database: OpenedDatabase
    readonly maintenance: Maintenance
    readonly limits: LimitsKeeper
    readonly lanes: LogLanes | null
  }): Workers {
    const { config, log } = this.options
    const queries = new QueryPool(queryConnectionsOf(config).queries, (statementMsMax) => this.connect(statementMsMax))
    this.lifecycle.push('the connections for queries', () => queries.close())
    const workers: Workers = new Workers({
      config,
      log,
      version: version(),
      databaseKind: database.kind,
      catalogue: database.catalogue,
      listeners: this.listeners(),
      httpEngine: engine.name,
      settingsFor: () => ({
        databaseUrl: database.url,
        instanceId,
        epoch: this.nextEpoch(),
        lane: lanes?.settings() ?? null,
        tokens: this.tokens,
        tls: this.tls?.material ?? null,
        udpKeys: this.udpKeys
      }),
      limits,
      queries,
      onLaneDrained: (lane, isRemoved) => lanes?.keeper.drained(lane, isRemoved),
      onLanesDropped: (dropped) => lanes?.keeper.dropped(dropped),
      health: () => this.health(),
      conditions: () => ({
        rollups: maintenance.rollups,
        maintenanceError: maintenance.lastError,
        reloadFaults: this.reloads.faults,
        restartFault: workers.restartFault,
        tlsExpiresMs: this.tls?.expiresMs ?? null,
        openUdp: this.openUdp
      }),
      reloads: this.reloads,
      onGiveUp: (reason) => this.giveUp(reason)
    })
    this.lifecycle.push('the workers', () => workers.stop())
    return workers
  }

  /** By slot: HTTP workers first, then UDP workers. */
  private listeners (): ListenerSettings[] {
    const { port, udpPorts, options: { config } } = this
    return [
      ...Array.from({ length: config.workers }, () => ({ kind: 'http', port } as const)),
      ...udpPorts.map((udpPort) => ({ kind: 'udp', port: udpPort } as const))
    ]
  }

  /** Greater than every earlier epoch, whatever the clock says. */
  private nextEpoch (): number {
    const epoch = Math.max(Date.now(), this.lastEpoch + 1)
    assert(epoch > this.lastEpoch, 'epochs grow')
    this.lastEpoch = epoch
    return epoch
  }

  private startSampling (workers: Workers, steps: IngestStepCutter): void {
    const { log } = this.options
    const sample = async (): Promise<void> => steps.sample(await workers.sample(), Date.now())
    const timer = setInterval(() => {
      sample().catch((error: unknown) => log.error({ err: error }, 'the metrics could not be sampled'))
    }, SAMPLE_INTERVAL_MS)
    this.lifecycle.push('the sampling timer', () => clearInterval(timer))
  }

  private giveUp (reason: string): void {
    this.options.log.fatal(reason)
    if (!this.stopping) void this.end(1)
  }

  private health (): StatusAnswer {
    const { startedMs, database, waitsFor, httpEngine, maintenance, workers, options: { config } } = this
    return healthAnswer({
      version: version(),
      startedMs,
      ...workers?.sources ?? NO_WORKERS,
      database: { kind: database?.kind ?? '', embedded: config.databaseUrl === null },
      waitsFor,
      httpEngine,
      acknowledged: acknowledgementOf(config),
      maintenanceError: maintenance?.lastError ?? null,
      rollups: maintenance?.rollups ?? null,
      reloadFaults: this.reloads.faults,
      restartFault: workers?.restartFault ?? null,
      tlsExpiresMs: this.tls?.expiresMs ?? null,
      openUdp: this.openUdp
    })
  }
}
