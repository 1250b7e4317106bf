import t from 'tap'
import { renderHtml } from '../../../benchmarks/report/html.js'
import { BEGIN_MARKER, END_MARKER, renderMarkdown, replaceFigures } from '../../../benchmarks/report/markdown.js'
import { align, renderTable } from '../../../benchmarks/report/table.js'
import { barChart, escape, markChart, stackChart } from '../../../benchmarks/report/charts.js'
import { figure, ms, rowOf, targetText } from '../../../benchmarks/report/figures.js'
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
  t.match(row, { rate: '400,000', spread: '±25%', sent: '1,120,000', stored: '1,120,000', p99: '15.0', cpu: '1.88', memory: '150' })
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

t.test('columns stand under one another', t => {
  t.equal(align([['a', 'bbb'], ['cc', 'd']]), 'a   bbb\ncc    d')
  t.end()
})

t.test('the table says everything, and leaves out columns that nothing fills', t => {
  const text = renderTable(report())
  for (const part of ['400,000', 'JSON of COPY', '0.667', 'not reached', 'no listener', 'FAILED  rate: too low', 'Other work took 25%']) t.ok(text.includes(part), part)
  const bare = renderTable({ ...report(), measurements: [measurement('x', [1])], skipped: [] })
  t.notOk(bare.includes('p99 ms') || bare.includes('Skipped'))
  t.end()
})

t.test('the page is whole, escaped and asks nothing of the network', t => {
  const html = renderHtml(report())
  t.ok(html.startsWith('<!doctype html>') && html.trimEnd().endsWith('</html>'))
  t.equal(html.match(/<svg/g)?.length, 3)
  t.ok(html.includes('&lt;more&gt;') && !html.includes('<more>'))
  t.notMatch(html, /(src|href)=|@import|url\(|https?:/)
  t.notMatch(html, /NaN|undefined|Infinity/)
  t.end()
})

t.test('a page of almost nothing is a page', t => {
  const html = renderHtml({ ...report(), measurements: [], ratios: [], targets: [], skipped: [] })
  t.notMatch(html, /<svg|NaN|undefined|Infinity/)
  t.end()
})

t.test('charts keep within their width, also of zeros', t => {
  t.equal(escape('<a href="x">&'), '&lt;a href=&quot;x&quot;&gt;&amp;')
  const widths = (svg: string): number[] => [...svg.matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)"/g)].map(([, x, width]) => Number(x) + Number(width))
  const bars = barChart([{ label: 'a', value: 5, low: 4, high: 9, text: '5', color: 'red' }, { label: 'b', value: 0, text: '0', color: 'red' }])
  t.ok(widths(bars).every((right) => right <= 960))
  t.notMatch(barChart([{ label: 'a', value: 0, text: '0', color: 'red' }]), /NaN/)
  const stack = stackChart([{ label: 'a', text: '', parts: [{ name: 'x', value: 1, color: 'red' }, { name: 'y', value: 3, color: 'blue' }] }])
  const [first = 0, second = 0] = widths(stack)
  t.ok(first < second && second <= 960)
  t.notMatch(markChart([{ label: 'a', marks: [{ name: 'p50', value: 0, color: 'red' }] }]), /NaN|Infinity/)
  t.end()
})

t.test('figures go between the markers, and nothing else changes', t => {
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
