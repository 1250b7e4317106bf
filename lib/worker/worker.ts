/**
 * A worker process: wires listener, pipeline, journal and drain together, and does what the primary says.
 *
 *   forked → hello → start → journal open → listening → ready → … → stop → drained → exit
 *
 * It ignores SIGINT, SIGTERM and SIGHUP: a terminal sends them to every process of the group, and the primary alone decides
 * what they mean and the order of stopping. When the primary dies, node:cluster ends the worker at once.
 */
import cluster from 'node:cluster'
import { TELEMETRY } from '../../protocol/metrics.js'
import { AnomalyStreams } from '../ingress/http/api/anomaly-stream.js'
import { createDataRoutes } from '../ingress/http/api/data-routes.js'
import { TokenCheck } from '../ingress/http/api/tokens.js'
import { Lifecycle } from '../support/lifecycle.js'
import type { NumberedLimits } from '../limits/limit-set.js'
import { LimitTable } from '../limits/limit-table.js'
import { createLogger, type Log } from '../support/log.js'
import type { Journal } from '../journal/journal.js'
import { Pipeline } from '../pipeline/pipeline.js'
import type { Spool } from '../spool/spool.js'
import { AnomalyFeed } from './anomaly-feed.js'
import { openJournal, type JournalHooks } from '../lane/open-journal.js'
import { Lane, type LaneOptions } from '../lane/lane.js'
import { Lanes } from '../lane/lanes.js'
import { openListener, type Listener } from './listener.js'
import { LAST_REPORT, type ToPrimary, type ToWorker, type WorkerSettings } from '../messages/messages.js'
import { Orphans } from '../lane/orphans.js'
import { PrimaryStatus } from './ask-primary.js'
import { WorkerMetrics } from './worker-metrics.js'

/** Time for what is durable to reach the database when the spool has failed. */
const FAILED_DRAIN_MS = 10_000
/** Why points are left over at the end. */
const CUT_SHORT = {
  away: 'the database does not take points, and is not waited for',
  deadline: 'the deadline passed before the database took all points'
} as const

function send (message: ToPrimary, onSent?: () => void): void {
  // False when the channel is closing: the primary is gone, and this process with it.
  process.send?.(message, undefined, undefined, onSent)
}

class Worker {
  private readonly status = new PrimaryStatus(send)
  private readonly streams = new AnomalyStreams(this.status)
  private readonly feed = new AnomalyFeed((found, onSent) => send({ type: 'found', found }, onSent))
  private readonly tokens: TokenCheck
  private readonly pipeline: Pipeline
  private readonly lanes: Lanes
  private readonly metrics: WorkerMetrics
  private readonly orphans: Orphans
  private listener: Listener | null = null
  private stopping = false

  constructor (private readonly settings: WorkerSettings, private readonly log: Log, private readonly lifecycle: Lifecycle, journal: Journal) {
    const { config, slot } = settings
    this.tokens = new TokenCheck(settings.tokens, { readOpen: config.readOpen === 'on' })
    this.pipeline = new Pipeline(journal, { ...config, fullCode: config.spoolDir === 'off' ? 'overloaded' : 'spool_full' }, new LimitTable(settings.limits, TELEMETRY))
    this.lanes = new Lanes(this.pipeline)
    this.metrics = new WorkerMetrics({ slot, lanes: this.lanes, anomalies: this.pipeline.anomalyCounts, limitsVersion: () => this.pipeline.limits.version })
    this.pipeline.batcher.onAnomalies = (payload) => this.feed.take(payload)
    this.pipeline.batcher.onClosed = (rows) => this.metrics.observeBatch(rows)
    this.lanes.add(new Lane(this.laneOptions(journal, `orbitstream worker ${slot}`)))
    this.orphans = new Orphans({ config, log, hooks: this.hooks(), drain: (spool) => this.drainOrphan(spool) })
    lifecycle.push('the spools of slots that no worker owns', async () => { await this.orphans.close() })
  }

  async start (): Promise<void> {
    const { settings, pipeline, status, tokens, metrics, log } = this
    if (settings.slot === 0) await this.orphans.open()
    this.listener = await openListener({ settings, pipeline, status, tokens, metrics, log, routes: createDataRoutes(status, this.streams.handle) })
    send({ type: 'ready', engine: this.listener.engine })
  }

  receive (message: ToWorker): void {
    switch (message.type) {
      case 'report?':
        void this.tryReport(message.id)
        break
      case 'answer':
        this.status.answered(message.id, message.answer)
        break
      case 'limits':
        this.judgeBy(message.limits)
        break
      case 'tokens':
        this.tokens.replace(message.tokens)
        break
      case 'watched':
        this.status.watched(message.id, message.start)
        break
      case 'anomalies':
        this.streams.add(message.events)
        break
      case 'senders?':
        if (this.listener !== null) send({ type: 'senders', id: message.id, page: this.listener.senders(message.query) })
        break
      case 'stop':
        void this.stop(message.deadlineMs, 0)
        break
      case 'start':
        throw new Error('started twice')
    }
  }

  observeSync (milliseconds: number): void {
    this.metrics.observeSync(milliseconds)
  }

  /** From now on; points are judged as they are offered, so no body sees two versions. */
  private judgeBy (limits: NumberedLimits): void {
    this.pipeline.limits = new LimitTable(limits, this.pipeline.limits.schema)
    send({ type: 'limits-in-force', version: limits.version })
  }

  /** The disk takes nothing any more. What is durable goes to the database if it can; then another process tries. */
  spoolFailed (error: Error): void {
    this.log.fatal({ err: error }, 'the spool cannot be written; this worker refuses points and ends')
    send({ type: 'fatal', message: error.message })
    void this.stop(FAILED_DRAIN_MS, 1)
  }

  private laneOptions (journal: Journal, applicationName: string): LaneOptions {
    return {
      journal,
      databaseUrl: this.settings.databaseUrl,
      listener: this.settings.listener.kind,
      directCompress: this.settings.config.timescaleDirectCompress === 'on',
      applicationName,
      log: this.log,
      onCommitted: (stored, milliseconds) => this.metrics.observeCommit(stored, milliseconds)
    }
  }

  private drainOrphan (spool: Spool): void {
    const lane = new Lane(this.laneOptions(spool, 'orbitstream orphaned slot'))
    this.lanes.add(lane)
    // Nothing is appended to it: it is over when it is empty.
    spool.end()
    void lane.drained.then(() => {
      if (lane.drain.state === 'ended' && spool.backlog().frames === 0) this.log.info('a slot that no worker owns was drained')
    })
  }

  private hooks (): JournalHooks {
    return { onFatal: (error) => this.spoolFailed(error), onSync: (milliseconds) => this.observeSync(milliseconds) }
  }

  /** A worker that cannot report goes on all the same: storing points comes first, and the primary shows its last report. */
  private async tryReport (id: number): Promise<void> {
    await this.report(id).catch((error: unknown) => this.log.error({ err: error }, 'the worker could not report'))
  }

  /** The numbers are taken at one instant, so that they add up. Resolves when they have left this process. */
  private async report (id: number): Promise<void> {
    await this.listener?.refresh()
    const standing = this.lanes.standing()
    const udp = this.listener?.udp() ?? null
    const metrics = await this.metrics.toJson()
    const report = { slot: this.settings.slot, pid: process.pid, engine: this.listener?.engine ?? '', limitsVersion: this.pipeline.limits.version, ...standing, complaints: this.orphans.complaints, udp, metrics }
    await new Promise<void>((resolve) => send({ type: 'report', id, report }, resolve))
  }

  /** Refuse, store what was accepted, answer, exit. What the deadline cuts off stays in the spool, or was not acknowledged. */
  private async stop (deadlineMs: number, exitCode: number): Promise<void> {
    if (this.stopping) return
    this.stopping = true
    this.orphans.stop()
    await this.listener?.catchUp()
    this.pipeline.stop()
    const closed = this.listener?.close(deadlineMs)
    const outcome = await this.lanes.drain(deadlineMs, this.settings.config.spoolDir !== 'off')
    const { waiting } = this.lanes.standing()
    if (outcome !== 'empty' && waiting > 0) this.log.warn({ waiting }, `${CUT_SHORT[outcome]}; the next start goes on with the points that stand in the spool`)
    await this.tryReport(LAST_REPORT)
    await this.lifecycle.release()
    await closed
    process.exit(exitCode)
  }
}

async function startWorker (settings: WorkerSettings, log: Log): Promise<Worker> {
  const lifecycle = new Lifecycle()
  let worker: Worker | null = null
  const journal = await openJournal(settings, log, lifecycle, {
    onFatal: (error) => worker?.spoolFailed(error),
    onSync: (milliseconds) => worker?.observeSync(milliseconds)
  })
  worker = new Worker(settings, log, lifecycle, journal)
  await worker.start()
  return worker
}

/** 'start' makes the worker; everything else waits until it serves. */
function run (): void {
  let starting: Promise<Worker> | null = null
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('message', (message: ToWorker) => {
    if (message.type === 'start') {
      const { settings } = message
      const log = createLogger({ level: settings.config.logLevel, name: `worker ${settings.slot}` })
      starting = startWorker(settings, log)
      starting.catch((error: unknown) => fail(log, error))
    } else {
      // A start that failed has been said already.
      starting?.then((worker) => worker.receive(message), () => {})
    }
  })
  send({ type: 'hello' })
}

/** The worker cannot serve: say why and let the primary decide. */
function fail (log: Log, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  log.fatal({ err: error }, 'the worker cannot start')
  process.send?.({ type: 'fatal', message } satisfies ToPrimary, undefined, undefined, () => process.exit(1))
}

if (cluster.isWorker) run()
