/**
 * One version of the limits, compiled for checking every point.
 *
 * The check allocates nothing and keeps no state between points. Satellites with the same limits share a row:
 *
 *   bounds      row × metric × [ low, high ]           a value outside is an anomaly
 *   thresholds  row × metric × [ low critical, low warning, high warning, high critical ]   read only for anomalies
 *   states      row × metric: kinds of anomaly by value, of states and bools with limits; others have none
 *   rows        row by Satellite.index; valid only while owners[index] is that same Satellite (satellites.ts)
 *
 * NaN means "no limit" or, in a point, "no value": every comparison with it is false. Every value of a state with
 * limits is below its low bound, so that the check of numbers costs nothing more, and is looked up. Rows are forgotten
 * when the SatelliteTable begins a new generation, and when they take ROWS_BYTES_MAX: then the satellites that still
 * send are looked up again.
 */
import type { PointColumns } from '../../protocol/columns.js'
import type { Satellite } from '../../protocol/satellites.js'
import type { PointSchema } from '../../protocol/schema.js'
import type { ValueType } from '../../protocol/value-types.js'
import type { AnomalyColumns } from './anomaly-columns.js'
import { ANOMALY_SIDES, SEVERITIES } from './limit-set.js'
import type {
  AnomalySide, MetricLimits, NumberedLimits, Severity, SideLimits, StateLimits
} from './limit-set.js'
import { LimitResolver } from './resolver.js'

/** Code of an anomaly's severity and side: severity * sides + side. */
export function kindOf (severity: Severity, side: AnomalySide): number {
  return SEVERITIES.indexOf(severity) * ANOMALY_SIDES.length + ANOMALY_SIDES.indexOf(side)
}

/** Number of kinds. */
export const KINDS_MAX = SEVERITIES.length * ANOMALY_SIDES.length

const LOW_CRITICAL = kindOf('critical', 'low')
const LOW_WARNING = kindOf('warning', 'low')
const HIGH_WARNING = kindOf('warning', 'high')
const HIGH_CRITICAL = kindOf('critical', 'high')

const BOUNDS = 2
const THRESHOLDS = 4
const DEFAULT_ROW = 0
/** Initial capacity. */
const ROWS = 16
/** Of all rows of a table: as much as 1,000 satellites with limits of their own need at 250 metrics, four times. */
export const ROWS_BYTES_MAX = 64 * 1024 * 1024
/** Bounds, thresholds, the reference to the states, and a share of the key. */
const CELL_BYTES = 8 * (BOUNDS + THRESHOLDS + 1) + 4

export class LimitTable {
  readonly version: number
  private readonly resolver: LimitResolver
  /** The entry that applies, by metric; scratch memory for resolve(). */
  private readonly chosen: number[]
  private readonly rowByEntries = new Map<string, number>()
  private readonly metricCount: number
  private readonly rowsMax: number
  private bounds: Float64Array
  private thresholds: Float64Array
  private readonly states: Array<ReadonlyMap<number, number> | undefined> = []
  private rows = new Int32Array(1024)
  private owners: Satellite[] = []
  private generation = 0

  /**
   * @param schema of the points to check
   * @param names of its metrics, as limits have them
   */
  constructor (
    limits: NumberedLimits, readonly schema: PointSchema, names = schema.metrics, rowsBytesMax = ROWS_BYTES_MAX
  ) {
    const { metricCount } = schema
    this.rowsMax = Math.max(2, Math.floor(rowsBytesMax / (metricCount * CELL_BYTES)))
    this.version = limits.version
    this.metricCount = metricCount
    this.bounds = new Float64Array(metricCount * BOUNDS * ROWS)
    this.thresholds = new Float64Array(metricCount * THRESHOLDS * ROWS)
    this.resolver = new LimitResolver(limits.set, names)
    this.chosen = new Array<number>(metricCount).fill(this.resolver.defaultEntry)
    this.rowOfEntries()
  }

  /**
   * Finds all values beyond a limit. Each is one anomaly, of the most severe limit that it exceeds.
   *
   * @param generation of the SatelliteTable that holds the points' satellites
   * @param anomalies is cleared first
   */
  judge (columns: PointColumns, generation: number, anomalies: AnomalyColumns): void {
    anomalies.clear(this.version)
    if (this.resolver.uniform) {
      this.judgeByDefault(columns, anomalies)
      return
    }
    if (generation !== this.generation) this.forget()
    this.generation = generation
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
      // The decoder fills satellites up to count.
      const satellite = satellites[point] as Satellite
      const isKnown = this.owners[satellite.index] === satellite
      const row = isKnown ? this.rows[satellite.index] as number : this.learn(satellite)
      const { bounds } = this
      for (let metric = 0, at = row * metricCount * BOUNDS; metric < metricCount; metric++, at += BOUNDS) {
        const value = values[first + metric] as number
        if (value < (bounds[at] as number) || value > (bounds[at + 1] as number)) {
          this.add(point, metric, value, row, anomalies)
        }
      }
    }
  }

  private add (point: number, metric: number, value: number, row: number, anomalies: AnomalyColumns): void {
    const { thresholds } = this
    const cell = row * this.metricCount + metric
    const states = this.states[cell]
    if (states !== undefined) {
      const kind = states.get(value)
      if (kind !== undefined) anomalies.push(point, metric, kind, value)
      return
    }
    const at = cell * THRESHOLDS
    const lowCritical = thresholds[at] as number
    const lowWarning = thresholds[at + 1] as number
    const highWarning = thresholds[at + 2] as number
    const highCritical = thresholds[at + 3] as number
    if (value < lowCritical) anomalies.push(point, metric, LOW_CRITICAL, lowCritical)
    else if (value > highCritical) anomalies.push(point, metric, HIGH_CRITICAL, highCritical)
    else if (value < lowWarning) anomalies.push(point, metric, LOW_WARNING, lowWarning)
    else anomalies.push(point, metric, HIGH_WARNING, highWarning)
  }

  private forget (): void {
    this.owners = []
    this.rowByEntries.clear()
    this.states.length = 0
    this.chosen.fill(this.resolver.defaultEntry)
    this.rowOfEntries()
  }

  /** Assigns a row to a satellite that is new, or new in this generation of its table. */
  private learn (satellite: Satellite): number {
    // Between two points nobody holds a row.
    if (this.rowByEntries.size >= this.rowsMax) this.forget()
    this.resolver.resolve(satellite.id, this.chosen)
    const row = this.rowOfEntries()
    if (satellite.index >= this.rows.length) this.growRows(satellite.index)
    this.rows[satellite.index] = row
    // No holes: an array that once had holes stays slow.
    while (this.owners.length < satellite.index) this.owners.push(satellite)
    this.owners[satellite.index] = satellite
    return row
  }

  /** The row for the entries in `chosen`, added if it is new. */
  private rowOfEntries (): number {
    const key = this.chosen.join(' ')
    const known = this.rowByEntries.get(key)
    if (known !== undefined) return known
    const row = this.rowByEntries.size
    this.rowByEntries.set(key, row)
    if ((row + 1) * this.metricCount * BOUNDS > this.bounds.length) this.growLimits()
    for (let metric = 0; metric < this.metricCount; metric++) {
      this.writeLimits(row, metric, this.resolver.entries[this.chosen[metric] ?? 0]?.get(metric) ?? {})
    }
    return row
  }

  private writeLimits (row: number, metric: number, { low, high, states }: MetricLimits): void {
    const cell = row * this.metricCount + metric
    const levels = [low?.critical, low?.warning, high?.warning, high?.critical]
    this.states[cell] = states === undefined ? undefined : kindsOf(states, this.schema.types[metric] as ValueType)
    this.bounds.set(states === undefined ? [firstLimit(low), firstLimit(high)] : [Infinity, NaN], cell * BOUNDS)
    this.thresholds.set(levels.map((limit) => limit ?? NaN), cell * THRESHOLDS)
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

/** The limit of a side that a value reaches first: the warning comes before the critical limit. */
function firstLimit (limits: SideLimits | undefined): number {
  return limits?.warning ?? limits?.critical ?? NaN
}

/** Kinds of anomaly by value. States that this catalogue does not have are left out: a newer one has. */
function kindsOf (limits: StateLimits, type: ValueType): ReadonlyMap<number, number> {
  return new Map(SEVERITIES.flatMap((severity) => (limits[severity] ?? []).map((state): [number, number] => (
    [type.read(state), kindOf(severity, 'state')]))))
}
