import t from 'tap'
import { requirementVerdicts } from '../../benchmarks/requirements.js'
import { ratiosOf } from '../../benchmarks/ratios.js'
import type { Group } from '../../benchmarks/plan.js'
import type { Measurement, RunRecord, Verdict } from '../../benchmarks/result.js'
import { measurement } from './sample.js'

const verdicts = (measurements: readonly Measurement[], ...groups: Group[]): Verdict[] => (
  requirementVerdicts(measurements, [], { groups }))

function made (name: string, ...runs: Array<Partial<RunRecord>>): Measurement {
  const [run] = measurement(name, [1]).runs as [RunRecord]
  return { ...measurement(name, []), runs: runs.map((changes) => ({ ...run, ...changes })) }
}

const p99 = (ms: number): Partial<RunRecord> => (
  { latency: { count: 1, p50: 1, p90: 1, p99: ms, p999: ms, max: ms } })

t.test('a bound is judged by the median of the quiet runs; what was not measured fails', t => {
  const judged = (...runs: Array<Partial<RunRecord>>): Verdict | undefined => (
    verdicts([made('api_satellite', ...runs)], 'api').find(({ title }) => title.startsWith('Last values')))
  t.match(judged(p99(50)), { passed: true, detail: '50 ms; at most 50 ms' })
  t.equal(judged(p99(50.1))?.passed, false)
  t.equal(judged(p99(10), p99(20), p99(900))?.passed, true)
  t.equal(judged({ ...p99(900), otherCpuShare: 0.5 }, p99(20))?.passed, true)
  t.match(judged(), { passed: false, detail: 'was not measured' })
  t.match(judged({}), { passed: false, detail: 'was not measured' })
  t.ok(verdicts([], 'api', 'metrics', 'page', 'access').every(({ passed }) => !passed))
  t.same(verdicts([made('api_satellite', p99(900))], 'http'), [], 'of groups that ran alone')
  t.end()
})

t.test('what pages cost is a difference, what an upload costs is a share', t => {
  const busy = (worker: number): Partial<RunRecord> => (
    { seconds: 10, cpuSeconds: { worker, 'database background': 5, load: 9 } })
  const pages = verdicts([made('page_none', busy(1)), made('page_tabs', busy(1.1))], 'page')
  t.match(pages.find(({ title }) => title.startsWith('Open pages')), { passed: true })
  const upload = (uploads: number, worker: number): Partial<RunRecord> => (
    { rate: uploads, seconds: 1, cpuSeconds: { worker, load: 9 } })
  const uploads = verdicts([
    made('access_upload_right_uws', upload(10, 1)), made('access_upload_wrong_uws', upload(100, 0.2))
  ], 'access')
  t.match(uploads.find(({ title }) => title.includes('wrong token')), { passed: false, detail: '2 %; at most 1 %' })
  t.end()
})

t.test('what TLS costs is judged by the rate, and by the processor time of the server alone', t => {
  const run = (rate: number, worker: number, load: number): Partial<RunRecord> => (
    { rate, stored: 1_000_000, cpuSeconds: { worker, 'database sessions': 1, load } })
  const measurements = [
    made('access_plain_node', run(100, 1, 1)), made('access_tls_node', run(80, 1.2, 9))
  ]
  const judged = requirementVerdicts(measurements, ratiosOf(measurements), { groups: ['access'] })
  const of = (end: string): Verdict | undefined => judged.find(({ title }) => title.endsWith(end))
  t.match(of('over TLS ÷ without, node'), { passed: false, detail: '0.8; at least 0.85' })
  t.match(of('time a point, node'), { passed: true, detail: '0.91; at least 0.85' })
  t.end()
})
