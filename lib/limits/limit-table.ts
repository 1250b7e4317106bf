/**
 * One version of the limits, made ready for the check of every point.
 *
 * The check allocates nothing and keeps no state between points. Satellites whose limits come out alike share a row:
 *
 *   bounds      row × metric × [ low, high ]                                        what a value must not go beyond at all
 *   thresholds  row × metric × [ low critical, low warning, high warning, high critical ]   looked at only then
 *   rows        by Satellite.index: its row; counts only while owners[index] is that very Satellite (see satellites.ts)
 *
 * NaN stands for "no limit", and for a metric that a point does not have: every comparison with it is false. Memory is
 * bounded by the satellites that their table holds, and forgotten when that table begins a new generation.
 */
import type { PointColumns } from '../../protocol/columns.js'
import type { Satellite } from '../../protocol/satellites.js'
import type { PointSchema } from '../../protocol/schema.js'
import type { AnomalyColumns } from './anomaly-columns.js'
import { LIMIT_SIDES, SEVERITIES, type MetricLimits, type NumberedLimits, type Severity, type SideLimits } from './limit-set.js'
import { LimitResolver } from './resolver.js'

/** Kind of an anomaly as one small number: severity * 2 + side. */
export function kindOf (severity: Severity, side: typeof LIMIT_SIDES[number]): number {
  return SEVERITIES.indexOf(severity) * LIMIT_SIDES.length + LIMIT_SIDES.indexOf(side)
}

/** Kinds that there are. */
export const KINDS_MAX = SEVERITIES.length * LIMIT_SIDES.length

const LOW_CRITICAL = kindOf('critical', 'low')
const LOW_WARNING = kindOf('warning', 'low')
const HIGH_WARNING = kindOf('warning', 'high')
const HIGH_CRITICAL = kindOf('critical', 'high')

const BOUNDS = 2
const THRESHOLDS = 4
const DEFAULT_ROW = 0
/** There is room for at first. */
const ROWS = 16

export class LimitTable {
  readonly version: number
  private readonly resolver: LimitResolver
  /** Entry that counts for each metric; scratch of resolve(). */
  private readonly chosen: number[]
  private readonly rowByEntries = new Map<string, number>()
  private readonly metricCount: number
  private bounds: Float64Array
  private thresholds: Float64Array
  private rows = new Int32Array(1024)
  private owners: Satellite[] = []
  private generation = 0

  /** @param schema of the points that are judged */
  constructor (limits: NumberedLimits, readonly schema: PointSchema) {
    const { metrics, metricCount } = schema
    this.version = limits.version
    this.metricCount = metricCount
    this.bounds = new Float64Array(metricCount * BOUNDS * ROWS)
    this.thresholds = new Float64Array(metricCount * THRESHOLDS * ROWS)
    this.resolver = new LimitResolver(limits.set, metrics)
    this.chosen = new Array<number>(metricCount).fill(this.resolver.defaultEntry)
    this.rowOfEntries()
  }

  /**
   * Finds all values beyond their limit: one anomaly for each, of the most severe limit that it breaks.
   *
   * @param generation of the SatelliteTable that the points' satellites come from
   * @param anomalies cleared first
   */
  judge (columns: PointColumns, generation: number, anomalies: AnomalyColumns): void {
    anomalies.clear(this.version)
    if (this.resolver.uniform) {
      this.judgeByDefault(columns, anomalies)
      return
    }
    if (generation !== this.generation) this.forget(generation)
    this.judgeEach(columns, anomalies)
  }

  private judgeByDefault ({ count, values }: PointColumns, anomalies: AnomalyColumns): void {
    const { bounds, metricCount } = this
    for (let point = 0, first = 0; point < count; point++, first += metricCount) {
      for (let metric = 0; metric < metricCount; metric++) {
        const value = values[first + metric] as number
        if (value < (bounds[2 * metric] as number) || value > (bounds[2 * metric + 1] as number)) {
          this.add(point, metric, value, DEFAULT_ROW, anomalies)
        }
      }
    }
  }

  private judgeEach ({ count, satellites, values }: PointColumns, anomalies: AnomalyColumns): void {
    const { metricCount } = this
    for (let point = 0, first = 0; point < count; point++, first += metricCount) {
      // Filled up to count by the decoder.
      const satellite = satellites[point] as Satellite
      const row = this.owners[satellite.index] === satellite ? this.rows[satellite.index] as number : this.learn(satellite)
      const { bounds } = this
      for (let metric = 0, at = row * metricCount * BOUNDS; metric < metricCount; metric++, at += BOUNDS) {
        const value = values[first + metric] as number
        if (value < (bounds[at] as number) || value > (bounds[at + 1] as number)) this.add(point, metric, value, row, anomalies)
      }
    }
  }

  private add (point: number, metric: number, value: number, row: number, anomalies: AnomalyColumns): void {
    const { thresholds } = this
    const at = (row * this.metricCount + metric) * THRESHOLDS
    if (value < (thresholds[at] as number)) anomalies.push(point, metric, LOW_CRITICAL, thresholds[at] as number)
    else if (value > (thresholds[at + 3] as number)) anomalies.push(point, metric, HIGH_CRITICAL, thresholds[at + 3] as number)
    else if (value < (thresholds[at + 1] as number)) anomalies.push(point, metric, LOW_WARNING, thresholds[at + 1] as number)
    else anomalies.push(point, metric, HIGH_WARNING, thresholds[at + 2] as number)
  }

  private forget (generation: number): void {
    this.generation = generation
    this.owners = []
  }

  /** The row of a satellite that was not seen before, or not since its table began anew. */
  private learn (satellite: Satellite): number {
    this.resolver.resolve(satellite.id, this.chosen)
    const row = this.rowOfEntries()
    if (satellite.index >= this.rows.length) this.growRows(satellite.index)
    this.rows[satellite.index] = row
    // Filled without holes: an array with holes is slow for good.
    while (this.owners.length < satellite.index) this.owners.push(satellite)
    this.owners[satellite.index] = satellite
    return row
  }

  /** The row for the entries in `chosen`, made if it is new. */
  private rowOfEntries (): number {
    const key = this.chosen.join(' ')
    const known = this.rowByEntries.get(key)
    if (known !== undefined) return known
    const row = this.rowByEntries.size
    this.rowByEntries.set(key, row)
    if ((row + 1) * this.metricCount * BOUNDS > this.bounds.length) this.growLimits()
    for (let metric = 0; metric < this.metricCount; metric++) this.writeLimits(row, metric, this.resolver.entries[this.chosen[metric] ?? 0]?.[metric] ?? {})
    return row
  }

  private writeLimits (row: number, metric: number, { low, high }: MetricLimits): void {
    const place = row * this.metricCount + metric
    const bound = place * BOUNDS
    this.bounds[bound] = outermost(low)
    this.bounds[bound + 1] = outermost(high)
    this.thresholds.set([low?.critical ?? NaN, low?.warning ?? NaN, high?.warning ?? NaN, high?.critical ?? NaN], place * THRESHOLDS)
  }

  private growRows (index: number): void {
    const larger = new Int32Array(Math.max(index + 1, this.rows.length * 2))
    larger.set(this.rows)
    this.rows = larger
  }

  private growLimits (): void {
    const bounds = new Float64Array(this.bounds.length * 2)
    bounds.set(this.bounds)
    this.bounds = bounds
    const thresholds = new Float64Array(this.thresholds.length * 2)
    thresholds.set(this.thresholds)
    this.thresholds = thresholds
  }
}

/** The limit of a side that is met first: a warning stands before the critical one. */
function outermost (limits: SideLimits | undefined): number {
  return limits?.warning ?? limits?.critical ?? NaN
}
