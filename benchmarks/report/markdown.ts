/** The figures in Markdown for docs/PERFORMANCE.md, placed between two markers; the rest of the file is unchanged. */
import type { Report } from '../result.js'
import {
  COLUMNS, figure, machineText, originText, otherWorkText, RATIO_HEADS, ratioCells, rowOf, targetText
} from './figures.js'

export const BEGIN_MARKER = '<!-- figures: written by npm run bench -- --update-docs -->'
export const END_MARKER = '<!-- end of figures -->'

function table (heads: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map((_, column) => column === 0 ? '---' : '---:')), ...rows.map(line)].join('\n')
}

const GROUPS_MARKER = /<!-- groups: ([\w, ]*) -->/

/** Groups with figures in a document. */
export function documentedGroups (document: string): string[] {
  return GROUPS_MARKER.exec(document)?.[1]?.split(', ') ?? []
}

export function renderMarkdown (report: Report): string {
  const rows = report.measurements.map(rowOf)
  const used = COLUMNS.filter(({ key }) => rows.some((row) => row[key] !== ''))
  return [
    `<!-- groups: ${[...new Set(report.measurements.map(({ group }) => group))].join(', ')} -->`,
    machineText(report),
    originText(report),
    table(used.map(({ title }) => title), rows.map((row) => used.map(({ key }) => row[key]))),
    otherWorkText(report.measurements),
    table(RATIO_HEADS, report.ratios.map((ratio) => ratioCells(ratio, report))),
    table(['target', 'measured', 'needed', 'aim', ''], report.targets.map((target) => [
      `${target.title}${target.unit === '' ? '' : `, ${target.unit}`}`,
      figure(target.measured),
      figure(target.atLeast),
      figure(target.aim),
      targetText(target)
    ]))
  ].filter((part) => part !== '').join('\n\n')
}

/** The document with new figures; throws if the markers are missing. */
export function replaceFigures (document: string, figures: string): string {
  const begin = document.indexOf(BEGIN_MARKER)
  const end = document.indexOf(END_MARKER)
  if (begin < 0 || end < begin) throw new Error('the document has no markers for the figures')
  return `${document.slice(0, begin + BEGIN_MARKER.length)}\n\n${figures}\n\n${document.slice(end)}`
}
