import t from 'tap'
import { renderHtml } from '../../../benchmarks/report/html.js'
import {
  BEGIN_MARKER, documentedGroups, END_MARKER, renderMarkdown, replaceFigures
} from '../../../benchmarks/report/markdown.js'
import { otherWorkText, rowOf } from '../../../benchmarks/report/figures.js'
import { summaryOf } from '../../../benchmarks/summary.js'
import { measurement, report } from '../sample.js'

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

t.test('the figures in a document name their groups', t => {
  t.same(documentedGroups(renderMarkdown(report())), ['ceilings', 'http', 'latency'])
  t.same(documentedGroups('# A'), [])
  t.end()
})
