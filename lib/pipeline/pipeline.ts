/**
 * The pipeline of a worker's stream: checks the points that listeners offer against valid ranges and limits, appends
 * them to the open batch, and counts them.
 *
 * Reconciliation, in points:  received = accepted + rejected + shed
 *                             accepted + recovered = committed + quarantined + failed + lost + waiting
 *
 * recovered: found in the spool when the process started; waiting: in the open batch or the journal; failed: answered
 * with an error because the journal could not keep them; lost: to disk damage. replicated, which is in neither sum:
 * acknowledged by the replicated log.
 */
import type { Stream } from '../../protocol/catalogue.js'
import { PointColumns } from '../../protocol/columns.js'
import type { DecodeRules } from '../../protocol/point.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { AnomalyColumns } from '../limits/anomaly-columns.js'
import { KINDS_MAX, type LimitTable } from '../limits/limit-table.js'
import { Batcher, type BatchListener, type BatcherSettings } from './batcher.js'
import type { AckLevel, Intake, OnAck, Refusal } from './intake.js'
import type { Journal } from '../journal/journal.js'
import { RangeCheck } from './range-check.js'
import { COMMIT_WAITERS_MAX } from './waiters.js'

/** Points by outcome, since the worker started. */
export class PointCounters {
  received = 0
  rejected = 0
  /** Dropped because the journal was full. */
  shed = 0
  accepted = 0
  recovered = 0
  replicated = 0
  committed = 0
  quarantined = 0
  failed = 0
  lost = 0
}

/** Points unaccounted for: other than 0 means that some were lost or counted twice. */
export function conservationError (points: Readonly<PointCounters>, waiting: number): number {
  const { received, accepted, rejected, shed, recovered, committed, quarantined, failed, lost } = points
  return Math.abs(received - accepted - rejected - shed) +
    Math.abs(accepted + recovered - committed - quarantined - failed - lost - waiting)
}

export interface PipelineSettings extends BatcherSettings, DecodeRules {
  /** The error when the journal is full. */
  readonly fullCode: 'overloaded' | 'spool_full'
}

/** What a pipeline reports. */
export interface PipelineListener extends Pick<BatchListener, 'onClosed' | 'onAnomalies'> {
  /** Points are about to be appended. Synchronous: columns and anomalies (null: none) are refilled afterwards. */
  onOffered? (columns: PointColumns, anomalies: AnomalyColumns | null): void
}

const TOO_BUSY: Refusal = { code: 'too_busy', retryAfterSeconds: 1 }
/** By then some of the requests waiting for a commit have reached their deadline. */
const TOO_MANY_WAIT: Refusal = { code: 'too_busy', retryAfterSeconds: 5 }
const RETRY_FAILED_SECONDS = 5
const SHUTTING_DOWN: Refusal = { code: 'shutting_down', retryAfterSeconds: 5 }

/** A point that the stream's retention would drop right away is refused instead. */
function rulesOf (settings: DecodeRules, { storage: { retentionMs } }: Stream): DecodeRules {
  const { timeWindowPastMs } = settings
  if (retentionMs === null || retentionMs >= timeWindowPastMs) return settings
  return { ...settings, timeWindowPastMs: retentionMs }
}

export interface SharedParts {
  readonly satellites: SatelliteTable
  /** Requests that wait for a commit. */
  readonly committing: () => number
}

export class Pipeline implements Intake {
  readonly columns: PointColumns
  private readonly counters = { received: 0, rejected: 0, shed: 0, accepted: 0, failed: 0 }
  readonly batcher: Batcher
  readonly rules: DecodeRules
  /** Anomalies found, by metric and kind: metric * KINDS_MAX + kind. */
  readonly anomalyCounts: Float64Array
  /** Null: no metric has a range whose values outside are stored. */
  readonly ranges: RangeCheck | null
  private readonly anomalies = new AnomalyColumns()
  private readonly full: Refusal
  /** Points that the journal keeps. */
  private kept = 0
  private stopping = false

  readonly satellites: SatelliteTable
  /** Requests of the worker that wait for a commit. */
  private readonly committing: () => number

  /**
   * @param limits may be replaced at any time; points offered together are judged by the same table
   * @param shared what all pipelines of the worker have together; default: there is no other
   */
  constructor (
    private readonly journal: Journal,
    settings: PipelineSettings,
    readonly stream: Stream,
    public limits: LimitTable,
    private readonly listener: PipelineListener = {},
    shared: SharedParts | null = null
  ) {
    const { schema } = stream
    this.satellites = shared?.satellites ?? new SatelliteTable()
    this.committing = shared?.committing ?? (() => this.batcher.committing)
    this.columns = new PointColumns(schema)
    this.anomalyCounts = new Float64Array(schema.metricCount * KINDS_MAX)
    this.ranges = RangeCheck.of(stream)
    this.rules = rulesOf(settings, stream)
    this.full = { code: settings.fullCode, retryAfterSeconds: 5 }
    this.batcher = new Batcher(journal, settings, stream, {
      ...listener,
      onKept: (rows) => { this.kept += rows },
      onRefused: (rows) => { this.counters.failed += rows }
    })
  }

  refusal (ack: AckLevel): Refusal | null {
    if (this.stopping) return SHUTTING_DOWN
    if (ack === 'committed' && this.committing() >= COMMIT_WAITERS_MAX) return TOO_MANY_WAIT
    switch (this.journal.pressure()) {
      case 'none': return null
      case 'soft': return TOO_BUSY
      case 'hard': return this.fullOrFailed()
    }
  }

  private fullOrFailed (): Refusal {
    const code = this.journal.outage?.() ?? null
    return code === null ? this.full : { code, retryAfterSeconds: RETRY_FAILED_SECONDS }
  }

  offer (ack: AckLevel, onAck: OnAck): void {
    const { count } = this.columns
    this.counters.received += count
    this.counters.accepted += count
    if (this.stopping) {
      // The journal accepts no more: even 'received' would acknowledge points that are then dropped.
      this.counters.failed += count
      onAck(SHUTTING_DOWN.code)
    } else if (count === 0) {
      onAck(null)
    } else {
      this.satellites.keep()
      const anomalies = this.judge()
      this.listener.onOffered?.(this.columns, anomalies)
      this.batcher.append(this.columns, anomalies, ack, onAck)
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

  /** A copy of the counters of incoming points; the journal has those of outgoing ones. */
  snapshot (): PointCounters {
    return Object.assign(new PointCounters(), this.counters)
  }

  /** Points in the open batch. */
  get openRows (): number {
    return this.batcher.rows
  }

  /** Points accepted that the journal has not yet made durable. */
  get unspooled (): number {
    const { accepted, failed } = this.counters
    return accepted - failed - this.kept
  }

  private judge (): AnomalyColumns | null {
    const { ranges } = this
    // First, so that limits do not judge what is not stored.
    ranges?.check(this.columns)
    this.limits.judge(this.columns, this.satellites.generation, this.anomalies)
    const anomalies = ranges === null ? this.anomalies : ranges.flag(this.anomalies)
    if (anomalies.count === 0) return null
    for (let index = 0; index < anomalies.count; index++) {
      const cell = (anomalies.metrics[index] as number) * KINDS_MAX + (anomalies.kinds[index] as number)
      this.anomalyCounts[cell] = (this.anomalyCounts[cell] as number) + 1
    }
    return anomalies
  }

  /** Refuses points from now on; those accepted are still stored. */
  stop (): void {
    this.stopping = true
    this.batcher.close()
  }
}
