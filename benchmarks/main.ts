/**
 * `npm run bench`: starts the program, measures, prints a table, writes benchmarks/results/<date>.json and .html.
 * Exit code 1: something that must hold does not; 2: wrong arguments.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { version } from '../lib/version.js'
import { HELP, parseArguments, type BenchArguments } from './arguments.js'
import { checkRatios, readBaseline, writeBaseline } from './baseline.js'
import { planOf } from './plan.js'
import { ratiosOf } from './ratios.js'
import { renderHtml } from './report/html.js'
import { renderMarkdown, replaceFigures } from './report/markdown.js'
import { renderTable } from './report/table.js'
import type { Machine, Report } from './result.js'
import { runRounds } from './rounds.js'
import { ROOT } from './server.js'
import { closeSession, openSession, Results } from './session.js'
import { targetsOf, verdictsOf } from './verdicts.js'

const BASELINE = new URL('benchmarks/baseline.json', ROOT)
const RESULTS = new URL('benchmarks/results/', ROOT)
const INTERRUPTED = 130
const DOCUMENT = new URL('docs/PERFORMANCE.md', ROOT)

function machine (): Machine {
  const [first] = cpus()
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.versions.node,
    loadBefore: loadavg()[0] ?? 0
  }
}

async function measure (options: BenchArguments): Promise<Report> {
  const plan = planOf(options)
  const startedAt = new Date().toISOString()
  const startMs = performance.now()
  const host = machine()
  const results = new Results()
  const session = await openSession(plan, { program: options.program, args: options.programArguments })
  let interruption: Promise<never> | null = null
  const interrupt = (): void => { interruption ??= closeSession(session).then(() => process.exit(INTERRUPTED)) }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt)
  try {
    await runRounds(session, results, (text) => process.stderr.write(`${text}\n`))
  } catch (error) {
    // The measurement fails because the server goes: that is no news.
    await (interruption as Promise<never> | null)
    throw error
  } finally {
    for (const complaint of new Set(session.server.complaints)) process.stderr.write(`the server says: ${complaint}\n`)
    await closeSession(session)
  }
  const { measurements, skipped } = results
  const ratios = ratiosOf(measurements)
  const verdicts = [...verdictsOf(measurements), ...options.check ? checkRatios(await readBaseline(BASELINE), ratios) : []]
  const seconds = (performance.now() - startMs) / 1000
  return {
    startedAt, seconds, version: version(), mode: options.mode, machine: host, server: session.server.ready, measurements, ratios, targets: targetsOf(measurements, ratios), verdicts, skipped
  }
}

async function write (report: Report, options: BenchArguments): Promise<void> {
  await mkdir(RESULTS, { recursive: true })
  const name = report.startedAt.replaceAll(':', '-').replace(/\.\d+Z$/, 'Z')
  const json = new URL(`${name}.json`, RESULTS)
  const html = new URL(`${name}.html`, RESULTS)
  await writeFile(json, `${JSON.stringify(report, null, 2)}\n`)
  await writeFile(html, renderHtml(report))
  if (options.updateBaseline) await writeBaseline(BASELINE, report.version, report.ratios)
  if (options.updateDocs) await writeFile(DOCUMENT, replaceFigures(await readFile(DOCUMENT, 'utf8'), renderMarkdown(report)))
  process.stdout.write(`${renderTable(report)}\n\n${fileURLToPath(json)}\n${fileURLToPath(html)}\n`)
}

async function main (): Promise<number> {
  const parsed = parseArguments(process.argv.slice(2))
  if (parsed.kind === 'help') {
    process.stdout.write(`${HELP}\n`)
    return 0
  }
  if (parsed.kind === 'error') {
    process.stderr.write(`error: ${parsed.message}\n${HELP}\n`)
    return 2
  }
  const report = await measure(parsed.options)
  await write(report, parsed.options)
  return report.verdicts.every(({ passed }) => passed) ? 0 : 1
}

process.exitCode = await main()
