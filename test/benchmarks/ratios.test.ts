import t from 'tap'
import { ratiosOf } from '../../benchmarks/ratios.js'
import { targetsOf } from '../../benchmarks/verdicts.js'
import type { Measurement } from '../../benchmarks/result.js'
import { measurement } from './sample.js'

function withOtherWork (made: Measurement, ...shares: number[]): Measurement {
  return { ...made, runs: made.runs.map((run, round) => ({ ...run, otherCpuShare: shares[round] ?? 0 })) }
}

t.test('ratios are computed per round, and the median is used', t => {
  const ratios = ratiosOf([measurement('http_json_1000', [50, 10, 90]), measurement('ceiling_copy', [100, 100, 100])])
  t.same(ratios.map(({ name, value }) => [name, value]), [['json_of_copy', 0.5]])
  t.end()
})

t.test('an unmeasured ceiling yields no ratio', t => {
  t.same(ratiosOf([measurement('http_json_1000', [50])]), [])
  t.same(ratiosOf([measurement('http_json_1000', [50]), measurement('ceiling_copy', [0])]), [])
  t.end()
})

t.test('a ratio has its spread', t => {
  const [ratio] = ratiosOf([measurement('http_json_1000', [50, 40, 90]), measurement('ceiling_copy', [100, 100, 100])])
  t.same(ratio, {
    name: 'json_of_copy',
    title: 'JSON, 1000 a request, stored ÷ raw COPY',
    value: 0.5,
    spread: 0.8,
    lower: false
  })
  t.end()
})

t.test('rounds with other work are left out if a quiet one remains', t => {
  const json = measurement('http_json_1000', [50, 10, 20])
  const copy = measurement('ceiling_copy', [100, 100, 100])
  t.equal(ratiosOf([withOtherWork(json, 0.01, 0.4), withOtherWork(copy, 0.02, 0, 0.3)])[0]?.value, 0.5)
  t.equal(ratiosOf([withOtherWork(json, 0.4, 0.4, 0.4), copy])[0]?.value, 0.2)
  t.end()
})

t.test('rollups are compared by CPU time: at a fixed rate the rate says nothing', t => {
  const cost = (name: string, seconds: number) => {
    const made = measurement(name, [100])
    return { ...made, runs: made.runs.map((run) => ({ ...run, cpuSeconds: { worker: seconds } })) }
  }
  t.same(ratiosOf([cost('rollups_rate', 3), cost('rollups_rate_off', 2)]).map(({ name, value, lower }) =>
    [name, value, lower]), [['rollups_cpu', 1.5, true]])
  t.end()
})

t.test('cost of continuous aggregates: the storing rate, and the time in statements, COPY and total', t => {
  const made = (name: string, rate: number, busySeconds: Readonly<Record<string, number>>): Measurement => {
    const plain = measurement(name, [rate], 'aggregates')
    return { ...plain, runs: plain.runs.map((run) => ({ ...run, stored: 1_000, busySeconds })) }
  }
  const measurements = [
    made('aggregates_50000', 50, {
      storing: 5,
      refreshes: 4,
      maintenance: 1
    }), made('aggregates_50000_off', 50, { storing: 4, maintenance: 1 }),
    made('aggregates_100000', 80, {}), made('aggregates_100000_off', 100, {})
  ]
  const ratios = ratiosOf(measurements)
  t.same(ratios.map(({ name, value }) => [name, value]), [
    ['aggregates_100000', 0.8], ['aggregates_50000', 1], ['aggregates_copy', 0.8], ['aggregates_busy', 0.5]
  ])
  t.match(targetsOf(measurements, ratios), [{ atLeast: 0.9, measured: 0.8, lower: false }])
  const known = measurements.map((one) =>
    ({ ...one, runs: one.runs.map((run) => ({ ...run, cpuSeconds: { storing: 2 } })) }))
  t.same(ratiosOf(known)
    .slice(2)
    .map(({ value }) => value), [1, 1], 'processor time, where it is known, does not depend on other work')
  t.end()
})

t.test('only measured targets are reported', t => {
  t.same(targetsOf([], []), [])
  const targets = targetsOf([
    measurement('http_json_1000', [400_000])
  ], [{ name: 'json_of_copy', title: '', value: 0.7, spread: 0, lower: false }])
  t.same(targets.map(({ measured }) => measured), [400_000, 0.7])
  t.end()
})
