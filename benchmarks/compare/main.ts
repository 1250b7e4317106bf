/**
 * The benchmark load against other endpoints and OrbitStream, in turn. What the other side stored cannot be verified:
 * its figures count acknowledged points, and say so.
 */
import { end, STANDARD_OUTPUT } from '../../lib/cli/output.js'
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
import { parseCompare, type CompareArguments } from './arguments.js'
import { HEADS, pairsText, problemsOf, rowOf } from './outcome.js'

/** The same for all endpoints: connections, bodies, points. */
function loadOf ({ batch, seconds, satellites, connections }: CompareArguments): Throughput {
  return { format: 'json', batch, seconds, satellites, connections, array: true }
}

/** Runs of one endpoint. */
interface Side {
  readonly name: string
  /** Whether stored points can be counted. */
  readonly own: boolean
  readonly run: () => Promise<RunRecord>
  readonly runs: RunRecord[]
}

async function runOther (url: URL, options: CompareArguments): Promise<RunRecord> {
  const { format, headers } = options
  const port = Number(url.port) || 80
  const job: HttpJob = {
    ...httpJob(port, loadOf(options)),
    target: { host: url.hostname, port, path: url.pathname + url.search, format, headers }
  }
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
  const plan = planOf({ mode: 'default', runs, seconds, only: null })
  return await openSession(plan, { program: null, args: [] })
}

async function measure (options: CompareArguments, alone: boolean): Promise<Side[]> {
  const session = alone ? null : await openOwn(options)
  const { urls, format, runs } = options
  const sides: Side[] = urls.map((url) => ({
    name: `${url.host}${url.pathname}, ${format}`,
    own: false,
    run: async () => await runOther(url, options),
    runs: []
  }))
  try {
    if (session !== null) {
      await warmUp(session)
      sides.push({
        name: 'OrbitStream, JSON',
        own: true,
        run: async () => await runThroughput(session, loadOf(options)),
        runs: []
      })
    }
    // In turn, so that drift of the machine affects all alike.
    for (let run = 0; run < runs; run++) {
      for (const side of sides) side.runs.push(await side.run())
    }
    return sides
  } finally {
    if (session !== null) await closeSession(session)
  }
}

async function main (): Promise<number> {
  const parsed = parseCompare(process.argv.slice(2))
  if (parsed.kind === 'exit') return end(parsed, STANDARD_OUTPUT)
  const { options, alone } = parsed
  onInterruption()
  const sides = await measure(options, alone)
  const [first, ...others] = sides
  const rows = sides.map(({ name, own, runs }) => rowOf(`${name} (${own ? 'stored' : 'acknowledged'})`, runs, own))
  const pairs = first === undefined
    ? []
    : others.map(({ name, runs }) => `${name} to ${first.name}: ${pairsText(first.runs, runs)}\n`)
  const problems = sides.flatMap(({ name, runs }) => problemsOf(name, runs))
  process.stdout.write(
    `${align([HEADS, ...rows])}\n${pairs.join('')}${problems.map((problem) => `${problem}\n`).join('')}`
  )
  return problems.length === 0 ? 0 : 1
}

process.exitCode = await main()
