/**
 * `npm run bench`: starts the program, measures, prints a table, writes benchmarks/results/<date>.json and .html.
 * Exit codes: 1 a requirement failed or not everything was measured; 2 invalid arguments; 128 and more: interrupted.
 */
import { end, STANDARD_OUTPUT } from '../lib/cli/output.js'
import { parseArguments, type BenchArguments } from './arguments.js'
import { checkRatios, readBaseline } from './baseline.js'
import { onInterruption } from './interruption.js'
import { describeMachine, diskVerdicts } from './machine.js'
import { readCommit, readVersion } from './origin.js'
import { BASELINE, refusalAfter, refusalOf, writeResults, writeUpdates } from './outputs.js'
import { planOf, type Plan } from './plan.js'
import { ratiosOf } from './ratios.js'
import { renderTable } from './report/table.js'
import type { Report, Verdict } from './result.js'
import { runRounds } from './rounds.js'
import { requirementVerdicts } from './requirements.js'
import { takeComplaints } from './servers.js'
import { closeSession, openSession, Results } from './session.js'
import { targetsOf, verdictsOf } from './verdicts.js'

/** One run of the benchmark, with everything known so far. */
class Bench {
  private readonly results = new Results()
  private readonly startMs = performance.now()
  private server: Report['server'] = {}

  private constructor (
    private readonly options: BenchArguments,
    private readonly plan: Plan,
    private readonly origin: Pick<Report, 'startedAt' | 'version' | 'program' | 'commit' | 'argv' | 'machine'>
  ) {}

  static async prepare (options: BenchArguments, plan: Plan, argv: readonly string[]): Promise<Bench> {
    const { program, dataDir } = options
    const [version, commit, machine] = await Promise.all([readVersion(program), readCommit(), describeMachine(dataDir)])
    for (const { detail } of diskVerdicts(machine)) tell(`WARNING: the data directory: ${detail}`)
    return new Bench(options, plan, { startedAt: new Date().toISOString(), version, program, commit, argv, machine })
  }

  get empty (): boolean {
    return this.results.measurements.length === 0
  }

  /** Measures everything; returns null, or why it ended early. */
  async measure (): Promise<Error | null> {
    const { program, programArguments, dataDir } = this.options
    try {
      const session = await openSession(this.plan, { program, args: programArguments, dataRoot: dataDir })
      this.server = session.server.ready
      try {
        await runRounds(session, this.results, tell)
      } finally {
        await closeSession(session)
      }
      return null
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  /** @param failure why not everything was measured */
  async report (failure: string | null): Promise<Report> {
    const { options, plan, results: { measurements, skipped } } = this
    const ratios = ratiosOf(measurements)
    const verdicts = [
      ...endVerdicts(failure, takeComplaints()),
      ...diskVerdicts(this.origin.machine),
      ...verdictsOf(measurements, plan),
      ...requirementVerdicts(measurements, ratios, plan),
      ...options.check ? checkRatios(await readBaseline(BASELINE), plan, ratios) : []
    ]
    const seconds = (performance.now() - this.startMs) / 1000
    return {
      ...this.origin,
      seconds,
      plan,
      server: this.server,
      measurements,
      ratios,
      targets: targetsOf(measurements, ratios),
      verdicts,
      skipped
    }
  }
}

/** Failures of the whole run rather than of one measurement. */
function endVerdicts (failure: string | null, complaints: readonly string[]): Verdict[] {
  return [
    ...failure === null ? [] : [{ title: 'Everything was measured', passed: false, detail: failure }],
    ...complaints.length === 0
      ? []
      : [{ title: 'The server logged no errors', passed: false, detail: complaints.join('; ') }]
  ]
}

async function publish (report: Report): Promise<void> {
  const paths = await writeResults(report)
  process.stdout.write(`${renderTable(report)}\n\n${paths.join('\n')}\n`)
}

async function run (options: BenchArguments, argv: readonly string[]): Promise<number> {
  const plan = planOf(options)
  const refusal = await refusalOf(options, plan)
  if (refusal !== null) return complain(refusal, 2)
  let bench: Bench | null = null
  const interruption = onInterruption(async (what) => {
    if (bench?.empty === false) await publish(await bench.report(what))
  })
  bench = await Bench.prepare(options, plan, argv)
  const failure = await bench.measure()
  await interruption.none()
  if (failure !== null) tell(failure.stack ?? failure.message)
  if (failure !== null && bench.empty) return complain('nothing was measured', 1)
  const report = await bench.report(failure?.message ?? null)
  await publish(report)
  const refusedNow = refusalAfter(options, report)
  if (refusedNow !== null) return complain(refusedNow, 1)
  await writeUpdates(options, report)
  return report.verdicts.every(({ passed }) => passed) ? 0 : 1
}

function complain (message: string, exitCode: number): number {
  process.stderr.write(`error: ${message}\n`)
  return exitCode
}

function tell (text: string): void {
  process.stderr.write(`${text}\n`)
}

async function main (argv: readonly string[]): Promise<number> {
  const parsed = parseArguments(argv)
  return parsed.kind === 'exit' ? end(parsed, STANDARD_OUTPUT) : await run(parsed.options, argv)
}

process.exitCode = await main(process.argv.slice(2))
