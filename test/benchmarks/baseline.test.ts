import t from 'tap'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { checkRatios, mergeBaseline, readBaseline, writeBaseline, type Baseline } from '../../benchmarks/baseline.js'
import { planOf } from '../../benchmarks/plan.js'
import { expectationOf } from '../../benchmarks/ratios.js'
import { refusalAfter, refusalBefore } from '../../benchmarks/outputs.js'
import type { Ratio } from '../../benchmarks/result.js'
import { plan } from './sample.js'

const ratio = (value: number, more: Partial<Ratio> = {}): Ratio =>
  ({ name: 'json_of_copy', title: 'JSON', value, spread: 0, lower: false, ...more })
const baseline = (ratios: Record<string, number>, spread = 0): Baseline => ({
  storedAt: '',
  version: '',
  ratios: Object.fromEntries(Object.entries(ratios)
    .map(([name, value]) => [name, { value, spread, mode: 'full', runs: 5, seconds: 10 }]))
})
const only = (...groups: Array<'http' | 'ceilings' | 'spool' | 'udp'>) =>
  planOf({ mode: 'default', runs: null, seconds: null, only: groups })

t.test('a drop of more than 10% fails, a smaller one does not', t => {
  const passed = (value: number): boolean | undefined =>
    checkRatios(baseline({ json_of_copy: 0.5 }), plan, [ratio(value)])[0]?.passed
  t.same([0.46, 0.44, 0.9, NaN].map(passed), [true, false, true, false])
  t.equal(checkRatios(null, plan, [ratio(1)])[0]?.passed, false, 'a missing baseline fails')
  t.end()
})

t.test('for costs, a rise fails', t => {
  const passed = (value: number): boolean | undefined =>
    checkRatios(baseline({ rollups_cpu: 1 }), plan, [ratio(value, { name: 'rollups_cpu', lower: true })])[0]?.passed
  t.same([0.5, 1.09, 1.11].map(passed), [true, true, false])
  t.end()
})

t.test('a ratio with a wide spread in the baseline may drop as far, which is reported', t => {
  const [verdict] = checkRatios(baseline({ json_of_copy: 0.5 }, 0.3), plan, [ratio(0.36)])
  t.equal(verdict?.passed, true)
  t.match(verdict?.detail, /full, 5 × 10 s.*-30% allowed, the spread of the baseline/)
  t.equal(checkRatios(baseline({ json_of_copy: 0.5 }, 0.3), plan, [ratio(0.34)])[0]?.passed, false)
  t.end()
})

t.test('a missing ratio fails if the plan measures it, and not if the plan skips it', t => {
  const stored = baseline({ json_of_copy: 0.5, msgpack_of_copy: 0.5, spool_full: 1 })
  t.same(checkRatios(stored, only('ceilings', 'http'), [ratio(0.5)]).map(({ title, passed }) => [title, passed]), [
    ['Baseline: JSON', true],
    ['Baseline: msgpack_of_copy', false]
  ])
  t.same(
    checkRatios(stored, only('ceilings', 'http', 'spool'), [ratio(0.5)]).map(({ passed }) => passed),
    [true, false, false]
  )
  t.end()
})

t.test('having nothing to compare fails', t => {
  t.same(checkRatios(baseline({ json_of_copy: 0.5 }), only('http'), []).map(({ passed }) => passed), [false])
  t.same(checkRatios(baseline({}), plan, [ratio(1)]).map(({ passed }) => passed), [false])
  t.end()
})

t.test('a ratio that no longer exists fails until the baseline is updated', t => {
  t.match(checkRatios(baseline({ old: 1 }), plan, []), [{ passed: false, detail: /no longer exists/ }])
  t.same(
    Object.keys(mergeBaseline(baseline({ old: 1, spool_full: 1 }), '1', plan, [ratio(1)]).ratios),
    ['spool_full', 'json_of_copy']
  )
  t.end()
})

t.test('the mode decides what must be measured', t => {
  const quick = planOf({ mode: 'quick', runs: null, seconds: null, only: null })
  t.same(['json_of_copy', 'ndjson_of_copy', 'spool_full', 'udp_of_count'].map((name) => expectationOf(name, quick)), [
    'measured', 'left out', 'left out', 'left out'
  ])
  t.end()
})

t.test('the stored baseline contains existing ratios', async t => {
  const stored = JSON.parse(
    await readFile(new URL('../../../benchmarks/baseline.json', import.meta.url), 'utf8')
  ) as Baseline
  for (const [name, { value, mode, runs, seconds }] of Object.entries(stored.ratios)) {
    t.equal(expectationOf(name, plan), 'measured', name)
    t.ok(value > 0 && mode !== '' && runs > 0 && seconds > 0, name)
  }
})

t.test('a baseline round-trips, and a partial run keeps what it did not measure', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'orbitstream-test-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const path = pathToFileURL(join(directory, 'baseline.json'))
  t.equal(await readBaseline(path), null)
  await writeBaseline(path, mergeBaseline(baseline({
    json_of_copy: 0.5,
    spool_full: 1
  }), '1.2.3', only('ceilings', 'http'), [ratio(0.123456, { spread: 0.05 })]))
  t.match(await readBaseline(path), {
    version: '1.2.3',
    ratios: {
      json_of_copy: { value: 0.1235, spread: 0.05, mode: 'default', runs: 2, seconds: 1.2 },
      spool_full: { value: 1, mode: 'full' }
    }
  })
})

t.test('neither baseline nor document is updated by unsuitable runs', t => {
  const asked = { updateBaseline: true, updateDocs: true, program: null, programArguments: [] }
  const document = '<!-- groups: http, udp -->'
  t.equal(refusalBefore(asked, plan, document), null)
  t.match(refusalBefore({ ...asked, program: '/x' }, plan, document), /this checkout's program/)
  t.match(refusalBefore({
    ...asked,
    updateDocs: false,
    programArguments: ['--workers', '1']
  }, plan, document), /default settings/)
  t.match(refusalBefore(asked, only('http'), document), /not measured: udp/)
  t.match(refusalBefore(asked, planOf({ mode: 'quick', runs: null, seconds: null, only: null }), document), /--quick/)
  t.equal(refusalBefore({ ...asked, updateDocs: false }, only('http'), ''), null, 'part of the baseline')
  t.equal(refusalBefore({
    ...asked,
    updateBaseline: false,
    updateDocs: false,
    program: '/x'
  }, only('http'), document), null)
  const verdicts = [{ title: 'stored', passed: true, detail: '' }, { title: 'fast', passed: false, detail: '' }]
  t.match(refusalAfter(asked, { verdicts }), /fast/)
  t.equal(refusalAfter(asked, { verdicts: verdicts.slice(0, 1) }), null)
  t.equal(refusalAfter({ updateBaseline: false, updateDocs: false }, { verdicts }), null)
  t.end()
})
