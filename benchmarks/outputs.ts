/** Outputs of a report: results, the baseline, the document. Refuses what would corrupt the last two. */
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

/**
 * Why the planned measurements cannot update the baseline or the document; null if they can. @param document its text
 */
export function refusalBefore (
  { updateBaseline, updateDocs, program, programArguments }: Updates,
  plan: Plan,
  document: string
): string | null {
  if (!updateBaseline && !updateDocs) return null
  if (program !== null || programArguments.length > 0) {
    return 'the baseline and the document are only for this checkout\'s program with default settings'
  }
  if (!updateDocs) return null
  if (!plan.thorough) return '--quick skips measurements in the documented table'
  const missing = documentedGroups(document).filter((group) => !(plan.groups as readonly string[]).includes(group))
  return missing.length === 0 ? null : `the documented table has groups that are not measured: ${missing.join(', ')}`
}

/** See `refusalBefore`. */
export async function refusalOf (options: BenchArguments, plan: Plan): Promise<string | null> {
  return refusalBefore(options, plan, options.updateDocs ? await readFile(DOCUMENT, 'utf8') : '')
}

/** Why the measurements cannot update the baseline or the document; null if they can. */
export function refusalAfter (
  { updateBaseline, updateDocs }: Pick<Updates, 'updateBaseline' | 'updateDocs'>,
  { verdicts }: Pick<Report, 'verdicts'>
): string | null {
  if (!updateBaseline && !updateDocs) return null
  const failed = verdicts.filter(({ passed }) => !passed).map(({ title }) => title)
  return failed.length === 0 ? null : `neither the baseline nor the document was written: ${failed.join('; ')}`
}

/** Writes the JSON and HTML results; returns their paths. */
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

/** Writes what the arguments request. */
export async function writeUpdates (
  { updateBaseline, updateDocs }: Pick<Updates, 'updateBaseline' | 'updateDocs'>,
  report: Report
): Promise<void> {
  if (updateBaseline) {
    await writeBaseline(
      BASELINE,
      mergeBaseline(await readBaseline(BASELINE), report.version, report.plan, report.ratios)
    )
  }
  if (updateDocs) await writeFile(DOCUMENT, replaceFigures(await readFile(DOCUMENT, 'utf8'), renderMarkdown(report)))
}
