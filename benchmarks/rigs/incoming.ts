/**
 * Points that come in at a fixed rate, in an open loop, while something else happens. All of them are compared with the
 * database afterwards; rows that are older than the load are left alone.
 */
import { compare } from '../comparison.js'
import { held } from '../held.js'
import { prepareLoad } from '../load/child.js'
import type { PacedJob, PacedResult } from '../load/jobs.js'
import { pacedProblems, pointsIn } from '../outcomes.js'
import type { RunRecord } from '../result.js'
import { Costs, type Session } from '../session.js'
import { ledgerTotal, settle } from '../stored.js'

export interface Incoming {
  readonly requestsPerSecond: number
  /** Points per request; one is sent as an object. */
  readonly batch: number
  readonly satellites: number
  /** Enough that no request waits for one. */
  readonly connections: number
  /** Without the first second, in which the sender warms up. */
  readonly seconds: number
}

/** 10,000 points/s of 1,000 satellites. */
export const TEN_THOUSAND: Omit<Incoming, 'seconds'> = {
  requestsPerSecond: 100, batch: 100, satellites: 1_000, connections: 32
}

/** Each connection needs a body of its own, and one is sent again only once its answer is there. */
const BODIES_PER_CONNECTION = 2
const WARM_UP_SECONDS = 1

/**
 * What happens beside the load. @param sending settles when all points are sent and stored
 * @returns processor seconds of load other than that of the sender and of this process
 */
export type Beside = (sending: Promise<unknown>) => Promise<number>

const NOTHING: Beside = async (sending) => {
  await sending
  return 0
}

/** The load, with the latency of its responses and what it cost the server. */
export async function runIncoming (
  session: Session, incoming: Incoming, beside: Beside = NOTHING
): Promise<RunRecord> {
  const { db } = session
  const job = jobOf(session, incoming)
  const { batch } = incoming
  const load = await prepareLoad<PacedResult>('./paced-sender.js', job)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const sinceMs = Date.now()
  const sending = held(load.run().then(async (result) => {
    const totals = { sent: pointsIn(result.sent, batch), acknowledged: pointsIn(result.acknowledged, batch) }
    return { result, totals, atMs: (await settle(db, before, totals)).atMs }
  }))
  const besideSeconds = await beside(sending)
  const { result, totals, atMs } = await sending
  const cost = await costs.end(load.cpuSeconds + besideSeconds)
  const { stored, problems } = await compare(db, {
    points: job.points, acknowledged: result.acknowledged, sent: result.sent, sinceMs
  })
  const seconds = (atMs - result.startedAtMs) / 1000
  return {
    rate: stored / seconds,
    seconds,
    ...totals,
    stored,
    latency: result.latency,
    ...cost,
    problems: [...problems, ...pacedProblems(result, Math.floor(job.requestsPerSecond * job.seconds))]
  }
}

function jobOf ({ server: { port, tls } }: Session, incoming: Incoming): PacedJob {
  const { requestsPerSecond, batch, satellites, connections, seconds } = incoming
  const single = batch === 1
  return {
    target: { host: '127.0.0.1', port, path: single ? '/telemetry' : '/telemetry/batch', format: 'json', tls },
    points: { satellites, bodies: connections * BODIES_PER_CONNECTION, batch },
    single,
    connections,
    seconds: seconds + WARM_UP_SECONDS,
    warmUpSeconds: WARM_UP_SECONDS,
    requestsPerSecond,
    probesPerSecond: 0,
    probePath: ''
  }
}
