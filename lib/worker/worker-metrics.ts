/**
 * The Prometheus metrics of a worker. Counts are kept as plain numbers where they arise and copied when
 * a report is asked for; only latencies and sizes are observed as they happen. A listener adds its own.
 */
import { Counter, Gauge, Histogram, Registry, type CounterConfiguration } from 'prom-client'
import { LIMIT_SIDES, SEVERITIES } from '../limits/limit-set.js'
import { KINDS_MAX, kindOf } from '../limits/limit-table.js'
import { TELEMETRY } from '../../protocol/metrics.js'
import type { Lanes } from '../lane/lanes.js'
import type { MetricsJson } from '../messages/messages.js'

const LATENCY_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const BATCH_ROWS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]

export interface WorkerMetricSources {
  readonly slot: number
  /** As in Pipeline.anomalyCounts. */
  readonly anomalies: Float64Array
  readonly limitsVersion: () => number
  readonly lanes: Pick<Lanes, 'standing'>
}

/** Null: not now. It opens a file on Linux, which fails where the system allows no more. */
function readResidentBytes (): number | null {
  try {
    return process.memoryUsage.rss()
  } catch {
    return null
  }
}

export class WorkerMetrics {
  private readonly registry = new Registry()
  private readonly ackSeconds = this.histogram('orbitstream_ack_seconds', 'Time from a request to its answer.', LATENCY_SECONDS)
  private readonly commitSeconds = this.histogram('orbitstream_commit_seconds', 'Time of a transaction that stores points.', LATENCY_SECONDS)
  private readonly syncSeconds = this.histogram('orbitstream_sync_seconds', 'Time of an fdatasync of the spool.', LATENCY_SECONDS)
  private readonly batchRows = this.histogram('orbitstream_batch_points', 'Points in a batch when it closes.', BATCH_ROWS)
  private readonly copyRows = this.histogram('orbitstream_copy_points', 'Points in a transaction.', BATCH_ROWS)

  constructor (sources: WorkerMetricSources) {
    const { lanes } = sources
    this.countPoints(lanes)
    this.countAnomalies(sources)
    this.gauge('orbitstream_points_waiting', 'Points accepted and not yet in the database.', () => lanes.standing().waiting)
    this.gauge('orbitstream_spool_bytes', 'Bytes of points that wait for the database.', () => lanes.standing().backlog.bytes)
    this.gauge('orbitstream_spool_oldest_seconds', 'Age of the oldest frame that waits.', () => lanes.standing().backlog.oldestMs / 1000, 'max')
    this.gauge('orbitstream_database_connected_workers', 'Workers whose database connection works.', () => lanes.standing().database.state === 'ready' ? 1 : 0)
    this.counter({ name: 'orbitstream_database_retries_total', help: 'Transactions that were tried again.' }, (counter) => counter.inc(lanes.standing().database.retries))
    this.countProcess(String(sources.slot))
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
    return await this.registry.getMetricsAsJSON()
  }

  private countPoints (lanes: Pick<Lanes, 'standing'>): void {
    this.counter({ name: 'orbitstream_points_total', help: 'Points by what became of them.', labelNames: ['outcome'] }, (counter) => {
      for (const [outcome, count] of Object.entries(lanes.standing().points)) counter.inc({ outcome }, count)
    })
  }

  private countAnomalies ({ anomalies, limitsVersion, slot }: WorkerMetricSources): void {
    this.counter({ name: 'orbitstream_anomalies_total', help: 'Values beyond a limit.', labelNames: ['metric', 'severity'] }, (counter) => {
      TELEMETRY.metrics.forEach((name, metric) => {
        SEVERITIES.forEach((severity) => {
          const count = LIMIT_SIDES.reduce((sum, side) => sum + (anomalies[metric * KINDS_MAX + kindOf(severity, side)] ?? 0), 0)
          counter.inc({ metric: name, severity }, count)
        })
      })
    })
    const version: Gauge = new Gauge({
      name: 'orbitstream_limits_version',
      help: 'Version of the limits that a worker judges by.',
      labelNames: ['slot'],
      registers: [this.registry],
      collect: () => version.set({ slot: String(slot) }, limitsVersion())
    })
  }

  private countProcess (slot: string): void {
    this.counter({ name: 'orbitstream_process_cpu_seconds_total', help: 'CPU time by worker.', labelNames: ['slot'] }, (counter) => {
      const { user, system } = process.cpuUsage()
      counter.inc({ slot }, (user + system) / 1e6)
    })
    let residentBytes = 0
    const memory: Gauge = new Gauge({
      name: 'orbitstream_process_resident_bytes',
      help: 'Memory by worker.',
      labelNames: ['slot'],
      registers: [this.registry],
      collect: () => {
        residentBytes = readResidentBytes() ?? residentBytes
        memory.set({ slot }, residentBytes)
      }
    })
  }

  private histogram (name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.registry] })
  }

  gauge (name: string, help: string, read: () => number, aggregator: 'sum' | 'max' = 'sum'): void {
    const gauge: Gauge = new Gauge({ name, help, aggregator, registers: [this.registry], collect: () => gauge.set(read()) })
  }

  /** A counter whose value is kept elsewhere: written anew for each report. */
  counter (configuration: CounterConfiguration<string>, fill: (counter: Counter) => void): void {
    const counter: Counter = new Counter({
      ...configuration,
      registers: [this.registry],
      collect: () => {
        counter.reset()
        fill(counter)
      }
    })
  }
}
