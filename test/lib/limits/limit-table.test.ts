/** Which limits apply to a satellite, and what checking points finds. */
import t from 'tap'
import * as fc from 'fast-check'
import { AnomalyColumns } from '../../../lib/limits/anomaly-columns.js'
import { ANOMALY_SIDES, SEVERITIES, type LimitSet, type MetricLimits } from '../../../lib/limits/limit-set.js'
import { LimitTable } from '../../../lib/limits/limit-table.js'
import { PointColumns } from '../../../protocol/columns.js'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../support/points/built-in.js'
import { catalogueOf } from '../../support/points/catalogues.js'
import { SatelliteTable, type Satellite } from '../../../protocol/satellites.js'

const BATTERY: string = METRICS[0].name
const STORAGE: string = METRICS[1].name

interface Found {
  readonly point: number
  readonly metric: number
  readonly severity: string
  readonly side: string
  readonly limit: number
}

type TestPoint = readonly [id: string, ...values: number[]]

function found (anomalies: AnomalyColumns): Found[] {
  return Array.from({ length: anomalies.count }, (_, i) => ({
    point: anomalies.points[i]!,
    metric: anomalies.metrics[i]!,
    severity: SEVERITIES[Math.floor(anomalies.kinds[i]! / ANOMALY_SIDES.length)]!,
    side: ANOMALY_SIDES[anomalies.kinds[i]! % ANOMALY_SIDES.length]!,
    limit: anomalies.limits[i]!
  }))
}

function judge (
  set: LimitSet, points: readonly TestPoint[], satellites = new SatelliteTable(), schema = TELEMETRY
): Found[] {
  const columns = new PointColumns(schema)
  for (const [id, ...values] of points) {
    const index = columns.push(satellites.byId(id)!, 0)
    values.forEach((value, metric) => { columns.values[index * schema.metricCount + metric] = value })
  }
  const anomalies = new AnomalyColumns(1)
  new LimitTable({ version: 7, set }, schema).judge(columns, satellites.generation, anomalies)
  if (anomalies.version !== 7) throw new Error('checked by another version')
  return found(anomalies)
}

const everywhere = (limits: MetricLimits): LimitSet => ({ default: { [BATTERY]: limits }, overrides: {} })

t.test('memory: rows are forgotten at their bound, and everybody is still judged by the right limits', (t) => {
  const ids = Array.from({ length: 300 }, (_, index) => `S-${index}`)
  const limits = (index: number): MetricLimits => ({ low: { critical: index } })
  const overrides = Object.fromEntries(ids.map((id, index) => [id, { [BATTERY]: limits(index + 1) }]))
  const satellites = new SatelliteTable()
  const table = new LimitTable(
    { version: 1, set: { default: { [BATTERY]: limits(0) }, overrides } }, TELEMETRY, TELEMETRY.metrics,
    10 * METRIC_COUNT * 60)
  const anomalies = new AnomalyColumns(1)
  for (let round = 0; round < 3; round++) {
    // In any order, also several points of one satellite around the bound.
    const order = Array.from({ length: 900 }, (_, index) => (index * (7 + 4 * round)) % 300)
    const columns = new PointColumns(TELEMETRY)
    for (const index of order) {
      const point = columns.push(satellites.byId(ids[index]!)!, 0)
      columns.values[point * METRIC_COUNT] = index
    }
    table.judge(columns, satellites.generation, anomalies)
    t.equal(anomalies.count, order.length)
    t.ok(order.every((index, point) => anomalies.limits[point] === index + 1))
    const other = new PointColumns(TELEMETRY)
    other.values[other.push(satellites.byId('another')!, 0) * METRIC_COUNT] = -1
    table.judge(other, satellites.generation, anomalies)
    t.equal(anomalies.limits[0], 0, 'the default is remembered')
  }
  t.ok((table as unknown as { bounds: Float64Array }).bounds.length <= 16 * METRIC_COUNT * 2, 'no more than ever')
  t.end()
})

t.test('a value equal to a limit is in order; the most severe limit exceeded counts', (t) => {
  const set = everywhere({ low: { warning: 20, critical: 10 }, high: { warning: 80, critical: 90 } })
  const values = [9.99, 10, 19.99, 20, 50, 80, 80.01, 90, 90.01]
  const anomalies = judge(set, values.map((value) => ['A', value]))
  t.strictSame(anomalies.map(({ point, severity, side, limit }) => [values[point], severity, side, limit]), [
    [9.99, 'critical', 'low', 10], [10, 'warning', 'low', 20], [19.99, 'warning', 'low', 20],
    [80.01, 'warning', 'high', 80], [90, 'warning', 'high', 80], [90.01, 'critical', 'high', 90]
  ])
  t.end()
})

t.test('missing metrics and missing limits are not checked', (t) => {
  const set = everywhere({ low: { critical: 10 } })
  t.strictSame(judge(set, [['A', NaN, 1e9, -1e9], ['A']]), [])
  t.strictSame(judge(everywhere({}), [['A', -1e300]]), [])
  const warnings = judge(everywhere({ high: { warning: 5 } }), [['A', -1e300], ['A', 6]])
  t.strictSame(warnings.map(({ point, severity }) => [point, severity]), [[1, 'warning']])
  t.end()
})

t.test('one anomaly per metric of a point', (t) => {
  const limits = { [BATTERY]: { low: { critical: 1 } }, [STORAGE]: { high: { critical: 1 } } }
  const anomalies = judge({ default: limits, overrides: {} }, [['A', 0, 2], ['B', 1, 1], ['C', 1, 2]])
  t.strictSame(anomalies.map(({ point, metric }) => [point, metric]), [[0, 0], [0, 1], [2, 1]])
  t.end()
})

t.test('states and bools: the listed values are anomalies, by satellite', (t) => {
  const { telemetry: { schema } } = catalogueOf(
    'mode: { id: 1, type: state, states: { OFF: 0, SAFE: 1, LOST: -3, NOMINAL: 7 } }', 'on: { id: 2, type: bool }',
    'volts: { id: 3 }')
  const set: LimitSet = {
    default: {
      mode: { states: { warning: ['SAFE'], critical: ['LOST', 'KNOWN_TO_A_NEWER_SERVER'] } },
      on: { states: { warning: [false] } },
      volts: { low: { critical: 1 } }
    },
    overrides: { B: { mode: {}, on: { states: { critical: [true] } } } }
  }
  const judged = (set: LimitSet, points: readonly TestPoint[]): unknown[] => (
    judge(set, points, new SatelliteTable(), schema).map(({ point, metric, severity, side, limit }) => (
      [point, metric, severity, side, limit])))
  t.strictSame(
    judged(set, [['A', 0, 1, 1], ['A', 1, 0, 0], ['B', -3, 0], ['A', -3, NaN], ['B', NaN, 1], ['A', 7, 1], ['A']]), [
      [1, 0, 'warning', 'state', 1], [1, 1, 'warning', 'state', 0], [1, 2, 'critical', 'low', 1],
      [3, 0, 'critical', 'state', -3], [4, 1, 'critical', 'state', 1]
    ])
  t.strictSame(
    judged({ ...set, overrides: {} }, [['A', 1, 1, 1], ['B', 0, 0]]),
    [[0, 0, 'warning', 'state', 1], [1, 1, 'warning', 'state', 0]], 'without overrides')
  t.end()
})

/** A set whose battery limit identifies the entry that applied. */
function tagged (keys: readonly string[]): LimitSet {
  const entry = (critical: number): LimitSet['default'] => ({ [BATTERY]: { high: { critical } } })
  return { default: entry(0), overrides: Object.fromEntries(keys.map((key, index) => [key, entry(index + 1)])) }
}

function winner (keys: readonly string[], id: string): string {
  const [anomaly] = judge(tagged(keys), [[id, 1e6]])
  return keys[(anomaly?.limit ?? 0) - 1] ?? 'default'
}

t.test('the most specific override applies', (t) => {
  const keys = ['*', 'SAT-*', 'SAT-00*', 'SAT-00*1', 'SAT-0001', '*01', 'S*T*1', 'A*B', 'a*b*c']
  for (const [id, expected] of [
    ['SAT-0001', 'SAT-0001'], ['SAT-0011', 'SAT-00*1'], ['SAT-0002', 'SAT-00*'], ['SAT-9', 'SAT-*'], ['SAT-', 'SAT-*'],
    ['X', '*'], ['X01', '*01'], ['SIT-1', 'S*T*1'], ['AB', 'A*B'], ['A*B', 'A*B'], ['ab', '*'], ['axbxc', 'a*b*c'],
    ['abc', 'a*b*c'], ['acb', '*']
  ] as const) t.equal(winner(keys, id), expected, id)
  t.equal(winner(['x*b*', 'x*a*'], 'xab'), 'x*a*', 'otherwise equal: by text')
  t.equal(winner(['aXb', 'a*a'], 'a'), 'default', 'prefix and suffix must not overlap')
  t.equal(winner(['__proto__'], '__proto__'), '__proto__')
  t.end()
})

t.test('overrides apply metric by metric, and replace all limits of a metric', (t) => {
  const set: LimitSet = {
    default: { [BATTERY]: { low: { critical: 10 }, high: { critical: 90 } }, [STORAGE]: { high: { critical: 100 } } },
    overrides: { 'SAT-*': { [BATTERY]: { high: { critical: 95 } } }, 'SAT-1': { [STORAGE]: {} } }
  }
  const anomalies = judge(set, [['SAT-1', 1, 1e6], ['SAT-2', 96, 101], ['X', 1, 99]])
  const seen = anomalies.map(({ point, metric, limit }) => [point, metric, limit])
  t.strictSame(seen, [[1, 0, 95], [1, 1, 100], [2, 0, 10]])
  t.end()
})

t.test('property: precedence is as documented', (t) => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 5 })
  const id = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 6 })
  const rank = (key: string): [number, number, number, string] =>
    key.includes('*') ? [0, key.indexOf('*'), key.replaceAll('*', '').length, key] : [1, 0, 0, key]
  const better = (a: string, b: string): boolean => {
    const [ra, rb] = [rank(a), rank(b)]
    for (const part of [0, 1, 2] as const) if (ra[part] !== rb[part]) return ra[part] > rb[part]
    return ra[3] < rb[3]
  }
  fc.assert(fc.property(fc.uniqueArray(letters, { maxLength: 12 }), id, (keys, name) => {
    let expected = 'default'
    for (const key of keys) {
      if (!new RegExp(`^${key.replaceAll('*', '.*')}$`).test(name)) continue
      if (expected === 'default' || better(key, expected)) expected = key
    }
    return winner(keys, name) === expected
  }), { numRuns: 2_000 })
  t.end()
})

t.test('many satellites, many different limits, and new generations of the satellite table', (t) => {
  const satellites = new SatelliteTable(50)
  const set = tagged(Array.from({ length: 300 }, (_, index) => `S${index}`))
  const table = new LimitTable({ version: 1, set }, TELEMETRY)
  const anomalies = new AnomalyColumns()
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 300; index++) {
      const columns = new PointColumns(TELEMETRY, 2)
      satellites.begin()
      const old: Satellite = satellites.byId(`S${(index + 7) % 300}`)!
      for (const satellite of [old, satellites.byId(`S${index}`)!]) {
        columns.values[columns.push(satellite, 0) * METRIC_COUNT] = 1e6
      }
      satellites.keep()
      table.judge(columns, satellites.generation, anomalies)
      const [first, second] = anomalies.limits
      if (second !== index + 1 || first !== (index + 7) % 300 + 1) t.fail(`satellite ${index}`)
    }
  }
  t.ok(satellites.generation > 3)
  t.end()
})

t.test('10,000 suffix patterns cost a new satellite no more than one', (t) => {
  const digits = (index: number): string => String(index).padStart(5, '0')
  const set = tagged(Array.from({ length: 10_000 }, (_, index) => `*-${digits(index)}`))
  const table = new LimitTable({ version: 1, set }, TELEMETRY)
  const satellites = new SatelliteTable()
  const columns = new PointColumns(TELEMETRY)
  for (let index = 0; index < 1_000; index++) {
    columns.values[columns.push(satellites.byId(`SAT-${digits(index)}`)!, 0) * METRIC_COUNT] = 1e6
  }
  const anomalies = new AnomalyColumns()
  const before = process.cpuUsage()
  table.judge(columns, satellites.generation, anomalies)
  const { user, system } = process.cpuUsage(before)
  t.strictSame(found(anomalies).map(({ limit }) => limit), Array.from({ length: 1_000 }, (_, index) => index + 1))
  t.ok(user + system < 500_000, `${user + system} µs of CPU`)
  t.end()
})
