/** One throughput run over HTTP: send, wait until everything is stored, compare, count. */
import type { Format } from '../bodies.js'
import { compare, type Comparison } from '../comparison.js'
import { prepareLoad } from '../load/child.js'
import type { HttpJob, HttpResult } from '../load/jobs.js'
import { closedLoopProblems, pointsIn } from '../outcomes.js'
import { POINT_NUMBER_MAX } from '../points.js'
import type { RunRecord } from '../result.js'
import { Costs, type Session } from '../session.js'
import { empty, ledgerTotal, settle } from '../stored.js'

export interface Throughput {
  readonly format: Format
  readonly batch: number
  readonly seconds: number
  readonly satellites?: number
  /** Default: enough to saturate the server. */
  readonly connections?: number
  /** Send an array even for one point. */
  readonly array?: boolean
  /** What a response means; default: the server's setting. */
  readonly ack?: 'received'
  /** Keep the rows in the table. */
  readonly keepRows?: boolean
}

const SATELLITES = 100
/** Points in flight, as far as connections allow: enough that the server never waits for the load. */
const POINTS_ON_THEIR_WAY = 48_000
const CONNECTIONS_MAX = 256
const CONNECTIONS_MIN = 8
/** Points to prepare bodies for: all differ, and the load uses little memory. */
const POINTS_MADE = 60_000
const BODIES_PER_CONNECTION_MAX = 20

/** The job for a load, by batch size. */
export function httpJob (port: number, load: Throughput): HttpJob {
  const { batch, format, satellites = SATELLITES } = load
  const connections = load.connections ??
    Math.min(CONNECTIONS_MAX, Math.max(CONNECTIONS_MIN, Math.floor(POINTS_ON_THEIR_WAY / batch)))
  const single = batch === 1 && load.array !== true
  const path = `${single ? '/telemetry' : '/telemetry/batch'}${load.ack === undefined ? '' : `?ack=${load.ack}`}`
  return {
    target: { host: '127.0.0.1', port, path, format },
    points: { satellites, bodies: connections * bodiesPerConnection(batch, connections, satellites), batch },
    single,
    connections,
    seconds: load.seconds
  }
}

function bodiesPerConnection (batch: number, connections: number, satellites: number): number {
  const wanted = Math.ceil(Math.max(POINTS_MADE, satellites) / batch / connections)
  const most = Math.floor((POINT_NUMBER_MAX + 1) / batch / connections)
  return Math.max(1, Math.min(BODIES_PER_CONNECTION_MAX, wanted, most))
}

export async function runThroughput (session: Session, throughput: Throughput): Promise<RunRecord> {
  const { db, server } = session
  const { keepRows = false } = throughput
  const job = httpJob(server.port, throughput)
  if (!keepRows) await empty(db)
  return await runJob(session, job, async ({ acknowledged, sent }, sinceMs) => (
    await compare(db, { points: job.points, acknowledged, sent, ...keepRows ? { sinceMs } : {} })))
}

/**
 * Sends, and waits until everything is stored.
 * @param check compares what is stored with what was sent; `sinceMs` is the time of the first request
 */
export async function runJob (
  session: Session,
  job: HttpJob,
  check: (result: HttpResult, sinceMs: number) => Promise<Comparison>
): Promise<RunRecord> {
  const { db, server: { tls } } = session
  const { points: { batch } } = job
  const load = await prepareLoad<HttpResult>('./http-sender.js', { ...job, target: { ...job.target, tls } })
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const sinceMs = Date.now()
  const result = await load.run()
  const acknowledged = pointsIn(result.acknowledged, batch)
  const sent = pointsIn(result.sent, batch)
  const settled = await settle(db, before, { acknowledged, sent })
  const seconds = (settled.atMs - result.startedAtMs) / 1000
  const cost = await costs.end(load.cpuSeconds)
  const { stored, problems } = await check(result, sinceMs)
  return {
    rate: stored / seconds,
    seconds,
    sent,
    acknowledged,
    stored,
    latency: result.latency,
    ...cost,
    problems: [...problems, ...closedLoopProblems(result)]
  }
}
