import t from 'tap'
import { METRICS, METRIC_COUNT, type Metric } from '../../../../protocol/metrics.js'
import { Fleet, type AnomalyTruth, type FleetOptions } from '../../../../lib/sim/fleet/model.js'

const ORBIT_SECONDS = 95 * 60

function course (
  options: Partial<FleetOptions>,
  moments: readonly number[]
): { points: number[][][], truths: AnomalyTruth[] } {
  const truths: AnomalyTruth[] = []
  const fleet = new Fleet({
    satellites: 3,
    seed: 7,
    anomalyRate: 0,
    onAnomaly: truth => truths.push(truth),
    ...options
  })
  const values = new Float64Array((options.metrics ?? METRICS).length)
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
    new Fleet({ satellites, seed: 1, anomalyRate: 0, onAnomaly: () => {} }).ids
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
  const [alone, together] = [1, 2].map(() => new Fleet({ satellites: 2, seed: 3, anomalyRate: 0.1, onAnomaly }))
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
  const breaks = (metric: Metric, value: number): boolean => metric.limit.side === 'low'
    ? value < metric.limit.value
    : value > metric.limit.value
  const broken = points.flatMap((ofSatellite, satellite) => ofSatellite.flatMap((point, second) =>
    METRICS.flatMap((metric, index) => breaks(metric, point[index]!)
      ? [{ satellite, metric: index, elapsedSeconds: second, value: point[index]! }]
      : [])))
  t.same(broken, truths)
  t.end()
})

t.test('a metric without a behaviour walks within its limit', t => {
  const metrics: Metric[] = [
    { name: 'tank_pressure_bar', unit: 'bar', title: 'Tank', limit: { side: 'high', value: 22, env: 'X' } },
    { name: 'margin_k', unit: 'K', title: 'Margin', limit: { side: 'low', value: -40, env: 'Y' } }
  ]
  const moments = every(1, 5_000)
  const calm = course({ metrics }, moments).points.flat()
  t.ok(calm.every(([pressure, margin]) => pressure! < 22 && margin! > -40))
  t.ok(new Set(calm.map(([pressure]) => pressure)).size > 100, 'it moves')
  const { points, truths } = course({ metrics, anomalyRate: 1 }, moments)
  t.equal(truths.length, points.flat().length)
  t.ok(points.flat().every(([pressure, margin]) => (pressure! > 22) !== (margin! < -40)))
  t.end()
})

t.test('a satellite outside the fleet is an error', t => {
  const fleet = new Fleet({ satellites: 1, seed: 1, anomalyRate: 0, onAnomaly: () => {} })
  t.throws(() => fleet.sample(1, 0, new Float64Array(METRIC_COUNT)), RangeError)
  t.end()
})
