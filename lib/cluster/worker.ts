/**
 * A worker process: wires listener, pipeline, journal and drain together, and does what the primary says.
 *
 *   forked → hello → start → listening → ready → … → stop → drained → exit 0
 *
 * It ignores SIGINT and SIGTERM: a terminal sends them to every process of the group, and the primary alone decides
 * the order of stopping. When the primary dies, node:cluster ends the worker at once.
 */
import cluster from 'node:cluster'
import { HttpCounters } from '../ingress/http/counters.js'
import { loadEngine } from '../ingress/http/load-engine.js'
import { createHandler } from '../ingress/http/routes.js'
import type { HttpServer } from '../ingress/http/engine.js'
import { createLogger, type Log } from '../log.js'
import { MemoryJournal } from '../pipeline/memory-journal.js'
import { Pipeline } from '../pipeline/pipeline.js'
import { connect } from '../store/db.js'
import { Drain } from '../store/drain.js'
import type { ToPrimary, ToWorker, WorkerReport, WorkerSettings } from './messages.js'
import { PrimaryStatus } from './primary-status.js'
import { WorkerMetrics } from './worker-metrics.js'

/** Bytes of rows in one COPY at most: large enough that its fixed costs do not count, small enough to be retried cheaply. */
const COPY_BYTES_MAX = 4 * 1024 * 1024
const CONNECT_TIMEOUT_MS = 5_000

function send (message: ToPrimary): void {
  // False when the channel is closing: the primary is gone, and this process with it.
  process.send?.(message)
}

class Worker {
  private readonly http = new HttpCounters((milliseconds) => this.metrics.observeAck(milliseconds))
  private readonly status = new PrimaryStatus(send)
  private readonly journal: MemoryJournal
  private readonly pipeline: Pipeline
  private readonly drain: Drain
  private readonly metrics: WorkerMetrics
  private server: HttpServer | null = null
  private engineName = ''
  private drained: Promise<void> = Promise.resolve()

  constructor (private readonly settings: WorkerSettings, private readonly log: Log) {
    const { config, slot } = settings
    this.journal = new MemoryJournal({
      spoolId: `${settings.instanceId}/${slot}`,
      epoch: settings.epoch,
      bytesMax: config.memoryMaxBytes
    })
    this.pipeline = new Pipeline(this.journal, config, config)
    this.drain = new Drain({
      journal: this.journal,
      connect: () => connect(settings.databaseUrl, { applicationName: `orbitstream worker ${slot}`, connectTimeoutMs: CONNECT_TIMEOUT_MS }),
      log,
      copyBytesMax: COPY_BYTES_MAX,
      onCommitted: (stored, quarantined, milliseconds) => this.committed(stored, quarantined, milliseconds)
    })
    this.metrics = new WorkerMetrics({
      slot,
      points: this.pipeline.counters,
      http: this.http,
      waiting: () => ({ ...this.journal.backlog(), points: this.pipeline.waiting }),
      database: () => ({ connected: this.drain.state === 'ready', retries: this.drain.retries })
    })
    this.pipeline.batcher.onClosed = (rows) => this.metrics.observeBatch(rows)
  }

  async start (): Promise<void> {
    const { config, port } = this.settings
    this.drained = this.drain.run()
    const engine = await loadEngine(config.httpEngine, (message) => this.log.warn(message))
    const handler = createHandler({
      intake: this.pipeline,
      status: this.status,
      config,
      counters: this.http,
      now: () => Date.now() * 1000
    })
    this.server = await engine.listen(config.host, port, handler)
    this.engineName = engine.name
    send({ type: 'ready', engine: engine.name })
  }

  receive (message: ToWorker): void {
    switch (message.type) {
      case 'report?':
        void this.report().then((report) => send({ type: 'report', id: message.id, report }))
        break
      case 'answer':
        this.status.answered(message.id, message.answer)
        break
      case 'stop':
        void this.stop(message.deadlineMs)
        break
      case 'start':
        throw new Error('started twice')
    }
  }

  private committed (stored: number, quarantined: number, milliseconds: number): void {
    this.pipeline.counters.committed += stored
    this.pipeline.counters.quarantined += quarantined
    this.metrics.observeCommit(stored, milliseconds)
  }

  private async report (): Promise<WorkerReport> {
    return {
      slot: this.settings.slot,
      pid: process.pid,
      engine: this.engineName,
      points: this.pipeline.counters,
      waiting: this.pipeline.waiting,
      backlog: this.journal.backlog(),
      pressure: this.journal.pressure(),
      database: { state: this.drain.state, lastError: this.drain.lastError, retries: this.drain.retries },
      metrics: await this.metrics.toJson()
    }
  }

  /** Refuse, store what was accepted, answer, exit. What the deadline cuts off was not acknowledged as spooled. */
  private async stop (deadlineMs: number): Promise<void> {
    this.pipeline.stop()
    this.journal.end()
    const closed = this.server?.close(deadlineMs)
    const deadline = setTimeout(() => {
      this.log.error({ waiting: this.pipeline.waiting }, 'SHUTDOWN_DEADLINE passed before the database took all points; those that wait were not acknowledged')
      this.drain.close()
      void this.journal.close()
    }, deadlineMs)
    await this.drained
    clearTimeout(deadline)
    await closed
    process.exit(0)
  }
}

/** The first 'start' makes the worker; everything after goes to it. */
function run (): void {
  let worker: Worker | null = null
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  process.on('message', (message: ToWorker) => {
    if (message.type !== 'start') {
      worker?.receive(message)
      return
    }
    const { settings } = message
    const log = createLogger({ level: settings.config.logLevel, name: `worker ${settings.slot}` })
    worker = new Worker(settings, log)
    worker.start().catch((error: unknown) => fail(log, error))
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
