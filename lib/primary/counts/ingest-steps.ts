/**
 * Cuts the counters of /metrics into ten-second steps for the table ingest_stats.
 *
 * Steps end on multiples of ten seconds of the clock; the first begins with the server. During a database outage up to
 * PENDING_MAX steps are kept, dropping the oldest, so the growth of the spool can be seen afterwards.
 */
import type { IngestStep, IngestSteps } from '../../upkeep/ingest-stats.js'
import type { MetricsJson } from '../../messages/messages.js'
import { Totals, quantileOf, type Labels } from './metric-totals.js'

const STEP_MS = 10_000
/** Steps of an hour. */
const PENDING_MAX = 3_600_000 / STEP_MS

export class IngestStepCutter implements IngestSteps {
  /** By time. If the clock is set back, a time may recur; the later step replaces the earlier one. */
  private readonly finished = new Map<string, IngestStep>()
  private current: IngestStep | null = null
  /** The open step as last stored; not stored again before the next sample. */
  private storedLast: IngestStep | null = null
  private before = new Totals([])
  private beginMs: number
  /** Time that identifies the step: a multiple of ten seconds, except for the first. */
  private labelMs: number

  constructor (private readonly instance: string, nowMs: number) {
    this.beginMs = nowMs
    this.labelMs = nowMs
  }

  /** Takes the current counters; called about once a second. */
  sample (metrics: MetricsJson, nowMs: number): void {
    const totals = new Totals(metrics)
    const clockWentBack = nowMs < this.beginMs
    const seconds = clockWentBack ? STEP_MS / 1000 : (nowMs - this.beginMs) / 1000
    // Two samples within a millisecond have no rate.
    if (seconds === 0) return
    const time = new Date(this.labelMs).toISOString()
    const step = this.current = stepOf(this.before, totals, { time, instance: this.instance, seconds })
    const labelMs = Math.floor(nowMs / STEP_MS) * STEP_MS
    if (labelMs <= this.labelMs && !clockWentBack) return
    this.finish(step)
    this.before = totals
    this.beginMs = nowMs
    this.labelMs = labelMs
  }

  pending (): readonly IngestStep[] {
    if (this.current === null || this.current === this.storedLast) return [...this.finished.values()]
    return [...new Map(this.finished).set(this.current.time, this.current).values()]
  }

  stored (steps: readonly IngestStep[]): void {
    for (const step of steps) {
      const open = step === this.current
      if (open) this.storedLast = step
      // The open step replaces a finished one with the same time, which must not be stored after it.
      if (open || this.finished.get(step.time) === step) this.finished.delete(step.time)
    }
  }

  private finish (step: IngestStep): void {
    this.current = null
    this.finished.delete(step.time)
    this.finished.set(step.time, step)
    const [oldest] = this.finished.keys()
    if (this.finished.size > PENDING_MAX && oldest !== undefined) this.finished.delete(oldest)
  }
}

function stepOf (before: Totals, now: Totals, head: Pick<IngestStep, 'time' | 'instance' | 'seconds'>): IngestStep {
  // Sums never fall, except for what a killed worker had not reported: never below zero.
  const grown = (name: string, labels?: Labels): number =>
    Math.max(0, now.value(name, labels) - before.value(name, labels))
  const points = (outcome: string): number => grown('orbitstream_points_total', { outcome })
  const packets = (outcome: string): number => grown('orbitstream_udp_packets_total', { outcome })
  const quantile = (name: string, share: number): number | null =>
    quantileOf(before.buckets(name), now.buckets(name), share)
  const udpPoints = grown('orbitstream_udp_points_total')
  return {
    ...head,
    http_points: Math.max(0, points('accepted') - udpPoints),
    udp_points: udpPoints,
    replicated_points: points('replicated'),
    committed_points: points('committed'),
    rejected_points: points('rejected'),
    shed_points: points('shed'),
    quarantined_points: points('quarantined'),
    requests: grown('orbitstream_ack_seconds_count'),
    http_denied_requests: grown('orbitstream_http_denied_total'),
    ack_p50_seconds: quantile('orbitstream_ack_seconds', 0.5),
    ack_p99_seconds: quantile('orbitstream_ack_seconds', 0.99),
    batches: grown('orbitstream_batch_points_count'),
    batch_points: grown('orbitstream_batch_points_sum'),
    transactions: grown('orbitstream_commit_seconds_count'),
    transaction_points: grown('orbitstream_copy_points_sum'),
    transaction_seconds: grown('orbitstream_commit_seconds_sum'),
    transaction_p99_seconds: quantile('orbitstream_commit_seconds', 0.99),
    database_retries: grown('orbitstream_database_retries_total'),
    points_waiting: now.value('orbitstream_points_waiting'),
    spool_bytes: now.value('orbitstream_spool_bytes'),
    spool_oldest_seconds: now.value('orbitstream_spool_oldest_seconds'),
    udp_packets: grown('orbitstream_udp_packets_total'),
    udp_missing_packets: grown('orbitstream_udp_gap_packets_total') - grown('orbitstream_udp_late_packets_total'),
    udp_kernel_drops: grown('orbitstream_udp_kernel_drops_total'),
    udp_malformed_packets: packets('malformed'),
    udp_duplicate_packets: packets('duplicate'),
    udp_stale_packets: packets('stale'),
    udp_shed_packets: packets('shed'),
    udp_denied_packets: packets('denied'),
    ...grownAnomalies(before, now),
    worker_restarts: grown('orbitstream_worker_restarts_total'),
    workers_ready: now.value('orbitstream_workers', { state: 'ready' })
  }
}

function grownAnomalies (before: Totals, now: Totals): Pick<IngestStep, 'anomaly_kinds' | 'anomaly_counts'> {
  const name = 'orbitstream_anomalies_total'
  const kinds = now.labels(name).map(({ metric = '', severity = '' }) => {
    const labels = { metric: String(metric), severity: String(severity) }
    return { ...labels, count: now.value(name, labels) - before.value(name, labels) }
  }).filter(({ count }) => count > 0)
  return {
    anomaly_kinds: kinds.map(({ metric, severity }) => `${metric} ${severity}`).join(','),
    anomaly_counts: kinds.map(({ count }) => count)
  }
}
