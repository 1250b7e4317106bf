/** What becomes of values outside their valid ranges that are stored, beside the anomalies of limits. */
import t from 'tap'
import fc from 'fast-check'
import type { AnomalyColumns } from '../../../lib/limits/anomaly-columns.js'
import { ANOMALY_SIDES, SEVERITIES } from '../../../lib/limits/limit-set.js'
import { LimitTable } from '../../../lib/limits/limit-table.js'
import { Pipeline } from '../../../lib/pipeline/pipeline.js'
import { RangeCheck } from '../../../lib/pipeline/range-check.js'
import { catalogueOf } from '../../support/points/catalogues.js'
import { ManualJournal } from '../../support/journals/manual-journal.js'

const SETTINGS = {
  timeWindowPastMs: 1,
  timeWindowFutureMs: 1,
  unknownFields: 'reject',
  batchSize: 1_000,
  batchTimeoutMs: 3_600_000,
  fullCode: 'spool_full'
} as const
const STREAM = catalogueOf(
  'plain: { id: 1 }', 'flagged: { id: 2, range: { min: 0, max: 10 } }',
  'dropped: { id: 3, range: { max: 10, outside: null } }',
  'refused: { id: 4, range: { max: 10, outside: refuse } }', 'single: { id: 5, type: float32, range: { max: 0.1 } }'
).telemetry
/** All metrics: a warning above 5, critical above 20 and below -5. */
const LIMITS = { low: { critical: -5 }, high: { warning: 5, critical: 20 } }

function describe ({ count, points, metrics, kinds, limits }: AnomalyColumns): string[] {
  return Array.from({ length: count }, (_, index) => {
    const [kind, sides] = [kinds[index] as number, ANOMALY_SIDES.length]
    const words = [SEVERITIES[Math.floor(kind / sides)], ANOMALY_SIDES[kind % sides]].join(' ')
    return `${points[index]} ${STREAM.schema.metrics[metrics[index] as number]} ${words} ${limits[index]}`
  })
}

/** What is stored of some points, and their anomalies. */
function offered (
  points: ReadonlyArray<readonly number[]>
): { values: number[], anomalies: string[], ranges: RangeCheck } {
  const set = { default: Object.fromEntries(STREAM.schema.metrics.map((name) => [name, LIMITS])), overrides: {} }
  const limits = new LimitTable({ version: 1, set }, STREAM.schema)
  const found: { values: number[], anomalies: string[] } = { values: [], anomalies: [] }
  const pipeline = new Pipeline(new ManualJournal(), SETTINGS, STREAM, limits, {
    onOffered: ({ count, values }, anomalies) => {
      found.values = [...values.subarray(0, count * STREAM.schema.metricCount)]
      found.anomalies = anomalies === null ? [] : describe(anomalies)
    }
  })
  for (const values of points) {
    const point = pipeline.columns.push(pipeline.satellites.byId('SAT')!, 1.7e15)
    pipeline.columns.values.set(values, point * STREAM.schema.metricCount)
  }
  pipeline.offer('received', () => {})
  pipeline.stop()
  return { ...found, ranges: pipeline.ranges! }
}

t.test('property: a value has one anomaly at most, of its range before that of a limit, as severe as either', (t) => {
  const anyValue = fc.constantFrom(NaN, -6, -1, 0, 0.1, 1, 6, 10, 11, 21)
  const anyPoint = fc.array(anyValue, { minLength: STREAM.metrics.length, maxLength: STREAM.metrics.length })
  fc.assert(fc.property(fc.array(anyPoint, { minLength: 1, maxLength: 8 }), (points) => {
    const { values, anomalies, ranges } = offered(points)
    const wanted: string[] = []
    const stored = points.flatMap((point, index) => point.map((value, metric) => {
      const { name, range, type } = STREAM.metrics[metric]!
      const max = type === 'float32' ? Math.fround(range?.max ?? 0) : range?.max ?? Infinity
      const isBelow = value < (range?.min ?? -Infinity)
      const isOutside = (isBelow || value > max) && range?.outside !== 'refuse'
      if (isOutside && range?.outside === 'null') return NaN
      const severity = value < -5 || value > 20 ? 'critical' : 'warning'
      const limit = value < -5 ? 'low -5' : value > 20 ? 'high 20' : 'high 5'
      const end = isBelow ? `range_low ${range?.min}` : `range_high ${max}`
      if (isOutside) wanted.push(`${index} ${name} ${severity} ${end}`)
      else if (value < -5 || value > 5) wanted.push(`${index} ${name} ${severity} ${limit}`)
      return value
    }))
    t.strictSame(anomalies, wanted)
    const isSame = stored.every((value, at) => Object.is(value, values[at]))
    const outside = ranges.ranges.reduce((sum, { count }) => sum + count, 0)
    const dropped = stored.filter(Number.isNaN).length - points.flat().filter(Number.isNaN).length
    return isSame && outside === dropped + wanted.filter((each) => each.includes('range')).length
  }), { numRuns: 100 })
  t.end()
})

t.test('nothing is checked where no range needs it', (t) => {
  const { telemetry } = catalogueOf('a: { id: 1 }', 'b: { id: 2, range: { min: 0, outside: refuse } }')
  t.equal(RangeCheck.of(telemetry), null)
  t.equal(catalogueOf('a: { id: 1, range: { min: 0 } }').telemetry.schema.takesAnyFloat, true, 'nor by decoders')
  t.end()
})
