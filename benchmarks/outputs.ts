/** Where a report goes: results, the baseline, the document. What would spoil the last two is refused. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { BenchArguments } from './arguments.js'
import { mergeBaseline, readBaseline, writeBaseline } from './baseline.js'
import type { Plan } from './plan.js'
import { renderHtml } from './report/html.js'
import { documentedGroups, renderMarkdown, replaceFigures } from './report/markdown.js'
import type { Report } from './result.js'
import { ROOT } from './server.js'
import { summaryOf } from './summary.js'

export const BASELINE = new URL('benchmarks/baseline.json', ROOT)
const RESULTS = new URL('benchmarks/results/', ROOT)
const DOCUMENT = new URL('docs/PERFORMANCE.md', ROOT)

type Updates = Pick<BenchArguments, 'updateBaseline' | 'updateDocs' | 'program' | 'programArguments'>

/** Why the baseline or the document cannot be written by what will be measured; null if it can. @param document its text */
export function refusalBefore ({ updateBaseline, updateDocs, program, programArguments }: Updates, plan: Plan, document: string): string | null {
  if (!updateBaseline && !updateDocs) return null
  if (program !== null || programArguments.length > 0) return 'baseline and documents are of the program of this checkout with its default settings alone'
  if (!updateDocs) return null
  if (!plan.thorough) return '--quick leaves out what the documented table holds'
  const missing = documentedGroups(document).filter((group) => !(plan.groups as readonly string[]).includes(group))
  return missing.length === 0 ? null : `the documented table holds groups that are not measured: ${missing.join(', ')}`
}

/** See `refusalBefore`. */
export async function refusalOf (options: BenchArguments, plan: Plan): Promise<string | null> {
  return refusalBefore(options, plan, options.updateDocs ? await readFile(DOCUMENT, 'utf8') : '')
}

/** Why the baseline or the document cannot be written by what was measured; null if it can. */
export function refusalAfter ({ updateBaseline, updateDocs }: Pick<Updates, 'updateBaseline' | 'updateDocs'>, { verdicts }: Pick<Report, 'verdicts'>): string | null {
  if (!updateBaseline && !updateDocs) return null
  const failed = verdicts.filter(({ passed }) => !passed)
  return failed.length === 0 ? null : `neither baseline nor document is written: ${failed.map(({ title }) => title).join('; ')}`
}

/** Writes JSON and page; gives their paths. */
export async function writeResults (report: Report): Promise<string[]> {
  await mkdir(RESULTS, { recursive: true })
  const name = report.startedAt.replaceAll(':', '-').replace(/\.\d+Z$/, 'Z')
  const json = new URL(`${name}.json`, RESULTS)
  const html = new URL(`${name}.html`, RESULTS)
  const measurements = report.measurements.map((measurement) => ({ ...measurement, summary: summaryOf(measurement) }))
  await writeFile(json, `${JSON.stringify({ ...report, measurements }, null, 2)}\n`)
  await writeFile(html, renderHtml(report))
  return [fileURLToPath(json), fileURLToPath(html)]
}

/** As the arguments ask. */
export async function writeUpdates ({ updateBaseline, updateDocs }: Pick<Updates, 'updateBaseline' | 'updateDocs'>, report: Report): Promise<void> {
  if (updateBaseline) await writeBaseline(BASELINE, mergeBaseline(await readBaseline(BASELINE), report.version, report.plan, report.ratios))
  if (updateDocs) await writeFile(DOCUMENT, replaceFigures(await readFile(DOCUMENT, 'utf8'), renderMarkdown(report)))
}
