import t from 'tap'
import { renderHtml } from '../../../benchmarks/report/html.js'
import {
  BEGIN_MARKER, documentedGroups, END_MARKER, renderMarkdown, replaceFigures
} from '../../../benchmarks/report/markdown.js'
import { renderTable } from '../../../benchmarks/report/table.js'
import {
  figure, machineText, ms, originText, otherWorkText, rowOf, targetText
} from '../../../benchmarks/report/figures.js'
import { summaryOf } from '../../../benchmarks/summary.js'
import type { Group } from '../../../benchmarks/plan.js'
import { measurement, report } from '../sample.js'

t.test('figures', t => {
  t.equal(figure(412_345.6), '412,346')
  t.equal(figure(0.666), '0.67')
  t.equal(figure(15.55), '15.6')
  t.equal(ms(NaN), '–')
  t.equal(ms(1.234), '1.23')
  t.equal(ms(123.4), '123')
  t.end()
})

t.test('a row has median, spread, sums, percentiles and cost', t => {
  const row = rowOf(report().measurements[1] ?? measurement('none', []))
  t.match(row, {
    rate: '400,000',
    spread: '±25%',
    sent: '1,120,000',
    stored: '1,120,000',
    p99: '15.0 ±0%',
    cpu: '1.88 ±33%',
    memory: '150 ±0%',
    loop: 'closed',
    otherWork: '25% !'
  })
  t.match(rowOf(measurement('x', [5])), { spread: '', p50: '', cpu: '', memory: '' })
  t.end()
})

t.test('targets are reached upwards and downwards', t => {
  const target = { title: '', unit: '', atLeast: 10, aim: 20, lower: false }
  t.same([5, 10, 20].map((measured) => targetText({ ...target, measured })), ['not reached', 'reached', 'aim reached'])
  const low = { ...target, atLeast: 20, aim: 10, lower: true }
  t.same([25, 20, 10].map((measured) => targetText({ ...low, measured })), ['not reached', 'reached', 'aim reached'])
  t.end()
})

t.test('the table is complete, and omits empty columns', t => {
  const text = renderTable(report())
  for (const part of [
    '400,000',
    'JSON of COPY',
    '0.667',
    'not reached',
    'no listener',
    'FAILED  rate: too low',
    'Other work took 25%',
    '±12%',
    'data on ext4',
    "`npm run bench -- --quick --program 'it'\\''s'`, commit abcdef0123",
    '3 rounds of ceilings'
  ]) t.ok(text.includes(part), part)
  const bare = renderTable({ ...report(), measurements: [measurement('x', [1])], skipped: [] })
  t.notOk(bare.includes('p99 ms') || bare.includes('Skipped'))
  t.end()
})

t.test('the page is complete, escaped and self-contained', t => {
  const html = renderHtml(report())
  t.ok(html.startsWith('<!doctype html>') && html.trimEnd().endsWith('</html>'))
  t.equal(html.match(/<svg/g)?.length, 3)
  t.ok(html.includes('&lt;more&gt;') && !html.includes('<more>'))
  t.notMatch(html, /(src|href)=|@import|url\(|https?:/)
  t.notMatch(html, /NaN|undefined|Infinity/)
  t.end()
})

t.test('figures are placed between the markers, and nothing else changes', t => {
  const figures = renderMarkdown(report())
  t.match(figures, /\| http_json_1000 & <more> \|/)
  const document = `# A\n${BEGIN_MARKER}\nold\n${END_MARKER}\n# B\n`
  const once = replaceFigures(document, figures)
  t.ok(once.startsWith(`# A\n${BEGIN_MARKER}\n`) && once.endsWith(`${END_MARKER}\n# B\n`))
  t.notOk(once.includes('old'))
  t.equal(replaceFigures(once, figures), once)
  t.throws(() => replaceFigures('# A', figures), /markers/)
  t.end()
})

t.test('a program without a version is shown as another program', t => {
  t.ok(machineText({ ...report(), version: null }).startsWith('OrbitStream (other program), '))
  t.match(originText({ ...report(), program: '/x', commit: null }), /`, of another program: 3 rounds/)
  t.end()
})

t.test('disturbed runs are left out and counted', t => {
  const made = measurement('http_json_1000', [100, 900, 110])
  const disturbed = {
    ...made,
    runs: made.runs.map((run, round) => ({ ...run, otherCpuShare: round === 1 ? 0.5 : 0.01 }))
  }
  t.match(rowOf(disturbed), { rate: '105', spread: '±5%', sent: '1,110', otherWork: '1% (1 out)' })
  t.match(otherWorkText([disturbed, made]), /50% at most.*: 1 of 6 were\.$/)
  t.match(otherWorkText([
    { ...disturbed, runs: disturbed.runs.slice(1, 2) }
  ]), /0 of 1 were; 1 of 1 measurements, marked with !/)
  t.equal(otherWorkText([made]), '')
  t.match(summaryOf(disturbed), {
    runs: 2,
    leftOut: 1,
    disturbed: false,
    rate: { median: 105 },
    p99: null,
    workerBytes: null
  })
  t.end()
})

t.test('percentiles of closed and open loops are distinguished', t => {
  const latency = { count: 1, p50: 1, p90: 1, p99: 1, p999: 1, max: 1 }
  const loop = (name: string, group: Group): string => {
    const made = measurement(name, [1], group)
    return rowOf({ ...made, runs: made.runs.map((run) => ({ ...run, latency })) }).loop
  }
  t.same([
    loop('http_json_1', 'http'), loop('latency_ack_1000', 'latency'), loop('rollups_rate', 'rollups'),
    loop('rollups_full', 'rollups'), loop('aggregates_50000', 'aggregates'), loop('ceiling_fdatasync', 'ceilings')
  ], ['closed', 'open', 'open', 'closed', 'open', ''])
  t.equal(rowOf(measurement('http_json_1', [1])).loop, '', 'no mark without percentiles')
  t.end()
})

t.test('session busyness is shown as shares of time, by purpose', t => {
  const made = measurement('aggregates_50000', [1, 1, 1], 'aggregates')
  const busy = [{ storing: 0.5, refreshes: 0.2 }, { storing: 0.3 }, { storing: 0.4, refreshes: 0.1 }]
  t.equal(rowOf({
    ...made,
    runs: made.runs.map((run, round) => ({ ...run, busySeconds: busy[round] ?? {} }))
  }).busy, 'storing 40%, refreshes 10%')
  t.equal(rowOf(made).busy, '')
  t.end()
})

t.test('the figures in a document name their groups', t => {
  t.same(documentedGroups(renderMarkdown(report())), ['ceilings', 'http', 'latency'])
  t.same(documentedGroups('# A'), [])
  t.end()
})
