/** The report as one self-contained page: no script, no external style sheet or image. */
import type { Group } from '../plan.js'
import type { Measurement, Report } from '../result.js'
import { countedRuns, cpuMicrosPerPoint, LOAD_ROLE, median, medianLatency, summarize } from '../statistics.js'
import { barChart, color, escape, legend, markChart, stackChart, type Bar, type Marks, type Stack } from './charts.js'
import {
  COLUMNS, count, figure, machineText, originText, otherWorkText, RATIO_HEADS, ratioCells, rowOf, targetText
} from './figures.js'
import { costPanels, throughputPanels } from './panels.js'

const STYLE = `body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px}
td,th{padding:3px 8px;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;font-size:12px}.value{fill:#555}
.legend span{margin-right:1.2em}
.legend i{display:inline-block;width:.9em;height:.9em;margin-right:.4em;vertical-align:-1px}
.ok{color:#2c7a4b}.bad{color:#b5203a;font-weight:600}.wide{overflow-x:auto}`

const CEILING_COLOR = '#bbbbbb'
const PERCENTILES = ['p50', 'p90', 'p99', 'p999'] as const

export function renderHtml (report: Report): string {
  const { measurements } = report
  const parts = [
    '<h1>OrbitStream benchmarks</h1>',
    ...[machineText(report), originText(report), otherWorkText(measurements)].map(paragraph),
    verdicts(report),
    throughput(measurements),
    latencies(measurements),
    processorTime(measurements),
    simpleTable('Ratios', RATIO_HEADS, report.ratios.map((ratio) => ratioCells(ratio, report))),
    simpleTable('Targets', ['target', 'measured', 'needed', 'aim', ''], report.targets.map((target) => [
      target.title,
      `${figure(target.measured)} ${target.unit}`,
      figure(target.atLeast),
      figure(target.aim),
      targetText(target)
    ])),
    allFigures(measurements),
    simpleTable('Skipped', ['measurement', 'reason'], report.skipped.map(({ title, reason }) => [title, reason]))
  ]
  const body = parts.filter((part) => part !== '').join('\n')
  return '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" ' +
    'content="width=device-width">' +
    `<title>OrbitStream benchmarks</title><style>${STYLE}</style></head>\n<body>\n${body}\n</body></html>\n`
}

function paragraph (text: string): string {
  return text === '' ? '' : `<p>${escape(text)}</p>`
}

function verdicts ({ verdicts: all }: Report): string {
  const items = all.map(({ passed, title, detail }) =>
    `<li class="${passed ? 'ok' : 'bad'}">${passed ? '✓' : '✗'} ${escape(title)}: ${escape(detail)}</li>`)
  return `<ul>${items.join('')}</ul>`
}

function inGroups (measurements: readonly Measurement[], ...groups: Group[]): Measurement[] {
  return measurements.filter(({ group }) => groups.includes(group))
}

function throughput (measurements: readonly Measurement[]): string {
  const panels = throughputPanels(measurements).map(({ title, measurements: shown }) =>
    `<h3>${escape(title)}</h3>${barChart(shown.map(barOf))}`)
  if (panels.length === 0) return ''
  return '<h2>Throughput, points/s</h2><p>Medians; the line spans the counted runs. Grey: ceilings of this machine ' +
    `in the same rounds. Only points found in the database count. Scales differ between charts.</p>${panels.join('')}`
}

function barOf ({ title, group, runs }: Measurement): Bar {
  const { median: middle, low, high } = summarize(countedRuns(runs).map(({ rate }) => rate))
  return {
    label: title,
    value: middle,
    low,
    high,
    text: count(middle),
    color: group === 'ceilings' ? CEILING_COLOR : color(group === 'udp' ? 1 : 0)
  }
}

function latencies (measurements: readonly Measurement[]): string {
  const rows = inGroups(measurements, 'latency', 'queries', 'freshness').flatMap(({ title, runs }): Marks[] => {
    const latency = medianLatency(countedRuns(runs))
    return latency === null
      ? []
      : [{
          label: title,
          marks: PERCENTILES.map((name, position) => ({ name, value: latency[name], color: color(position) }))
        }]
  })
  if (rows.length === 0) return ''
  const entries = PERCENTILES.map((name, position) =>
    ({ name: name === 'p999' ? 'p99.9' : name, color: color(position) }))
  return `<h2>Latency</h2>${legend(entries)}${markChart(rows)}`
}

function processorTime (measurements: readonly Measurement[]): string {
  const panels = costPanels(measurements)
  if (panels.length === 0) return ''
  const shown = panels.flatMap((panel) => panel.measurements)
  const roles = [
    ...new Set(shown.flatMap(({ runs }) => runs.flatMap(({ cpuSeconds }) => Object.keys(cpuSeconds ?? {}))))
  ].filter((role) => role !== LOAD_ROLE).sort()
  const charts = panels.map(({ title, measurements: charted }) =>
    `<h3>${escape(title)}</h3>${stackChart(charted.map((measurement) => stackOf(measurement, roles)))}`)
  const entries = roles.map((name, position) => ({ name, color: color(position) }))
  return `<h2>CPU time per stored point, µs</h2>${legend(entries)}${charts.join('')}`
}

/** Medians by process; the text is the median of the sums. */
function stackOf ({ title, runs }: Measurement, roles: readonly string[]): Stack {
  const counted = countedRuns(runs)
  const parts = roles.map((name, position) => ({
    name,
    color: color(position),
    value: median(counted.map(({ cpuSeconds, stored }) => (cpuSeconds?.[name] ?? 0) * 1e6 / stored))
  }))
  return { label: title, parts, text: `${median(counted.map(cpuMicrosPerPoint)).toFixed(2)} µs` }
}

function allFigures (measurements: readonly Measurement[]): string {
  const rows = measurements.map(rowOf)
  const heads = COLUMNS.map(({ title }) => title)
  return simpleTable('All figures', heads, rows.map((row) => COLUMNS.map(({ key }) => row[key])))
}

function simpleTable (title: string, heads: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`
  const body = rows.map((row) => line(row, 'td')).join('')
  return `<h2>${escape(title)}</h2><div class="wide"><table>${line(heads, 'th')}${body}</table></div>`
}
