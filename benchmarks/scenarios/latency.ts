/**
 * Latency at fixed rates, in an open loop: from when a request was due until it is acknowledged, until it is committed
 * (?ack=committed), and until a SELECT on another connection sees the row.
 *
 * The last is measured with probes: points of a separate satellite, each in its own request within the load. Another
 * connection polls for them, using an index only of the probes that exists for the run: BRIN does not cover pages that
 * it has not summarized yet, and a query that reads more would measure itself. Polling takes CPU time, so the other two
 * are measured without it.
 */
import { formatCount } from '../../lib/config/setting-types.js'
import { compare } from '../comparison.js'
import { held } from '../held.js'
import { prepareLoad } from '../load/child.js'
import type { PacedJob, PacedResult } from '../load/jobs.js'
import { pacedProblems, pointsIn } from '../outcomes.js'
import type { RunRecord } from '../result.js'
import { Costs, type Results, type Session } from '../session.js'
import { empty, ledgerTotal, settle } from '../stored.js'
import { ProbeWatcher } from './probe-watcher.js'

const SATELLITES = 100
/**
 * More than there are requests in flight, so that none waits for a connection: 64 were all busy at 6 ms per response.
 */
const CONNECTIONS = 256
const BODIES = 512
/** Above this rate, requests contain LARGE_BATCH points. */
const SINGLE_RATE_MAX = 20_000
const LARGE_BATCH = 100
const PROBES_PER_SECOND = 200

/** The sender may fall behind and catch up during this time. */
const WARM_UP_SECONDS = 1

type Ack = 'spooled' | 'committed'

export interface Pace {
  readonly pointsPerSecond: number
  readonly seconds: number
  readonly ack: Ack
}

export async function measureLatency (session: Session, results: Results): Promise<void> {
  for (const rate of session.plan.latencyRates) {
    const at = `at ${formatCount(rate)} points/s`
    const pace = { pointsPerSecond: rate, seconds: session.plan.latencySeconds }
    results.add(
      'latency',
      `latency_ack_${rate}`,
      `acknowledged (202), ${at}`,
      'points/s',
      await runPaced(session, { ...pace, ack: 'spooled' })
    )
    results.add(
      'latency',
      `latency_visible_${rate}`,
      `visible to a SELECT, ${at}`,
      'probes/s',
      await runWatched(session, { ...pace, ack: 'spooled' })
    )
    results.add(
      'latency',
      `latency_committed_${rate}`,
      `committed (?ack=committed), ${at}`,
      'points/s',
      await runPaced(session, { ...pace, ack: 'committed' })
    )
  }
}

function pacedJob (session: Session, { pointsPerSecond, seconds, ack }: Pace, probes: boolean): PacedJob {
  const single = pointsPerSecond <= SINGLE_RATE_MAX
  const batch = single ? 1 : LARGE_BATCH
  const query = ack === 'committed' ? '?ack=committed' : ''
  return {
    target: {
      host: '127.0.0.1',
      port: session.server.port,
      path: `${single ? '/telemetry' : '/telemetry/batch'}${query}`,
      format: 'json'
    },
    points: { satellites: SATELLITES, bodies: BODIES, batch },
    single,
    connections: CONNECTIONS,
    seconds: seconds + WARM_UP_SECONDS,
    warmUpSeconds: WARM_UP_SECONDS,
    requestsPerSecond: pointsPerSecond / batch,
    probesPerSecond: probes ? PROBES_PER_SECOND : 0,
    probePath: '/telemetry'
  }
}

/** The load at a fixed rate, with the latency of its responses. */
export async function runPaced (session: Session, pace: Pace): Promise<RunRecord> {
  await empty(session.db)
  return (await runLoad(session, pace, null)).acknowledged
}

/** The same with probes; the latency is the time until each is visible. */
async function runWatched (session: Session, pace: Pace): Promise<RunRecord> {
  await empty(session.db)
  const watcher = await ProbeWatcher.open(await session.server.connect())
  try {
    const { acknowledged, result } = await runLoad(session, pace, watcher)
    const visible = watcher.record(result, acknowledged.seconds)
    const { otherCpuShare, problems } = acknowledged
    return {
      ...visible,
      ...otherCpuShare === undefined ? {} : { otherCpuShare },
      problems: [...visible.problems, ...problems]
    }
  } finally {
    await watcher.close()
  }
}

async function runLoad (
  session: Session,
  pace: Pace,
  watcher: ProbeWatcher | null
): Promise<{ acknowledged: RunRecord, result: PacedResult }> {
  const { db } = session
  const job = pacedJob(session, pace, watcher !== null)
  const load = await prepareLoad<PacedResult>('./paced-sender.js', job)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(session)
  const watching = held(watcher?.watch() ?? Promise.resolve())
  const result = await load.run()
  const { batch } = job.points
  const totals = { sent: pointsIn(result.sent, batch), acknowledged: pointsIn(result.acknowledged, batch) }
  const probes = { sent: result.probesDueMs.length, acknowledged: result.probesAcknowledged }
  const settled = await settle(db, before, {
    acknowledged: totals.acknowledged + probes.acknowledged,
    sent: totals.sent + probes.sent
  })
  const seconds = (settled.atMs - result.startedAtMs) / 1000
  watcher?.finish(probes.sent)
  await watching
  const cost = await costs.end(load.cpuSeconds)
  const { stored, problems } = await compare(db, {
    points: job.points,
    acknowledged: result.acknowledged,
    sent: result.sent,
    probes
  })
  const due = Math.floor(job.requestsPerSecond * job.seconds)
  return {
    result,
    acknowledged: {
      rate: stored / seconds,
      seconds,
      ...totals,
      stored,
      latency: result.latency,
      ...cost,
      problems: [...problems, ...pacedProblems(result, due)]
    }
  }
}
