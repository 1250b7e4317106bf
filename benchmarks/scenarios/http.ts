/**
 * HTTP: autocannon with one point per request, and the light sender with all formats and batch sizes. One point per
 * request on node:http too: newer releases of Node.js have no other engine.
 */
import { formatCount } from '../../lib/config/setting-types.js'
import type { Format } from '../bodies.js'
import { compare } from '../comparison.js'
import { prepareLoad } from '../load/child.js'
import type { AutocannonJob, AutocannonResult } from '../load/jobs.js'
import { ACKNOWLEDGED_SHARE_MIN, pointsIn, refusals } from '../outcomes.js'
import type { RunRecord } from '../result.js'
import { withServer } from '../rigs/own-server.js'
import { Costs, type Results, type Session } from '../session.js'
import { empty, ledgerTotal, settle } from '../stored.js'
import { runThroughput } from './throughput.js'
import { warmUp } from './warm-up.js'

interface Case {
  readonly name: string
  readonly title: string
  readonly format: Format
  readonly batch: number
  /** Measured in short runs too. */
  readonly important: boolean
}

const CASES: readonly Case[] = [
  { name: 'http_json_1', title: 'HTTP, JSON, one point a request', format: 'json', batch: 1, important: true },
  { name: 'http_json_10', title: 'HTTP, JSON, 10 a request', format: 'json', batch: 10, important: false },
  { name: 'http_json_100', title: 'HTTP, JSON, 100 a request', format: 'json', batch: 100, important: false },
  { name: 'http_json_1000', title: 'HTTP, JSON, 1000 a request', format: 'json', batch: 1000, important: true },
  { name: 'http_json_10000', title: 'HTTP, JSON, 10,000 a request', format: 'json', batch: 10_000, important: false },
  { name: 'http_ndjson_1000', title: 'HTTP, NDJSON, 1000 a request', format: 'ndjson', batch: 1000, important: false },
  {
    name: 'http_msgpack_1000',
    title: 'HTTP, msgpack frames, 1000 a request',
    format: 'msgpack',
    batch: 1000,
    important: true
  },
  {
    name: 'http_gzip_1000',
    title: 'HTTP, JSON with gzip, 1000 a request',
    format: 'gzip',
    batch: 1000,
    important: false
  }
]

/** The rate promised for the first release. */
export const FIXED_RATE = 10_000
const FIXED_CONNECTIONS = 100
const FREE_CONNECTIONS = 64
const AUTOCANNON_BODIES = 200
const SATELLITES = 100
/** The last requests take a small share of this. */
const FIXED_SECONDS_MIN = 5

export async function measureHttp (session: Session, results: Results): Promise<void> {
  const { plan } = session
  const fixed = await runAutocannon(session, FIXED_CONNECTIONS, FIXED_RATE)
  results.add(
    'http',
    'autocannon_10000',
    `autocannon, ${formatCount(FIXED_RATE)} requests/s of one point`,
    'points/s',
    fixed
  )
  results.add(
    'http',
    'autocannon_free',
    'autocannon, one point a request, as fast as it goes',
    'points/s',
    await runAutocannon(session, FREE_CONNECTIONS, null)
  )
  for (const { name, title, format, batch, important } of CASES) {
    if (!important && !plan.thorough) continue
    results.add('http', name, title, 'points/s', await runThroughput(session, { format, batch, seconds: plan.seconds }))
  }
  await measureNode(session, results)
}

async function measureNode (session: Session, results: Results): Promise<void> {
  const title = 'HTTP, JSON, one point a request, node:http'
  if (await usesNode(session)) {
    results.skip(title, 'the server itself uses node:http')
    return
  }
  await withServer(session, { env: { HTTP_ENGINE: 'node' } }, async (own) => {
    // Arguments override the environment.
    if (!await usesNode(own)) {
      results.skip(title, 'the arguments of the server name another engine')
      return
    }
    await warmUp(own)
    const run = await runThroughput(own, { format: 'json', batch: 1, seconds: own.plan.seconds })
    results.add('http', 'http_json_1_node', title, 'points/s', run)
  })
}

async function usesNode ({ server }: Session): Promise<boolean> {
  return (await server.health()).workers.some(({ engine }) => engine === 'node')
}

async function runAutocannon (
  session: Session,
  connections: number,
  requestsPerSecond: number | null
): Promise<RunRecord> {
  const { db, server, plan } = session
  await empty(db)
  const seconds = requestsPerSecond === null
    ? Math.max(2, Math.round(plan.seconds))
    : Math.max(FIXED_SECONDS_MIN, Math.round(plan.latencySeconds))
  const points = { satellites: SATELLITES, bodies: AUTOCANNON_BODIES, batch: 1 }
  const job: AutocannonJob = { url: `${server.url}/telemetry`, points, connections, requestsPerSecond, seconds }
  const load = await prepareLoad<AutocannonResult>('./autocannon-sender.js', job)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const result = await load.run()
  const totals = { sent: pointsIn(result.sent, 1), acknowledged: pointsIn(result.acknowledged, 1) }
  const settled = await settle(db, before, totals)
  const cost = await costs.end(load.cpuSeconds)
  const { stored, problems } = await compare(db, {
    points,
    acknowledged: result.acknowledged,
    sent: result.sent,
    timesRepeat: true
  })
  const elapsed = autocannonSeconds(job, (settled.atMs - result.startedAtMs) / 1000)
  return {
    rate: stored / elapsed,
    seconds: elapsed,
    ...totals,
    stored,
    latency: result.latency,
    ...cost,
    problems: [...problems, ...autocannonProblems(job, result)]
  }
}

/**
 * Time base of the rate. At a fixed rate each second's requests are sent at its start: the last second counts whole,
 * and points stored after its end lower the rate.
 */
export function autocannonSeconds ({ requestsPerSecond, seconds }: AutocannonJob, untilStored: number): number {
  return requestsPerSecond === null ? untilStored : Math.max(seconds, untilStored)
}

export function autocannonProblems (
  { requestsPerSecond, seconds }: AutocannonJob,
  { sent, acknowledged, statuses, failed }: AutocannonResult
): string[] {
  const total = pointsIn(sent, 1)
  const succeeded = pointsIn(acknowledged, 1)
  const due = requestsPerSecond === null ? 0 : requestsPerSecond * seconds
  return [
    ...refusals(statuses),
    ...failed > 0 ? [`${failed} connections were lost, or requests timed out`] : [],
    ...total < due * ACKNOWLEDGED_SHARE_MIN ? [`only ${total} of ${due} requests could be sent`] : [],
    ...requestsPerSecond !== null && succeeded < ACKNOWLEDGED_SHARE_MIN * total
      ? [`only ${succeeded} of ${total} requests succeeded`]
      : []
  ]
}
