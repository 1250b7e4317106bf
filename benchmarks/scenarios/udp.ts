/** UDP: the highest rate at which every point that was sent is stored; and the same for a socket that only counts. */
import { setTimeout as wait } from 'node:timers/promises'
import { bisect, type Search, type Trial } from '../bisection.js'
import { prepareLoad } from '../load/child.js'
import type { CountResult } from '../load/count-server.js'
import type { UdpJob, UdpResult } from '../load/jobs.js'
import type { PointSet } from '../points.js'
import type { RunRecord } from '../result.js'
import { Costs, type Results, type Session } from '../session.js'
import { compare, empty, ledgerTotal, settle } from '../stored.js'

/** 25 points are 1,200 bytes or so: what SPEC.md advises. */
const POINTS: PointSet = { satellites: 100, bodies: 400, batch: 25 }
const RATE_START = 100_000
const RATE_MAX = 2_000_000
/** First in large steps; in later rounds around what was found before. */
const WIDE_FACTOR = 2
const NEAR_FACTOR = 1.2
const NEAR_STEPS = 3
/** The sender must have kept the rate that it was told, or the trial says nothing about it. */
const KEPT_SHARE_MIN = 0.97
const LAST_PACKETS_MS = 200

type Attempt = Trial<RunRecord>

function searchFrom (known: number | null, steps: number): Search {
  return known === null
    ? { start: RATE_START, factor: WIDE_FACTOR, high: RATE_MAX, steps }
    : { start: known, factor: NEAR_FACTOR, high: RATE_MAX, steps: Math.min(steps, NEAR_STEPS) }
}

export async function measureUdp (session: Session, results: Results): Promise<void> {
  const title = 'UDP, msgpack frames of 25, nothing missing'
  const [port] = session.server.udpPorts
  if (port === undefined) {
    results.skip(title, 'the server does not listen on UDP')
    return
  }
  const search = searchFrom(results.bestRate('udp'), session.plan.udpSteps)
  const best = await bisect(search, (rate) => attemptServer(session, port, rate))
  results.add('udp', 'udp', title, 'points/s', best?.outcome ?? NOTHING)
}

export async function measureUdpCount ({ plan }: Session, known: number | null): Promise<RunRecord> {
  const best = await bisect(searchFrom(known, plan.udpSteps), (rate) => attemptCount(plan.seconds, rate))
  return best?.outcome ?? NOTHING
}

const NOTHING: RunRecord = { rate: 0, seconds: 0, sent: 0, acknowledged: 0, stored: 0, problems: ['no rate that was tried arrived without a loss'] }

async function attemptServer (session: Session, port: number, rate: number): Promise<Attempt> {
  const { db, plan } = session
  await empty(db)
  const load = await prepareLoad<UdpResult>('./udp-sender.js', { host: '127.0.0.1', port, points: POINTS, pointsPerSecond: rate, seconds: plan.seconds } satisfies UdpJob)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const startMs = performance.now()
  const result = await load.run()
  const settled = await settle(db, before, result.points)
  const cost = await costs.end(load.cpuSeconds)
  const sent = packetsByBody(result.packets)
  const { stored, problems } = await compare(db, { points: POINTS, acknowledged: sent.map(() => 0), sent })
  const kept = result.points / result.seconds >= rate * KEPT_SHARE_MIN
  const seconds = Math.max(result.seconds, (settled.atMs - startMs) / 1000)
  return {
    holds: stored === result.points && kept,
    outcome: { rate: stored / seconds, seconds, sent: result.points, acknowledged: 0, stored, ...cost, problems }
  }
}

async function attemptCount (seconds: number, rate: number): Promise<Attempt> {
  const counter = await prepareLoad<CountResult>('./count-server.js', null)
  const counted = counter.run()
  const load = await prepareLoad<UdpResult>('./udp-sender.js', { host: '127.0.0.1', port: Number(counter.info), points: POINTS, pointsPerSecond: rate, seconds } satisfies UdpJob)
  const result = await load.run()
  await wait(LAST_PACKETS_MS)
  counter.finish()
  const { packets } = await counted
  const points = packets * POINTS.batch
  const kept = result.points / result.seconds >= rate * KEPT_SHARE_MIN
  return {
    holds: packets === result.packets && kept,
    outcome: { rate: points / result.seconds, seconds: result.seconds, sent: result.points, acknowledged: 0, stored: 0, problems: [] }
  }
}

/** The sender goes round the bodies. */
function packetsByBody (packets: number): number[] {
  return Array.from({ length: POINTS.bodies }, (_, body) => Math.floor(packets / POINTS.bodies) + (body < packets % POINTS.bodies ? 1 : 0))
}
