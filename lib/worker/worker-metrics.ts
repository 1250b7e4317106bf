/**
 * The Prometheus metrics of a worker. Counts are plain numbers where they arise, copied for each report; only latencies
 * and sizes are observed as they happen. The listener adds its own metrics.
 */
import { ANOMALY_SIDES, SEVERITIES, type Severity } from '../limits/limit-set.js'
import { KINDS_MAX, kindOf } from '../limits/limit-table.js'
import type { Lanes } from '../lane/lanes.js'
import type { Pipelines } from '../pipeline/pipelines.js'
import type { MetricsJson } from '../messages/messages.js'
import { MetricRegistry } from '../support/metric-registry.js'
import { Buckets } from './buckets.js'

const LATENCY_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const BATCH_ROWS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]

export interface WorkerMetricSources {
  readonly slot: number
  readonly pipelines: Pick<Pipelines, 'all' | 'limitsVersion'>
  readonly lanes: Pick<Lanes, 'snapshot'>
}

export class WorkerMetrics extends MetricRegistry {
  private readonly ackSeconds = new Buckets(
    'orbitstream_ack_seconds', 'Time from request to response.', LATENCY_SECONDS)

  private readonly commitSeconds = new Buckets(
    'orbitstream_commit_seconds', 'Duration of transactions that store points.', LATENCY_SECONDS)

  private readonly syncSeconds = new Buckets(
    'orbitstream_sync_seconds',
    'Duration of fdatasync of the spool, or until the replicated log has acknowledged a message.',
    LATENCY_SECONDS)

  private readonly batchRows = new Buckets(
    'orbitstream_batch_points', 'Points in a batch when it closes.', BATCH_ROWS)

  private readonly copyRows = new Buckets('orbitstream_copy_points', 'Points in a transaction.', BATCH_ROWS)

  constructor (sources: WorkerMetricSources) {
    super()
    this.addLanes(sources)
    this.addStreams(sources)
    this.addLimits(sources)
    this.addProcess(sources)
  }

  observeAck (milliseconds: number): void {
    this.ackSeconds.observe(milliseconds / 1000)
  }

  observeSync (milliseconds: number): void {
    this.syncSeconds.observe(milliseconds / 1000)
  }

  observeBatch (rows: number): void {
    this.batchRows.observe(rows)
  }

  observeCommit (rows: number, milliseconds: number): void {
    this.copyRows.observe(rows)
    this.commitSeconds.observe(milliseconds / 1000)
  }

  async toJson (): Promise<MetricsJson> {
    const { ackSeconds, commitSeconds, syncSeconds, batchRows, copyRows } = this
    const histograms = [ackSeconds, commitSeconds, syncSeconds, batchRows, copyRows].map((each) => each.toJson())
    return [...histograms, ...await this.registry.getMetricsAsJSON()]
  }

  private addLanes ({ lanes }: WorkerMetricSources): void {
    this.counter({
      name: 'orbitstream_points_total',
      help: 'Points by outcome.',
      labelNames: ['outcome']
    }, (counter) => {
      for (const [outcome, count] of Object.entries(lanes.snapshot().points)) counter.inc({ outcome }, count)
    })
    this.gauge({
      name: 'orbitstream_points_waiting',
      help: 'Points accepted but not yet in the database.'
    }, (gauge) => gauge.set(lanes.snapshot().waiting))
    this.gauge({
      name: 'orbitstream_spool_bytes',
      help: 'Bytes of points waiting for the database.'
    }, (gauge) => gauge.set(lanes.snapshot().backlog.bytes))
    this.gauge({
      name: 'orbitstream_spool_oldest_seconds',
      help: 'Age of the oldest waiting frame.',
      aggregator: 'max'
    }, (gauge) => gauge.set(lanes.snapshot().backlog.oldestMs / 1000))
    this.gauge({
      name: 'orbitstream_database_connected_workers',
      help: 'Workers with a working database connection.'
    }, (gauge) => gauge.set(lanes.snapshot().database.state === 'ready' ? 1 : 0))
    this.counter({
      name: 'orbitstream_database_retries_total',
      help: 'Retried transactions.'
    }, (counter) => counter.inc(lanes.snapshot().database.retries))
  }

  private addStreams ({ pipelines }: WorkerMetricSources): void {
    this.counter({
      name: 'orbitstream_stream_points_total',
      help: 'Points received by stream, by outcome.',
      labelNames: ['stream', 'outcome']
    }, (counter) => {
      for (const pipeline of pipelines.all) {
        const { accepted, rejected, shed } = pipeline.snapshot()
        for (const [outcome, count] of Object.entries({ accepted, rejected, shed })) {
          counter.inc({ stream: pipeline.stream.name, outcome }, count)
        }
      }
    })
  }

  private addLimits ({ pipelines, slot }: WorkerMetricSources): void {
    this.counter({
      name: 'orbitstream_anomalies_total',
      help: 'Values beyond a limit, or flagged as outside their valid range.',
      labelNames: ['metric', 'severity']
    }, (counter) => {
      for (const { stream, anomalyCounts } of pipelines.all) {
        const countOf = (metric: number, severity: Severity): number => ANOMALY_SIDES.reduce(
          (sum, side) => sum + (anomalyCounts[metric * KINDS_MAX + kindOf(severity, side)] ?? 0), 0)
        stream.schema.metrics.forEach((name, metric) => {
          const labels = { metric: stream.qualify(name) }
          for (const severity of SEVERITIES) counter.inc({ ...labels, severity }, countOf(metric, severity))
        })
      }
    })
    this.counter({
      name: 'orbitstream_values_out_of_range_total',
      help: 'Values outside their valid range that were stored, by what became of them: flag, null.',
      labelNames: ['stream', 'metric', 'outside']
    }, (counter) => {
      for (const { stream, ranges } of pipelines.all) {
        for (const { metric, outside, count } of ranges?.ranges ?? []) {
          const name = stream.schema.metrics[metric] as string
          counter.inc({ stream: stream.name, metric: stream.qualify(name), outside }, count)
        }
      }
    })
    this.gauge({
      name: 'orbitstream_limits_version',
      help: 'Version of the limits in force, by worker.',
      labelNames: ['slot']
    }, (gauge) => gauge.set({ slot: String(slot) }, pipelines.limitsVersion))
  }

  private addProcess ({ slot }: WorkerMetricSources): void {
    const labels = { slot: String(slot) }
    this.counter({
      name: 'orbitstream_process_cpu_seconds_total',
      help: 'CPU time by worker.',
      labelNames: ['slot']
    }, (counter) => {
      const { user, system } = process.cpuUsage()
      counter.inc(labels, (user + system) / 1e6)
    })
    let residentBytes = 0
    this.gauge({
      name: 'orbitstream_process_resident_bytes',
      help: 'Resident memory by worker.',
      labelNames: ['slot']
    }, (gauge) => {
      residentBytes = readResidentBytes() ?? residentBytes
      gauge.set(labels, residentBytes)
    })
  }
}

/** On Linux this opens a file, which fails at the limit on open files: then null. */
function readResidentBytes (): number | null {
  try {
    return process.memoryUsage.rss()
  } catch {
    return null
  }
}
