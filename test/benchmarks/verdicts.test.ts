import t from 'tap'
import { verdictsOf } from '../../benchmarks/verdicts.js'
import type { Group } from '../../benchmarks/plan.js'
import type { Measurement, RunRecord, Verdict } from '../../benchmarks/result.js'
import { measurement } from './sample.js'

const verdicts = (measurements: readonly Measurement[], ...groups: Group[]): Verdict[] =>
  verdictsOf(measurements, { groups, latencyRates: [10_000] })
const latency = (p99: number, count = 1): Partial<RunRecord> =>
  ({ latency: { count, p50: 1, p90: 1, p99, p999: p99, max: p99 } })

function made (name: string, ...runs: Array<Partial<RunRecord>>): Measurement {
  return {
    ...measurement(name, []),
    runs: runs.map((run) =>
      ({ rate: 1, seconds: 1, sent: 1000, acknowledged: 1000, stored: 1000, problems: [], ...run }))
  }
}

t.test('one problem in one run fails everything, as does having no runs', t => {
  const good = measurement('http_json_1000', [1, 2])
  t.equal(verdicts([good])[0]?.passed, true)
  const bad = {
    ...good,
    runs: good.runs.map((run, index) => index === 1 ? { ...run, problems: ['3 points are lost'] } : run)
  }
  const [verdict] = verdicts([good, bad])
  t.equal(verdict?.passed, false)
  t.match(verdict?.detail, /3 points are lost/)
  t.equal(verdicts([])[0]?.passed, false)
  t.end()
})

t.test('the promised rate must be stored and acknowledged', t => {
  const passed = (...runs: Array<Partial<RunRecord>>): boolean | undefined =>
    verdicts([made('autocannon_10000', ...runs)], 'http')[1]?.passed
  t.equal(passed({ rate: 9_990 }), true)
  t.equal(passed({ rate: 9_490 }), false)
  t.equal(passed({ rate: 9_990 }, { rate: 9_990, acknowledged: 980 }), false, 'in each run')
  t.equal(passed({ rate: 9_990, stored: 999 }), false, 'an acknowledged point is missing')
  t.equal(passed({ rate: 9_990, acknowledged: 991, stored: 1000 }), true, 'stored, but the response was lost')
  t.equal(passed({ rate: 9_990, sent: 0, acknowledged: 0, stored: 0 }), false)
  t.equal(passed({ rate: 9_990 }, { rate: 5_000, otherCpuShare: 0.5 }), true, 'a disturbed run does not count')
  t.end()
})

t.test('slow visibility in the database fails', t => {
  const passed = (...runs: Array<Partial<RunRecord>>): boolean | undefined =>
    verdicts([made('latency_visible_10000', ...runs)], 'latency')[1]?.passed
  t.equal(passed(latency(20)), true)
  t.equal(passed(latency(101)), false)
  t.equal(passed(latency(20), latency(NaN, 0)), false, 'a run that saw nothing')
  t.equal(passed({}), false)
  t.end()
})

t.test('a group that ran without results fails, one that did not run has no verdict', t => {
  const other = measurement('udp', [1])
  t.match(verdicts([other], 'http', 'latency').slice(1), [{
    passed: false,
    detail: /not measured/
  }, { passed: false, detail: /not measured/ }])
  t.equal(verdicts([other], 'udp').length, 1)
  t.equal(verdictsOf([other], { groups: ['latency'], latencyRates: [1_000] }).length, 1)
  t.end()
})
