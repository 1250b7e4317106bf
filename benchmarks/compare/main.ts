/**
 * The load of the benchmarks against another endpoint, and against OrbitStream in the same run. What the other side
 * stored cannot be looked up here: its figures count what it acknowledged, and say so.
 */
import { prepareLoad } from '../load/child.js'
import type { HttpJob, HttpResult } from '../load/jobs.js'
import { planOf } from '../plan.js'
import { count, ms } from '../report/figures.js'
import { align } from '../report/table.js'
import { pointsIn, runThroughput } from '../scenarios/throughput.js'
import { closeSession, openSession } from '../session.js'
import { median, spread } from '../statistics.js'
import { COMPARE_HELP, parseCompare, type CompareArguments } from './arguments.js'

interface Outcome {
  readonly pointsPerSecond: number
  readonly sent: number
  readonly acknowledged: number
  readonly p50: number
  readonly p99: number
  readonly statuses: string
}

async function runOther (options: CompareArguments): Promise<Outcome> {
  const { url, format, batch, satellites, connections, seconds, headers } = options
  const job: HttpJob = {
    target: { host: url.hostname, port: Number(url.port) || 80, path: url.pathname + url.search, format, headers },
    points: { satellites, bodies: connections, batch },
    single: false,
    connections,
    seconds
  }
  const load = await prepareLoad<HttpResult>('./http-sender.js', job)
  const result = await load.run()
  const acknowledged = pointsIn(result.acknowledged, batch)
  return {
    pointsPerSecond: acknowledged / result.seconds,
    sent: pointsIn(result.sent, batch),
    acknowledged,
    p50: result.latency.p50,
    p99: result.latency.p99,
    statuses: Object.entries(result.statuses).map(([status, times]) => `${status} × ${times}`).join(', ')
  }
}

async function runOwn ({ batch, satellites, seconds, runs }: CompareArguments): Promise<Outcome[]> {
  const plan = planOf({ mode: 'default', runs, seconds, check: false, updateBaseline: false, updateDocs: false, only: null, program: null, programArguments: [] })
  const session = await openSession(plan, { program: null, args: [] })
  try {
    const outcomes: Outcome[] = []
    for (let run = 0; run < runs; run++) {
      const { rate, sent, acknowledged, stored, latency, problems } = await runThroughput(session, { format: 'json', batch, seconds, satellites })
      outcomes.push({ pointsPerSecond: rate, sent, acknowledged, p50: latency?.p50 ?? NaN, p99: latency?.p99 ?? NaN, statuses: [`${count(stored)} stored`, ...problems].join('; ') })
    }
    return outcomes
  } finally {
    await closeSession(session)
  }
}

function row (name: string, outcomes: readonly Outcome[]): string[] {
  const rates = outcomes.map(({ pointsPerSecond }) => pointsPerSecond)
  const of = (key: 'p50' | 'p99'): string => ms(median(outcomes.map((outcome) => outcome[key])))
  const sum = (key: 'sent' | 'acknowledged'): string => count(outcomes.reduce((total, outcome) => total + outcome[key], 0))
  return [name, count(median(rates)), `±${(spread(rates) * 100).toFixed(0)}%`, sum('sent'), sum('acknowledged'), of('p50'), of('p99'), outcomes[0]?.statuses ?? '']
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
  const others: Outcome[] = []
  for (let run = 0; run < options.runs; run++) others.push(await runOther(options))
  const own = alone ? [] : [row('OrbitStream, JSON (stored)', await runOwn(options))]
  const heads = ['endpoint', 'points/s', 'spread', 'sent', 'acknowledged', 'p50 ms', 'p99 ms', 'first run']
  process.stdout.write(`${align([heads, row(`${options.url.host}, ${options.format} (acknowledged)`, others), ...own])}\n`)
  return others.some(({ acknowledged }) => acknowledged > 0) ? 0 : 1
}

process.exitCode = await main()
