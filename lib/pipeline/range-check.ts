/**
 * The valid ranges of a stream that let values outside them be stored: as null, or with an anomaly. Values that are
 * refused never come this far (BoundedType).
 *
 *   check()   sets values to NaN, counts them, and finds those to be flagged
 *   flag()    adds these to the anomalies of the limits
 *
 * A metric of a point has at most one anomaly, as the bounds of a batch require (lib/primary/bounds.ts). For a flagged
 * value it is that of the range, whatever limit the value exceeds, so that a search for such values finds all of them.
 * It is a warning, or critical if that of the limit is: a range hides no alarm.
 */
import type { Stream } from '../../protocol/catalogue.js'
import type { PointColumns } from '../../protocol/columns.js'
import { boundsOf, type Outside } from '../../protocol/valid-range.js'
import { AnomalyColumns } from '../limits/anomaly-columns.js'
import { ANOMALY_SIDES, SEVERITIES } from '../limits/limit-set.js'
import { kindOf } from '../limits/limit-table.js'

interface CheckedRange {
  /** Index in the schema. */
  readonly metric: number
  readonly min: number
  readonly max: number
  readonly outside: Exclude<Outside, 'refuse'>
  /** Values outside, since the worker started. */
  count: number
}

const BELOW = kindOf('warning', 'range_low')
const ABOVE = kindOf('warning', 'range_high')
const WORSE = SEVERITIES.map((severity) => kindOf(severity, 'range_low') - BELOW)

export class RangeCheck {
  /** Values to be flagged, as if no limit were exceeded. */
  private readonly found = new AnomalyColumns()
  private readonly merged = new AnomalyColumns()

  private constructor (readonly ranges: readonly CheckedRange[], private readonly metricCount: number) {}

  /** Null: there is nothing to check. */
  static of ({ metrics, schema }: Stream): RangeCheck | null {
    const ranges = metrics.flatMap(({ type, range }, metric): CheckedRange[] => (
      range === null || range.outside === 'refuse'
        ? []
        : [{ metric, ...boundsOf(range, type), outside: range.outside, count: 0 }]))
    return ranges.length === 0 ? null : new RangeCheck(ranges, schema.metricCount)
  }

  /** A point whose values all become null is kept: its satellite has sent it. */
  check ({ count, values }: PointColumns): void {
    const { ranges, metricCount, found } = this
    found.clear(0)
    for (let point = 0, first = 0; point < count; point++, first += metricCount) {
      for (const range of ranges) {
        const at = first + range.metric
        const value = values[at] as number
        // NaN, which is null, is not outside.
        if (!(value < range.min || value > range.max)) continue
        range.count++
        if (range.outside === 'null') values[at] = NaN
        else if (value < range.min) found.push(point, range.metric, BELOW, range.min)
        else found.push(point, range.metric, ABOVE, range.max)
      }
    }
  }

  /**
   * The anomalies of the points that were checked, valid until the next call.
   * @param broken those of the limits
   */
  flag (broken: AnomalyColumns): AnomalyColumns {
    const { found, merged } = this
    if (found.count === 0) return broken
    merged.clear(broken.version)
    let next = 0
    for (let index = 0; index < found.count; index++) {
      const place = this.placeOf(found, index)
      while (next < broken.count && this.placeOf(broken, next) < place) copy(broken, next++, merged)
      const isBoth = next < broken.count && this.placeOf(broken, next) === place
      const kind = (found.kinds[index] as number) + (isBoth ? worse(broken.kinds[next++] as number) : 0)
      merged.push(found.points[index] as number, found.metrics[index] as number, kind, found.limits[index] as number)
    }
    while (next < broken.count) copy(broken, next++, merged)
    return merged
  }

  /** Anomalies are in ascending order of it. */
  private placeOf ({ points, metrics }: AnomalyColumns, index: number): number {
    return (points[index] as number) * this.metricCount + (metrics[index] as number)
  }
}

/** What the severity of an anomaly adds to the kind of a warning. */
function worse (kind: number): number {
  return WORSE[Math.floor(kind / ANOMALY_SIDES.length)] as number
}

function copy (from: AnomalyColumns, index: number, to: AnomalyColumns): void {
  to.push(
    from.points[index] as number, from.metrics[index] as number, from.kinds[index] as number,
    from.limits[index] as number)
}
