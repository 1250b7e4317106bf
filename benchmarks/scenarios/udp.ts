/**
 * UDP: the highest rate at which every point sent is stored, and soon; and the highest at which a socket that only
 * counts misses none.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { bisect, type Search, type Trial } from '../bisection.js'
import { clockMs } from '../clock.js'
import { compare } from '../comparison.js'
import { held } from '../held.js'
import { prepareLoad } from '../load/child.js'
import type { CountResult } from '../load/count-server.js'
import type { UdpJob, UdpResult } from '../load/jobs.js'
import type { PointSet } from '../points.js'
import type { RunRecord } from '../result.js'
import { Costs, OtherWork, type Results, type Session } from '../session.js'
import { empty, ledgerTotal, settle } from '../stored.js'

/** 25 points take about 1,200 bytes, as recommended by SPEC.md. */
const POINTS: PointSet = { satellites: 100, bodies: 400, batch: 25 }
const RATE_START = 400_000
const RATE_MIN = 1_000
/** Far more than a JavaScript sender can pass to the kernel: 2 million packets per second. */
const RATE_MAX = 50_000_000
/** Large steps first; in later rounds, around the previous result. */
const WIDE_FACTOR = 2
const NEAR_FACTOR = 1.1
const RESOLUTION = 1.05
/** If the sender does not reach the requested rate, the trial says nothing about it. */
const KEPT_SHARE_MIN = 0.97
const LAST_PACKETS_MS = 200
/**
 * A backlog that takes longer is no rate that holds: in a short trial the spool takes far more than the database, and a
 * build that accepts more would show the rate at which it empties its spool.
 */
const BACKLOG_MAX_SECONDS = 1

type Attempt = Trial<RunRecord>

/** @param known median of earlier rounds; null: none */
export function searchFrom (known: number | null, steps: number): Search {
  const range = { low: RATE_MIN, high: RATE_MAX, resolution: RESOLUTION, steps }
  return known === null
    ? { start: RATE_START, factor: WIDE_FACTOR, ...range }
    : { start: Math.round(known), factor: NEAR_FACTOR, ...range }
}

export async function measureUdp (session: Session, results: Results): Promise<void> {
  const title = 'UDP, msgpack frames of 25, nothing missing'
  const [port] = session.server.udpPorts
  if (port === undefined) {
    results.skip(title, 'the server does not listen on UDP')
    return
  }
  const search = searchFrom(results.medianRate('udp'), session.plan.udpSteps)
  results.add('udp', 'udp', title, 'points/s', await highest(search, (rate) => attemptServer(session, port, rate)))
}

export async function measureUdpCount ({ plan }: Session, known: number | null): Promise<RunRecord> {
  return await highest(searchFrom(known, plan.udpSteps), (rate) => attemptCount(plan.seconds, rate))
}

const NOTHING: RunRecord = { rate: 0, seconds: 0, sent: 0, acknowledged: 0, stored: 0, problems: [] }

/** The record of the highest rate that held, with the problems of all trials: overload excuses no violation. */
export async function highest (search: Search, attempt: (rate: number) => Promise<Attempt>): Promise<RunRecord> {
  const problems = new Set<string>()
  const found = await bisect(search, async (rate) => {
    const trial = await attempt(rate)
    for (const problem of trial.outcome.problems) problems.add(problem)
    return trial
  })
  if (found === null) return { ...NOTHING, problems: [...problems, 'every rate tried had losses or a backlog'] }
  return { ...found.outcome, problems: [...problems], ...found.isHighest ? { notes: ['at least'] } : {} }
}

async function attemptServer (session: Session, port: number, rate: number): Promise<Attempt> {
  const { db, plan } = session
  await empty(db)
  const load = await prepareLoad<UdpResult>('./udp-sender.js', {
    host: '127.0.0.1',
    port,
    points: POINTS,
    pointsPerSecond: rate,
    seconds: plan.seconds
  } satisfies UdpJob)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const startMs = clockMs()
  const result = await load.run()
  const settled = await settle(db, before, { acknowledged: 0, sent: result.points })
  const cost = await costs.end(load.cpuSeconds)
  const sent = packetsByBody(result.packets)
  const { stored, problems } = await compare(db, { points: POINTS, acknowledged: sent.map(() => 0), sent })
  const storedSeconds = (settled.atMs - startMs) / 1000
  const seconds = Math.max(result.seconds, storedSeconds)
  return {
    holds: stored === result.points && keptRate(result, rate) && keptUp(result, storedSeconds),
    outcome: { rate: stored / seconds, seconds, sent: result.points, acknowledged: 0, stored, ...cost, problems }
  }
}

async function attemptCount (seconds: number, rate: number): Promise<Attempt> {
  const counter = await prepareLoad<CountResult>('./count-server.js', null)
  const counted = held(counter.run())
  const load = await prepareLoad<UdpResult>('./udp-sender.js', {
    host: '127.0.0.1',
    port: Number(counter.info),
    points: POINTS,
    pointsPerSecond: rate,
    seconds
  } satisfies UdpJob)
  const work = new OtherWork()
  const result = await load.run()
  await wait(LAST_PACKETS_MS)
  counter.finish()
  const { packets } = await counted
  const other = work.end(counter.cpuSeconds + load.cpuSeconds)
  const points = packets * POINTS.batch
  return {
    holds: packets === result.packets && keptRate(result, rate),
    outcome: {
      rate: points / result.seconds,
      seconds: result.seconds,
      sent: result.points,
      acknowledged: 0,
      stored: 0,
      ...other,
      problems: []
    }
  }
}

/** @param storedSeconds from the first packet to the last stored point */
export function keptUp ({ seconds }: Pick<UdpResult, 'seconds'>, storedSeconds: number): boolean {
  return storedSeconds - seconds <= BACKLOG_MAX_SECONDS
}

function keptRate ({ points, seconds }: UdpResult, rate: number): boolean {
  return points / seconds >= rate * KEPT_SHARE_MIN
}

/** The sender cycles through the bodies. */
function packetsByBody (packets: number): number[] {
  return Array.from({ length: POINTS.bodies }, (_, body) =>
    Math.floor(packets / POINTS.bodies) + (body < packets % POINTS.bodies ? 1 : 0))
}
