/**
 * The pipeline of a worker: what listeners offer is held against the limits, goes into the open batch, and is counted.
 *
 * Conservation, in points:  received = accepted + rejected + shed
 *                           accepted + recovered = committed + quarantined + failed + lost + waiting
 * `recovered` stood in the spool when the process started; `waiting` stands in the open batch and in the journal;
 * `failed` was answered with an error because the journal could not keep it; `lost` is what damage of the disk has cost.
 */
import { PointColumns } from '../../protocol/columns.js'
import type { DecodeRules } from '../../protocol/point.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { AnomalyColumns } from '../limits/anomaly-columns.js'
import { KINDS_MAX, type LimitTable } from '../limits/limit-table.js'
import { Batcher, type BatcherSettings } from './batcher.js'
import type { AckLevel, Intake, OnAck, Refusal } from './intake.js'
import type { Journal } from '../journal/journal.js'
import { COMMIT_WAITERS_MAX } from './waiters.js'

/** Points by what became of them, since the worker started. */
export class PointCounters {
  received = 0
  rejected = 0
  /** Dropped for want of room. */
  shed = 0
  accepted = 0
  recovered = 0
  committed = 0
  quarantined = 0
  failed = 0
  lost = 0
}

/** What the counters leave unexplained: 0, or something was lost or counted twice. */
export function conservationError (points: Readonly<PointCounters>, waiting: number): number {
  const { received, accepted, rejected, shed, recovered, committed, quarantined, failed, lost } = points
  return Math.abs(received - accepted - rejected - shed) + Math.abs(accepted + recovered - committed - quarantined - failed - lost - waiting)
}

export interface PipelineSettings extends BatcherSettings, DecodeRules {
  /** Said when the journal is full. */
  readonly fullCode: 'overloaded' | 'spool_full'
}

const TOO_BUSY: Refusal = { code: 'too_busy', retryAfterSeconds: 1 }
/** Of those that wait for a commit, some have come to their deadline then. */
const TOO_MANY_WAIT: Refusal = { code: 'too_busy', retryAfterSeconds: 5 }
const SHUTTING_DOWN: Refusal = { code: 'shutting_down', retryAfterSeconds: 5 }

export class Pipeline implements Intake {
  readonly columns: PointColumns
  readonly satellites = new SatelliteTable()
  private readonly counters = { received: 0, rejected: 0, shed: 0, accepted: 0, failed: 0 }
  readonly batcher: Batcher
  readonly rules: DecodeRules
  /** Anomalies found, by metric and kind: metric * KINDS_MAX + kind. */
  readonly anomalyCounts: Float64Array
  private readonly anomalies = new AnomalyColumns()
  private readonly full: Refusal
  private stopping = false

  /** @param limits may be exchanged at any time: what is offered together is judged by one and the same table */
  constructor (private readonly journal: Journal, settings: PipelineSettings, public limits: LimitTable) {
    const { schema } = limits
    this.columns = new PointColumns(schema)
    this.anomalyCounts = new Float64Array(schema.metricCount * KINDS_MAX)
    this.rules = settings
    this.full = { code: settings.fullCode, retryAfterSeconds: 5 }
    this.batcher = new Batcher(journal, settings, schema)
    this.batcher.onRefused = (rows) => { this.counters.failed += rows }
  }

  refusal (ack: AckLevel): Refusal | null {
    if (this.stopping) return SHUTTING_DOWN
    if (ack === 'committed' && this.batcher.committing >= COMMIT_WAITERS_MAX) return TOO_MANY_WAIT
    switch (this.journal.pressure()) {
      case 'none': return null
      case 'soft': return TOO_BUSY
      case 'hard': return this.full
    }
  }

  offer (ack: AckLevel, onAck: OnAck): void {
    const { count } = this.columns
    this.counters.received += count
    this.counters.accepted += count
    if (this.stopping) {
      // The journal takes no more: even "received" would be said of points that are then dropped.
      this.counters.failed += count
      onAck(SHUTTING_DOWN.code)
    } else if (count === 0) {
      onAck(null)
    } else {
      this.satellites.keep()
      this.batcher.append(this.columns, this.judge(), ack, onAck)
    }
  }

  reject (points: number): void {
    this.counters.received += points
    this.counters.rejected += points
  }

  shed (points: number): void {
    this.counters.received += points
    this.counters.shed += points
  }

  /** The counters of what comes in as they stand now; those of the way out are the journal's. */
  snapshot (): PointCounters {
    return Object.assign(new PointCounters(), this.counters)
  }

  /** Points in the open batch. */
  get openRows (): number {
    return this.batcher.rows
  }

  private judge (): AnomalyColumns | null {
    const { anomalies } = this
    this.limits.judge(this.columns, this.satellites.generation, anomalies)
    if (anomalies.count === 0) return null
    for (let index = 0; index < anomalies.count; index++) {
      const cell = (anomalies.metrics[index] as number) * KINDS_MAX + (anomalies.kinds[index] as number)
      this.anomalyCounts[cell] = (this.anomalyCounts[cell] as number) + 1
    }
    return anomalies
  }

  /** Refuses what comes from now on; what was accepted goes on. */
  stop (): void {
    this.stopping = true
    this.batcher.close()
  }
}
