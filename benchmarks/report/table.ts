/** The report for a terminal. */
import type { Report } from '../result.js'
import {
  COLUMNS, figure, machineText, originText, otherWorkText, ratioCells, rowOf, targetText, type Row
} from './figures.js'

/** Aligned columns: the first to the left, the others to the right. */
export function align (rows: ReadonlyArray<readonly string[]>): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => column === 0
    ? cell.padEnd(widths[column] ?? 0)
    : cell.padStart(widths[column] ?? 0)).join('  ').trimEnd()).join('\n')
}

export function renderTable (report: Report): string {
  const rows = report.measurements.map(rowOf)
  const used = COLUMNS.filter(({ key }) => rows.some((row) => row[key] !== ''))
  const body = [used.map(({ title }) => title), ...rows.map((row: Row) => used.map(({ key }) => row[key]))]
  return [
    `${machineText(report)}\n${originText(report)}`,
    body.length > 1 ? align(body) : '',
    otherWorkText(report.measurements),
    section('Ratios', report.ratios.map((ratio) => ratioCells(ratio, report))),
    section('Targets', report.targets.map((target) => [
      target.title,
      figure(target.measured),
      `at ${target.lower ? 'most' : 'least'} ${figure(target.atLeast)}`,
      `aim ${figure(target.aim)}`,
      targetText(target)
    ])),
    section('Skipped', report.skipped.map(({ title, reason }) => [title, reason])),
    ...report.verdicts.map(({ passed, title, detail }) => `${passed ? 'ok    ' : 'FAILED'}  ${title}: ${detail}`)
  ].filter((part) => part !== '').join('\n\n')
}

function section (title: string, rows: ReadonlyArray<readonly string[]>): string {
  return rows.length === 0 ? '' : `${title}\n${align(rows)}`
}
