import t from 'tap'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { checkRatios, readBaseline, writeBaseline } from '../../benchmarks/baseline.js'
import { ratiosOf } from '../../benchmarks/ratios.js'
import { targetsOf, verdictsOf } from '../../benchmarks/verdicts.js'
import { measurement } from './sample.js'

t.test('ratios are made within a round, and their median counts', t => {
  const ratios = ratiosOf([measurement('http_json_1000', [50, 10, 90]), measurement('ceiling_copy', [100, 100, 100])])
  t.same(ratios.map(({ name, value }) => [name, value]), [['json_of_copy', 0.5]])
  t.end()
})

t.test('a ceiling that was not measured gives no ratio', t => {
  t.same(ratiosOf([measurement('http_json_1000', [50])]), [])
  t.same(ratiosOf([measurement('http_json_1000', [50]), measurement('ceiling_copy', [0])]), [])
  t.end()
})

t.test('a fall of more than a tenth fails, less does not', t => {
  const ratio = (value: number) => [{ name: 'json_of_copy', title: 'JSON', value }]
  const baseline = { storedAt: '', version: '', ratios: { json_of_copy: 0.5, other: 1 } }
  t.equal(checkRatios(baseline, ratio(0.46))[0]?.passed, true)
  t.equal(checkRatios(baseline, ratio(0.44))[0]?.passed, false)
  t.equal(checkRatios(baseline, ratio(0.9))[0]?.passed, true)
  t.same(checkRatios(baseline, []), [])
  t.equal(checkRatios(null, ratio(1))[0]?.passed, false, 'no baseline is not a good baseline')
  t.end()
})

t.test('a baseline is read as it was written', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'orbitstream-test-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const path = pathToFileURL(join(directory, 'baseline.json'))
  t.equal(await readBaseline(path), null)
  await writeBaseline(path, '1.2.3', [{ name: 'a', title: 'A', value: 0.123456 }])
  t.match(await readBaseline(path), { version: '1.2.3', ratios: { a: 0.1235 } })
})

t.test('one problem in one run fails the whole', t => {
  const good = measurement('http_json_1000', [1, 2])
  t.equal(verdictsOf([good])[0]?.passed, true)
  const bad = { ...good, runs: good.runs.map((run, index) => index === 1 ? { ...run, problems: ['3 points are lost'] } : run) }
  const [verdict] = verdictsOf([good, bad])
  t.equal(verdict?.passed, false)
  t.match(verdict?.detail, /3 points are lost/)
  t.end()
})

t.test('the promised rate must be stored and acknowledged', t => {
  const fixed = (rate: number, acknowledged: number) => {
    const made = measurement('autocannon_10000', [rate])
    return [{ ...made, runs: made.runs.map((run) => ({ ...run, sent: 1000, acknowledged })) }]
  }
  t.equal(verdictsOf(fixed(9_990, 1000))[1]?.passed, true)
  t.equal(verdictsOf(fixed(9_000, 1000))[1]?.passed, false)
  t.equal(verdictsOf(fixed(9_990, 980))[1]?.passed, false)
  t.end()
})

t.test('a slow way into the database fails', t => {
  const visible = (p99: number) => {
    const made = measurement('latency_visible_10000', [1])
    return [{ ...made, runs: made.runs.map((run) => ({ ...run, latency: { count: 1, p50: 1, p90: 1, p99, p999: p99, max: p99 } })) }]
  }
  t.equal(verdictsOf(visible(20))[1]?.passed, true)
  t.equal(verdictsOf(visible(101))[1]?.passed, false)
  t.end()
})

t.test('targets are those that were measured', t => {
  t.same(targetsOf([], []), [])
  const targets = targetsOf([measurement('http_json_1000', [400_000])], [{ name: 'json_of_copy', title: '', value: 0.7 }])
  t.same(targets.map(({ measured }) => measured), [400_000, 0.7])
  t.end()
})
