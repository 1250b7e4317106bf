/** One throughput run over HTTP: load, wait until it is stored, compare, count. */
import type { Format } from '../bodies.js'
import { prepareLoad } from '../load/child.js'
import type { HttpJob, HttpResult } from '../load/jobs.js'
import type { RunRecord } from '../result.js'
import { Costs, type Session } from '../session.js'
import { compare, empty, ledgerTotal, settle } from '../stored.js'

export interface Throughput {
  readonly format: Format
  readonly batch: number
  readonly seconds: number
  readonly satellites?: number
  /** Without it: as many as fill the server. */
  readonly connections?: number
  /** What an answer means; without it as the server has it. */
  readonly ack?: 'received'
  /** Leaves what is in the table. */
  readonly keepRows?: boolean
}

const SATELLITES = 100
/** Points on their way at once, as far as the connections go: enough that nobody waits for the load. */
const POINTS_ON_THEIR_WAY = 48_000
const CONNECTIONS_MAX = 64
const CONNECTIONS_MIN = 8
/** Points whose bodies are made: all differ, and the memory of the load stays small. */
const POINTS_MADE = 60_000
const BODIES_PER_CONNECTION_MAX = 20

/** The job of a load, by the size of its batches. */
export function httpJob (session: Session, load: Throughput): HttpJob {
  const { batch, format, satellites = SATELLITES } = load
  const connections = load.connections ?? Math.min(CONNECTIONS_MAX, Math.max(CONNECTIONS_MIN, Math.floor(POINTS_ON_THEIR_WAY / batch)))
  const pointsMade = Math.max(POINTS_MADE, satellites)
  const perConnection = Math.min(BODIES_PER_CONNECTION_MAX, Math.max(1, Math.ceil(pointsMade / batch / connections)))
  const path = `${batch === 1 ? '/telemetry' : '/telemetry/batch'}${load.ack === undefined ? '' : `?ack=${load.ack}`}`
  return {
    target: { host: '127.0.0.1', port: session.server.port, path, format },
    points: { satellites, bodies: connections * perConnection, batch },
    single: batch === 1,
    connections,
    seconds: load.seconds
  }
}

/** Points of all requests of a list by body. */
export function pointsIn (requests: readonly number[], batch: number): number {
  return requests.reduce((sum, count) => sum + count, 0) * batch
}

export async function runThroughput (session: Session, throughput: Throughput): Promise<RunRecord> {
  const { db } = session
  const job = httpJob(session, throughput)
  const { batch } = job.points
  if (throughput.keepRows !== true) await empty(db)
  const load = await prepareLoad<HttpResult>('./http-sender.js', job)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const startMs = performance.now()
  const result = await load.run()
  const acknowledged = pointsIn(result.acknowledged, batch)
  const settled = await settle(db, before, acknowledged)
  const seconds = (settled.atMs - startMs) / 1000
  const cost = await costs.end(load.cpuSeconds)
  const { stored, problems } = throughput.keepRows === true
    ? { stored: settled.committed, problems: [] }
    : await compare(db, { points: job.points, acknowledged: result.acknowledged, sent: result.sent })
  return {
    rate: stored / seconds,
    seconds,
    sent: pointsIn(result.sent, batch),
    acknowledged,
    stored,
    latency: result.latency,
    ...cost,
    problems: [...problems, ...refusals(result.statuses)]
  }
}

/** Answers that were not 2xx, as problems. A server that asks to wait (429, 503) does so rightly, and is counted by what it stored. */
export function refusals (statuses: Readonly<Record<string, number>>): string[] {
  return Object.entries(statuses)
    .filter(([status]) => !status.startsWith('2') && status !== '429' && status !== '503')
    .map(([status, count]) => status === '0' ? `${count} requests had no answer` : `${count} requests were answered with ${status}`)
}
