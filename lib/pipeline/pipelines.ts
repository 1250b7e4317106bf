/** The pipelines of a worker, one for each stream of the catalogue, over one journal and one table of satellites. */
import { strict as assert } from 'node:assert'
import type { Catalogue, Stream } from '../../protocol/catalogue.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import type { NumberedLimits, Severity } from '../limits/limit-set.js'
import { KINDS_MAX, LimitTable, ROWS_BYTES_MAX, kindOf } from '../limits/limit-table.js'
import type { Journal } from '../journal/journal.js'
import { Pipeline, PointCounters, type PipelineListener, type PipelineSettings } from './pipeline.js'

export interface PipelinesOptions {
  readonly journal: Journal
  readonly settings: PipelineSettings
  readonly catalogue: Catalogue
  readonly limits: NumberedLimits
  /** @param position of the stream in the catalogue */
  readonly listener: (stream: Stream, position: number) => PipelineListener
  readonly satellites?: SatelliteTable
}

/** Anomalies of a metric, named as limits name it. */
export interface ChangeCount {
  readonly metric: string
  readonly severity: Severity
  count: number
}

export class Pipelines {
  /** In the order of the catalogue. */
  readonly all: readonly Pipeline[]
  readonly telemetry: Pipeline
  private readonly byName: ReadonlyMap<string, Pipeline>
  private readonly rowsBytesMax: number

  constructor ({ journal, settings, catalogue, limits, listener, satellites }: PipelinesOptions) {
    const { streams } = catalogue
    this.rowsBytesMax = ROWS_BYTES_MAX / streams.length
    const shared = {
      satellites: satellites ?? new SatelliteTable(),
      committing: () => this.all.reduce((sum, { batcher }) => sum + batcher.committing, 0)
    }
    this.all = streams.map((stream, position) => new Pipeline(
      journal, settings, stream, this.tableOf(limits, stream), listener(stream, position), shared))
    this.byName = new Map(this.all.map((pipeline) => [pipeline.stream.name, pipeline]))
    const telemetry = this.named(catalogue.telemetry.name)
    assert(telemetry !== null, 'every catalogue has telemetry')
    this.telemetry = telemetry
  }

  /** Null: there is no such stream. */
  named (stream: string): Pipeline | null {
    return this.byName.get(stream) ?? null
  }

  get limitsVersion (): number {
    return this.telemetry.limits.version
  }

  /** Takes effect between bodies: points are checked when they are offered, so no body sees two versions. */
  useLimits (limits: NumberedLimits): void {
    for (const pipeline of this.all) pipeline.limits = this.tableOf(limits, pipeline.stream)
  }

  /** Counts anomalies that are found as points are stored, in the streams that have their metrics. */
  countChanges (counts: readonly ChangeCount[]): void {
    for (const { metric, severity, count } of counts) {
      for (const { stream, anomalyCounts } of this.all) {
        const index = stream.schema.metrics.findIndex((name) => stream.qualify(name) === metric)
        const cell = index * KINDS_MAX + kindOf(severity, 'change')
        if (index !== -1) anomalyCounts[cell] = (anomalyCounts[cell] as number) + count
      }
    }
  }

  /** Counters of incoming points of all streams; the journal has those of outgoing ones. */
  snapshot (): PointCounters {
    const sum = new PointCounters()
    for (const pipeline of this.all) {
      const { received, rejected, shed, accepted, failed } = pipeline.snapshot()
      sum.received += received
      sum.rejected += rejected
      sum.shed += shed
      sum.accepted += accepted
      sum.failed += failed
    }
    return sum
  }

  /** Points in open batches. */
  get openRows (): number {
    return this.all.reduce((sum, { openRows }) => sum + openRows, 0)
  }

  /** Points accepted that the journal has not yet made durable. */
  get unspooled (): number {
    return this.all.reduce((sum, { unspooled }) => sum + unspooled, 0)
  }

  /** Refuses points from now on; those accepted are still stored. */
  stop (): void {
    for (const pipeline of this.all) pipeline.stop()
  }

  private tableOf (limits: NumberedLimits, stream: Stream): LimitTable {
    const names = stream.schema.metrics.map((metric) => stream.qualify(metric))
    return new LimitTable(limits, stream.schema, names, this.rowsBytesMax)
  }
}
