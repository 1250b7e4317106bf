/**
 * Builds /metrics: the primary's own metrics, plus the sums over all workers, past and present. The counts of a dead
 * worker are kept, so no sum ever falls.
 */
import { AggregatorRegistry, Registry } from 'prom-client'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { RollupStatus } from '../../upkeep/rollups.js'
import type { Reconciliation } from '../counts/reconciliation.js'
import type { MetricsJson } from '../../messages/messages.js'
import { MetricRegistry } from '../../support/metric-registry.js'
import type { Slot } from '../slots.js'
import type { PassingAnswers } from './passing-answers.js'

/** Reloads on SIGHUP by outcome. */
export interface ReloadCounts {
  readonly ok: number
  readonly failed: number
}

export interface PrimaryMetricSources {
  readonly slots: readonly Slot[]
  /** Workers that died and were replaced. */
  readonly restarts: () => number
  readonly reconciliation: Reconciliation
  readonly passing: PassingAnswers
  readonly version: string
  readonly databaseKind: string
  readonly rollups: () => RollupStatus
  readonly reloads: ReloadCounts
  /** In milliseconds since 1970; null: no TLS. */
  readonly tlsExpiresMs: () => number | null
}

export class PrimaryMetrics extends MetricRegistry {
  /** Metrics of workers that have exited. */
  private readonly retired: MetricsJson[] = []

  constructor (private readonly sources: PrimaryMetricSources) {
    super()
    this.addWorkers(sources)
    this.addRollups(sources)
    this.addReloads(sources)
    this.addAnswers(sources)
  }

  /** The answer to GET /metrics. */
  async answer (): Promise<StatusAnswer> {
    const registry = await this.collect()
    return { status: 200, contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: await registry.metrics() }
  }

  /** The same metrics, for the primary itself. */
  async totals (): Promise<MetricsJson> {
    const registry = await this.collect()
    return await registry.getMetricsAsJSON()
  }

  /**
   * Keeps the counts of a dead worker.
   * @param forGood it is not replaced: its gauges are kept too, since what waits in its spool keeps waiting
   */
  keepDead (metrics: MetricsJson, forGood = false): void {
    this.retired.push(metrics.filter((metric) => forGood || (metric as { type?: string }).type !== 'gauge'))
  }

  private async collect (): Promise<Registry> {
    const own = await this.registry.getMetricsAsJSON()
    const workers = this.sources.slots.flatMap(({ report }) => report === null ? [] : [report.metrics])
    return sum([own, ...await this.compactRetired(), ...workers])
  }

  /** Sums up what has been retired, so that a worker that keeps dying does not fill the memory. */
  private async compactRetired (): Promise<MetricsJson[]> {
    const count = this.retired.length
    if (count > 1) this.retired.splice(0, count, await sum(this.retired).getMetricsAsJSON())
    return this.retired
  }

  private addWorkers ({ slots, restarts, reconciliation, version, databaseKind }: PrimaryMetricSources): void {
    this.gauge({
      name: 'orbitstream_info',
      help: 'Version and kind of database.',
      labelNames: ['version', 'database']
    }, (gauge) => gauge.set({ version, database: databaseKind }, 1))
    this.gauge({
      name: 'orbitstream_workers',
      help: 'Workers by state.',
      labelNames: ['state']
    }, (gauge) => {
      for (const { state } of slots) gauge.inc({ state })
    })
    this.gauge({
      name: 'orbitstream_conservation_error_points',
      help: 'Points that the workers\' counters do not explain. Not 0: points were lost or counted twice.'
    }, (gauge) => gauge.set(reconciliation.errorPoints))
    this.counter({
      name: 'orbitstream_worker_restarts_total',
      help: 'Workers that died and were replaced.'
    }, (counter) => counter.inc(restarts()))
  }

  private addReloads ({ reloads, tlsExpiresMs }: PrimaryMetricSources): void {
    this.counter({
      name: 'orbitstream_reloads_total',
      help: 'Reloads of tokens, UDP keys and TLS certificate, by outcome; if not ok, the previous ones stay in force.',
      labelNames: ['outcome']
    }, (counter) => {
      counter.inc({ outcome: 'ok' }, reloads.ok)
      counter.inc({ outcome: 'failed' }, reloads.failed)
    })
    this.gauge({
      name: 'orbitstream_tls_certificate_expiry_timestamp_seconds',
      help: 'When the TLS certificate expires, in seconds since 1970; 0: no TLS.'
    }, (gauge) => gauge.set((tlsExpiresMs() ?? 0) / 1000))
  }

  private addAnswers ({ passing }: PrimaryMetricSources): void {
    this.gauge({
      name: 'orbitstream_answers_passing_bytes',
      help: 'Large answers that the primary keeps until its workers take them.'
    }, (gauge) => gauge.set(passing.bytes))
    this.counter({
      name: 'orbitstream_answers_refused_total',
      help: 'Large answers that the primary refused because too many were on their way to workers.'
    }, (counter) => counter.inc(passing.refused))
  }

  private addRollups ({ rollups }: PrimaryMetricSources): void {
    this.gauge({
      name: 'orbitstream_rollup_waiting_minutes',
      help: 'Minutes of rollups waiting to be built or rebuilt.'
    }, (gauge) => gauge.set(rollups().waitingMinutes ?? 0))
    this.gauge({
      name: 'orbitstream_rollup_failed_buckets',
      help: 'Rollup buckets that failed and are left out.'
    }, (gauge) => gauge.set(rollups().failedBuckets))
    this.gauge({
      name: 'orbitstream_rollup_policy_overdue_seconds',
      help: 'Time since the last run of the most overdue TimescaleDB refresh policy; 0: none is overdue.'
    }, (gauge) => gauge.set(Math.max(0, ...rollups().overdue.map(({ seconds }) => seconds))))
  }
}

function sum (parts: readonly MetricsJson[]): Registry {
  return AggregatorRegistry.aggregate(parts as unknown as object[])
}
