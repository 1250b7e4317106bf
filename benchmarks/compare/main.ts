/**
 * The load of the benchmarks against another endpoint and against OrbitStream, in turn. What the other side stored cannot
 * be looked up here: its figures count what it acknowledged, and say so.
 */
import { prepareLoad } from '../load/child.js'
import type { HttpJob, HttpResult } from '../load/jobs.js'
import { onInterruption } from '../interruption.js'
import { closedLoopProblems, pointsIn } from '../outcomes.js'
import { planOf } from '../plan.js'
import { align } from '../report/table.js'
import type { RunRecord } from '../result.js'
import { httpJob, runThroughput, type Throughput } from '../scenarios/throughput.js'
import { warmUp } from '../scenarios/warm-up.js'
import { closeSession, openSession, type Session } from '../session.js'
import { COMPARE_HELP, parseCompare, type CompareArguments } from './arguments.js'
import { HEADS, problemsOf, rowOf } from './outcome.js'

/** The same for both: connections, bodies, points. */
function loadOf ({ batch, seconds, satellites, connections }: CompareArguments): Throughput {
  return { format: 'json', batch, seconds, satellites, connections, array: true }
}

async function runOther (options: CompareArguments): Promise<RunRecord> {
  const { url, format, headers } = options
  const port = Number(url.port) || 80
  const job: HttpJob = { ...httpJob(port, loadOf(options)), target: { host: url.hostname, port, path: url.pathname + url.search, format, headers } }
  const load = await prepareLoad<HttpResult>('./http-sender.js', job)
  const result = await load.run()
  const acknowledged = pointsIn(result.acknowledged, options.batch)
  return {
    rate: acknowledged / result.seconds,
    seconds: result.seconds,
    sent: pointsIn(result.sent, options.batch),
    acknowledged,
    stored: 0,
    latency: result.latency,
    problems: closedLoopProblems(result)
  }
}

async function openOwn ({ runs, seconds }: CompareArguments): Promise<Session> {
  const plan = planOf({ mode: 'default', runs, seconds, check: false, updateBaseline: false, updateDocs: false, only: null, program: null, programArguments: [] })
  return await openSession(plan, { program: null, args: [] })
}

/** Each in turn, so that drift of the machine meets both. */
async function runAll (options: CompareArguments, session: Session | null): Promise<{ others: RunRecord[], own: RunRecord[] }> {
  const others: RunRecord[] = []
  const own: RunRecord[] = []
  for (let run = 0; run < options.runs; run++) {
    others.push(await runOther(options))
    if (session !== null) own.push(await runThroughput(session, loadOf(options)))
  }
  return { others, own }
}

async function measure (options: CompareArguments, alone: boolean): Promise<{ others: RunRecord[], own: RunRecord[] }> {
  const session = alone ? null : await openOwn(options)
  try {
    if (session !== null) await warmUp(session)
    return await runAll(options, session)
  } finally {
    if (session !== null) await closeSession(session)
  }
}

async function main (): Promise<number> {
  const parsed = parseCompare(process.argv.slice(2))
  if (parsed.kind === 'help') {
    process.stdout.write(`${COMPARE_HELP}\n`)
    return 0
  }
  if (parsed.kind === 'error') {
    process.stderr.write(`error: ${parsed.message}\n${COMPARE_HELP}\n`)
    return 2
  }
  const { options, alone } = parsed
  onInterruption()
  const { others, own } = await measure(options, alone)
  const names = { other: `${options.url.host}, ${options.format}`, own: 'OrbitStream, JSON' }
  const rows = [rowOf(`${names.other} (acknowledged)`, others, false), ...alone ? [] : [rowOf(`${names.own} (stored)`, own, true)]]
  const problems = [...problemsOf(names.other, others), ...problemsOf(names.own, own)]
  process.stdout.write(`${align([HEADS, ...rows])}\n${problems.map((problem) => `${problem}\n`).join('')}`)
  return problems.length === 0 ? 0 : 1
}

process.exitCode = await main()
