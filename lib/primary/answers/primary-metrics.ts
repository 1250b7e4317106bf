/**
 * /metrics: the sums of all workers, those that are gone included, and what the primary itself knows.
 * A worker's counters live on after its death, so that no sum ever falls.
 */
import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { RollupStatus } from '../../upkeep/rollups.js'
import type { Conservation } from '../reconciliation.js'
import type { MetricsJson } from '../../messages/messages.js'
import type { Slot } from '../slots.js'

export class PrimaryMetrics {
  private readonly registry = new Registry()
  private readonly retired: MetricsJson[] = []

  constructor (private readonly slots: () => readonly Slot[], conservation: Conservation, version: string, databaseKind: string, rollups: () => RollupStatus | null = () => null) {
    const info = new Gauge({ name: 'orbitstream_info', help: 'Version and kind of database.', labelNames: ['version', 'database'], registers: [this.registry] })
    info.set({ version, database: databaseKind }, 1)
    const workers: Gauge = new Gauge({
      name: 'orbitstream_workers',
      help: 'Workers by state.',
      labelNames: ['state'],
      registers: [this.registry],
      collect: () => {
        workers.reset()
        for (const slot of slots()) workers.inc({ state: slot.state })
      }
    })
    const errors: Gauge = new Gauge({
      name: 'orbitstream_conservation_error_points',
      help: 'Points that the counters of a worker do not explain. Not 0: something was lost or counted twice.',
      registers: [this.registry],
      collect: () => errors.set(conservation.errorPoints)
    })
    const restarts: Counter = new Counter({
      name: 'orbitstream_worker_restarts_total',
      help: 'Workers that died and were replaced.',
      registers: [this.registry],
      collect: () => {
        restarts.reset()
        restarts.inc(slots().reduce((sum, slot) => sum + slot.restarts, 0))
      }
    })
    this.rollupGauge('orbitstream_rollup_waiting_minutes', 'Minutes of rollups that wait to be made, or made again.', () => rollups()?.waitingMinutes ?? 0)
    this.rollupGauge('orbitstream_rollup_failed_buckets', 'Buckets of rollups that cannot be made and are left out.', () => rollups()?.failedBuckets ?? 0)
    this.rollupGauge('orbitstream_rollup_policy_overdue_seconds', 'Since a refresh policy of TimescaleDB ran that has not run although it was due; 0: all run.', () => Math.max(0, ...(rollups()?.overdue ?? []).map(({ seconds }) => seconds)))
  }

  private rollupGauge (name: string, help: string, value: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.registry], collect: () => gauge.set(value()) })
  }

  /**
   * Keeps what a dead worker counted. @param forGood nobody takes its place: what it left waiting waits, and is kept too
   */
  retire (metrics: MetricsJson, forGood = false): void {
    this.retired.push(metrics.filter((metric) => forGood || (metric as { type?: string }).type !== 'gauge'))
  }

  async answer (): Promise<StatusAnswer> {
    return { status: 200, contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: await (await this.all()).metrics() }
  }

  /** The same sums, for the primary itself. */
  async totals (): Promise<MetricsJson> {
    return await (await this.all()).getMetricsAsJSON()
  }

  private async all (): Promise<Registry> {
    const own = await this.registry.getMetricsAsJSON()
    const workers = this.slots().flatMap(({ report }) => report === null ? [] : [report.metrics])
    return sum([own, ...await this.compactRetired(), ...workers])
  }

  /** The retired as one, so that a worker that keeps dying does not fill the memory. */
  private async compactRetired (): Promise<MetricsJson[]> {
    const count = this.retired.length
    if (count > 1) this.retired.splice(0, count, await sum(this.retired).getMetricsAsJSON())
    return this.retired
  }
}

function sum (parts: readonly MetricsJson[]): Registry {
  return AggregatorRegistry.aggregate(parts as unknown as object[])
}
