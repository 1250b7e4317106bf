/** The report as one page that needs nothing else: no script, no style sheet, no picture from anywhere. */
import type { Group, Measurement, Report } from '../result.js'
import { LOAD_ROLE, median, medianLatency, summarize } from '../statistics.js'
import { barChart, color, escape, legend, markChart, stackChart, type Bar, type Marks, type Stack } from './charts.js'
import { COLUMNS, count, figure, machineText, rowOf, targetText } from './figures.js'

const STYLE = `body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px}td,th{padding:3px 8px;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;font-size:12px}.value{fill:#555}
.legend span{margin-right:1.2em}.legend i{display:inline-block;width:.9em;height:.9em;margin-right:.4em;vertical-align:-1px}
.ok{color:#2c7a4b}.bad{color:#b5203a;font-weight:600}.wide{overflow-x:auto}`

const CEILING_COLOR = '#bbbbbb'
const PERCENTILES = ['p50', 'p90', 'p99', 'p999'] as const

export function renderHtml (report: Report): string {
  const { measurements } = report
  const parts = [
    `<h1>OrbitStream benchmarks</h1><p>${escape(machineText(report))}</p>`,
    verdicts(report),
    throughput(measurements),
    latencies(measurements),
    processorTime(measurements),
    simpleTable('Ratios', ['ratio', 'median'], report.ratios.map(({ title, value }) => [title, value.toFixed(3)])),
    simpleTable('Targets', ['target', 'measured', 'needed', 'aim', ''], report.targets.map((target) => [
      target.title, `${figure(target.measured)} ${target.unit}`, figure(target.atLeast), figure(target.aim), targetText(target)])),
    allFigures(measurements),
    simpleTable('Skipped', ['measurement', 'reason'], report.skipped.map(({ title, reason }) => [title, reason]))
  ]
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>OrbitStream benchmarks</title><style>${STYLE}</style></head>\n<body>\n${parts.filter((part) => part !== '').join('\n')}\n</body></html>\n`
}

function verdicts ({ verdicts: all }: Report): string {
  const items = all.map(({ passed, title, detail }) => `<li class="${passed ? 'ok' : 'bad'}">${passed ? '✓' : '✗'} ${escape(title)}: ${escape(detail)}</li>`)
  return `<ul>${items.join('')}</ul>`
}

function inGroups (measurements: readonly Measurement[], ...groups: Group[]): Measurement[] {
  return measurements.filter(({ group }) => groups.includes(group))
}

function throughput (measurements: readonly Measurement[]): string {
  const shown = inGroups(measurements, 'ceilings', 'http', 'udp', 'growth').filter(({ unit }) => unit === 'points/s')
  if (shown.length === 0) return ''
  const bars = shown.map(({ title, group, runs }): Bar => {
    const { median: middle, low, high } = summarize(runs.map(({ rate }) => rate))
    return { label: title, value: middle, low, high, text: count(middle), color: group === 'ceilings' ? CEILING_COLOR : color(group === 'udp' ? 1 : group === 'growth' ? 2 : 0) }
  })
  return `<h2>Throughput, points/s</h2><p>Medians; the line spans all runs. Grey: ceilings of this machine in the same rounds. Only points found in the database count.</p>${barChart(bars)}`
}

function latencies (measurements: readonly Measurement[]): string {
  const rows = inGroups(measurements, 'latency', 'queries').flatMap(({ title, runs }): Marks[] => {
    const latency = medianLatency(runs)
    return latency === null ? [] : [{ label: title, marks: PERCENTILES.map((name, position) => ({ name, value: latency[name], color: color(position) })) }]
  })
  if (rows.length === 0) return ''
  return `<h2>Latency</h2>${legend(PERCENTILES.map((name, position) => ({ name: name === 'p999' ? 'p99.9' : name, color: color(position) })))}${markChart(rows)}`
}

function processorTime (measurements: readonly Measurement[]): string {
  const measured = measurements.filter(({ runs }) => runs.some(({ cpuSeconds, stored }) => cpuSeconds !== undefined && stored > 0))
  const roles = [...new Set(measured.flatMap(({ runs }) => runs.flatMap(({ cpuSeconds }) => Object.keys(cpuSeconds ?? {}))))].filter((role) => role !== LOAD_ROLE).sort()
  if (measured.length === 0) return ''
  const stacks = measured.map(({ title, runs }): Stack => {
    const parts = roles.map((name, position) => ({
      name, color: color(position), value: median(runs.map(({ cpuSeconds, stored }) => (cpuSeconds?.[name] ?? 0) * 1e6 / stored))
    }))
    return { label: title, parts, text: `${parts.reduce((sum, part) => sum + part.value, 0).toFixed(2)} µs` }
  })
  return `<h2>Processor time per stored point, µs</h2>${legend(roles.map((name, position) => ({ name, color: color(position) })))}${stackChart(stacks)}`
}

function allFigures (measurements: readonly Measurement[]): string {
  const rows = measurements.map(rowOf)
  return simpleTable('All figures', COLUMNS.map(({ title }) => title), rows.map((row) => COLUMNS.map(({ key }) => row[key])))
}

function simpleTable (title: string, heads: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[], tag: string): string => `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`
  return `<h2>${escape(title)}</h2><div class="wide"><table>${line(heads, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table></div>`
}
