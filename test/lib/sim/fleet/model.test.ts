import t from 'tap'
import { BUILT_IN, METRICS, METRIC_COUNT, type LimitedMetric } from '../../../support/points/built-in.js'
import { Fleet, type AnomalyTruth, type FleetOptions } from '../../../../lib/sim/fleet/model.js'
import { NUMBER_SIMULATIONS } from '../../../../protocol/catalogue.js'
import { catalogueOf } from '../../../support/points/catalogues.js'

const ORBIT_SECONDS = 95 * 60

function course (
  options: Partial<FleetOptions>,
  moments: readonly number[]
): { points: number[][][], truths: AnomalyTruth[] } {
  const truths: AnomalyTruth[] = []
  const fleet = new Fleet({
    stream: BUILT_IN.telemetry,
    satellites: 3,
    seed: 7,
    anomalyRate: 0,
    onAnomaly: truth => truths.push(truth),
    ...options
  })
  const values = new Float64Array((options.stream ?? BUILT_IN.telemetry).metrics.length)
  const points = fleet.ids.map((_, satellite) => moments.map(seconds => {
    fleet.sample(satellite, seconds, values)
    return [...values]
  }))
  return { points, truths }
}

const every = (stepSeconds: number, untilSeconds: number): number[] =>
  Array.from({ length: Math.floor(untilSeconds / stepSeconds) }, (_, step) => step * stepSeconds)

t.test('ids have four digits, or more if the fleet needs them', t => {
  const ids = (satellites: number): readonly string[] =>
    new Fleet({ stream: BUILT_IN.telemetry, satellites, seed: 1, anomalyRate: 0, onAnomaly: () => {} }).ids
  t.same(ids(2), ['SAT-0001', 'SAT-0002'])
  t.equal(ids(9_999).at(-1), 'SAT-9999')
  t.equal(ids(10_000)[0], 'SAT-00001')
  t.equal(ids(10_000).at(-1), 'SAT-10000')
  t.end()
})

t.test('the same seed repeats the values, another does not', t => {
  const moments = every(60, ORBIT_SECONDS)
  const first = course({ anomalyRate: 0.05 }, moments)
  t.same(course({ anomalyRate: 0.05 }, moments), first)
  t.notSame(course({ anomalyRate: 0.05, seed: 8 }, moments).points, first.points)
  t.notSame(first.points[0], first.points[1], 'satellites differ')
  t.end()
})

t.test('a satellite does not depend on when the others are sampled', t => {
  const onAnomaly = (): void => {}
  const [alone, together] = [1, 2].map(() => new Fleet({
    stream: BUILT_IN.telemetry, satellites: 2, seed: 3, anomalyRate: 0.1, onAnomaly
  }))
  const [a, b] = [new Float64Array(METRIC_COUNT), new Float64Array(METRIC_COUNT)]
  for (const seconds of every(7, 700)) {
    alone!.sample(1, seconds, a)
    together!.sample(0, seconds, b)
    together!.sample(1, seconds, b)
    t.same(a, b)
  }
  t.end()
})

t.test('values stay on the good side of the default limits, with a margin, over two days', t => {
  const { points, truths } = course({ satellites: 10 }, every(60, 2 * 86_400))
  t.same(truths, [])
  METRICS.forEach(({ name, limit }, metric) => {
    const values = points.flatMap(ofSatellite => ofSatellite.map(point => point[metric]!))
    const margin = Math.abs(limit.value) * 0.03
    if (limit.side === 'low') t.ok(values.every(value => value > limit.value + margin), name)
    else t.ok(values.every(value => value >= 0 && value < limit.value - margin), name)
    const step = [0.25, 1, 0.5][metric]!
    t.ok(values.every(value => value % step === 0), `${name} comes in steps`)
  })
  t.ok(points.every(ofSatellite => ofSatellite.every(point => point[0]! <= 100)), 'no battery over 100%')
  t.end()
})

t.test('closely spaced readings are mostly equal, those a minute apart are not', t => {
  const quick = course({}, every(0.01, 60)).points.flat()
  const slow = course({}, every(60, ORBIT_SECONDS)).points.flat()
  METRICS.forEach(({ name }, metric) => {
    const changed = (points: readonly number[][]): number =>
      points.filter((point, at) => at > 0 && point[metric] !== points[at - 1]![metric]).length / points.length
    t.ok(changed(quick) < 0.12, `${name}: ${changed(quick)} of the readings at 100 Hz differ from the one before`)
    t.ok(changed(slow) > 0.5, `${name}: ${changed(slow)} of those a minute apart`)
  })
  t.end()
})

t.test('battery drains in eclipse and charges in sunlight; storage empties and signal rises during passes', t => {
  const moments = every(1, 2 * ORBIT_SECONDS)
  for (const points of course({}, moments).points) {
    const [battery, storage, signal] = [0, 1, 2].map(metric => points.map(point => point[metric]!))
    const falling = battery!.filter((value, second) => second >= 60 && value < battery![second - 60]! - 0.2).length
    t.ok(falling > 2 * 30 * 60 && falling < 2 * 40 * 60, `battery falls for about 35 of 95 minutes (${falling} s)`)
    t.ok(Math.max(...battery!) - Math.min(...battery!) > 15)
    const inPass = points.map((_, second) => signal![second]! > -90)
    const passSeconds = inPass.filter(Boolean).length
    t.ok(passSeconds > 2 * 8 * 60 && passSeconds <= 2 * 10 * 60, `passes take ten minutes (${passSeconds} s)`)
    points.forEach((_, second) => {
      if (second === 0 || !inPass[second] || storage![second]! <= 400) return
      if (storage![second]! >= storage![second - 1]!) t.fail(`storage grows in a pass, second ${second}`)
    })
    t.ok(Math.max(...signal!) > -72)
  }
  t.end()
})

t.test('anomalies have the requested share, violate exactly the reported limit, and are reported', t => {
  const moments = every(1, 20_000)
  const { points, truths } = course({ anomalyRate: 0.02 }, moments)
  const share = truths.length / (points.length * moments.length)
  t.ok(share > 0.018 && share < 0.022, `${share}`)
  t.same(new Set(truths.map(({ metric }) => metric)), new Set(METRICS.keys()), 'every metric')
  const breaks = (metric: LimitedMetric, value: number): boolean => metric.limit.side === 'low'
    ? value < metric.limit.value
    : value > metric.limit.value
  const broken = points.flatMap((ofSatellite, satellite) => ofSatellite.flatMap((point, second) =>
    METRICS.flatMap((metric, index) => breaks(metric, point[index]!)
      ? [{ satellite, metric: index, elapsedSeconds: second, value: point[index]! }]
      : [])))
  t.same(broken, truths)
  t.end()
})

t.test('a metric of which the catalogue does not say how it moves walks within its limits', t => {
  const { telemetry: stream } = catalogueOf(
    'pressure: { id: 1, limits: { high: { critical: 22 } } }', 'margin: { id: 2, limits: { low: { critical: -40 } } }')
  const moments = every(1, 5_000)
  const calm = course({ stream }, moments).points.flat()
  t.ok(calm.every(([pressure, margin]) => pressure! < 22 && margin! > -40))
  t.ok(new Set(calm.map(([pressure]) => pressure)).size > 100, 'it moves')
  const { points, truths } = course({ stream, anomalyRate: 1 }, moments)
  t.equal(truths.length, points.flat().length)
  t.ok(points.flat().every(([pressure, margin]) => (pressure! > 22) !== (margin! < -40)))
  t.end()
})

t.test('metrics of every type: whole numbers, 32-bit floats, healthy states and, as anomalies, the others', t => {
  const { telemetry: stream } = catalogueOf(
    'i: { id: 1, type: int, limits: { high: { critical: 3 } } }', 'r: { id: 2, type: float32 }',
    'b: { id: 3, type: bool, limits: { states: { critical: [true] } } }',
    's: { id: 4, type: state, states: { OFF: 0, ON: 1, LOST: 9 }, limits: { states: { warning: [LOST] } } }')
  const moments = every(30, 86_400)
  const calm = course({ stream }, moments).points.flat()
  t.ok(calm.every(([i, r]) => Number.isInteger(i) && i! <= 3 && Math.fround(r!) === r))
  t.ok(calm.every(([, , b]) => b === 0))
  t.same([...new Set(calm.map(([, , , s]) => s))].sort(), [0, 1])
  const { points, truths } = course({ stream, anomalyRate: 1 }, moments)
  t.equal(truths.length, points.flat().length)
  t.ok(points.flat().every(([i, , b, s]) => [i! > 3, b === 1, s === 9].filter(Boolean).length === 1))
  t.ok(points.flat().every(([i]) => Number.isInteger(i)))
  t.end()
})

t.test('every kind stays where the catalogue says, in steps of its resolution; retired metrics are not sent', t => {
  const { telemetry: stream } = catalogueOf(
    ...NUMBER_SIMULATIONS.map((kind, index) => (
      `${kind}: { id: ${index + 1}, resolution: 0.005, simulate: { kind: ${kind}, between: [-3, 7] } }`)),
    'old: { id: 90, retired: true }',
    'fixed: { id: 91, resolution: 3, simulate: { kind: constant, between: [9, 10] } }')
  const { points, truths } = course({ stream, anomalyRate: 1 }, every(30, 86_400))
  t.same(truths, [], 'none of them can break a limit')
  for (const [metric, { name, resolution }] of stream.metrics.entries()) {
    const values = points.flatMap(ofSatellite => ofSatellite.map(point => point[metric]!))
    if (name === 'old') t.ok(values.every(Number.isNaN))
    else if (name === 'fixed') t.ok(values.every(value => value === 9 || value === 12), String(values[0]))
    else {
      t.ok(
        values.every(value => value > -3.2 && value < 7.2 && Math.abs(
          value / resolution! - Math.round(value / resolution!)) < 1e-6),
        name)
    }
  }
  t.end()
})

t.test('rounding to the resolution moves no value across a limit, whatever the sizes', t => {
  const { telemetry: stream } = catalogueOf(
    'coarse: { id: 1, resolution: 5, limits: { low: { warning: 27, critical: 24 } }, simulate: { between: [28, 40] } }',
    'fine: { id: 2, limits: { high: { critical: 5e-9 } }, simulate: { between: [1e-10, 4e-9], beyond: [6e-9, 7e-9] } }',
    'huge: { id: 3, resolution: 0.01, limits: { high: { critical: 1.7e308 } } }',
    'near: { id: 4, resolution: 1, limits: { low: { critical: 9.6 } }, ' +
      'simulate: { between: [9.7, 20], beyond: [9, 9.5] } }',
    'noisy: { id: 5, limits: { low: { critical: 19.9999 } }, simulate: { kind: charge, between: [20, 21] } }')
  const limits = stream.metrics.map(({ limits: { low, high } }) => [
    low?.warning ?? low?.critical ?? -Infinity, high?.warning ?? high?.critical ?? Infinity
  ] as const)
  const { points, truths } = course({ stream, anomalyRate: 0.5 }, every(30, 86_400))
  const broken = points.flat().flatMap(point => point.filter((value, metric) => {
    const [low, high] = limits[metric] ?? [NaN, NaN]
    return !Number.isFinite(value) || value < low || value > high
  }))
  t.same(broken, truths.map(({ value }) => value))
  t.ok(new Set(truths.map(({ metric }) => metric)).size >= 3)
  t.end()
})

t.test('a satellite outside of the fleet is a mistake', t => {
  const fleet = new Fleet({ stream: BUILT_IN.telemetry, satellites: 1, seed: 1, anomalyRate: 0, onAnomaly: () => {} })
  t.throws(() => fleet.sample(1, 0, new Float64Array(METRIC_COUNT)), RangeError)
  t.end()
})
