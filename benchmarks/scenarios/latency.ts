/**
 * Latency at fixed rates, an open loop: from the moment that a request was due until it is acknowledged, until it is
 * committed (?ack=committed), and until another connection's SELECT sees the row.
 *
 * The last one is measured with probes: points of a satellite of their own, each a request, sent among the load. Another
 * connection asks for them in a loop, by an index of the probes alone, which is there for the run: BRIN says nothing of
 * pages that it has not summarised yet, and a query that reads more would measure itself.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Database } from '../../lib/store/db.js'
import { prepareLoad } from '../load/child.js'
import { PROBE_ID, type PacedJob, type PacedResult } from '../load/jobs.js'
import type { RunRecord } from '../result.js'
import { Costs, type Results, type Session } from '../session.js'
import { latencyOf } from '../statistics.js'
import { compare, empty, ledgerTotal, settle } from '../stored.js'
import { pointsIn, refusals } from './throughput.js'

const SATELLITES = 100
const CONNECTIONS = 64
const BODIES = 200
/** More points a second than this come in requests of LARGE_BATCH. */
const SINGLE_RATE_MAX = 20_000
const LARGE_BATCH = 100
const PROBES_PER_SECOND = 200
const PROBE_INDEX = 'bench_probes'

type Ack = 'spooled' | 'committed'

export async function measureLatency (session: Session, results: Results): Promise<void> {
  for (const rate of session.plan.latencyRates) {
    const at = `at ${rate.toLocaleString('en-US')} points/s`
    const { acknowledged, visible } = await runLatency(session, rate, 'spooled')
    results.add('latency', `latency_ack_${rate}`, `acknowledged (202), ${at}`, 'points/s', acknowledged)
    results.add('latency', `latency_visible_${rate}`, `visible to a SELECT, ${at}`, 'probes/s', visible)
    const committed = await runLatency(session, rate, 'committed')
    results.add('latency', `latency_committed_${rate}`, `committed (?ack=committed), ${at}`, 'points/s', committed.acknowledged)
  }
}

function pacedJob (session: Session, pointsPerSecond: number, ack: Ack): PacedJob {
  const single = pointsPerSecond <= SINGLE_RATE_MAX
  const batch = single ? 1 : LARGE_BATCH
  const query = ack === 'committed' ? '?ack=committed' : ''
  return {
    target: { host: '127.0.0.1', port: session.server.port, path: `${single ? '/telemetry' : '/telemetry/batch'}${query}`, format: 'json' },
    points: { satellites: SATELLITES, bodies: BODIES, batch },
    single,
    connections: CONNECTIONS,
    seconds: session.plan.latencySeconds,
    requestsPerSecond: pointsPerSecond / batch,
    probesPerSecond: ack === 'spooled' ? PROBES_PER_SECOND : 0,
    probePath: '/telemetry'
  }
}

async function runLatency (session: Session, pointsPerSecond: number, ack: Ack): Promise<{ acknowledged: RunRecord, visible: RunRecord }> {
  const { db, server } = session
  const job = pacedJob(session, pointsPerSecond, ack)
  await empty(db)
  const watcher = await ProbeWatcher.open(await server.connect())
  try {
    const load = await prepareLoad<PacedResult>('./paced-sender.js', job)
    const before = await ledgerTotal(db)
    const costs = await Costs.begin(session)
    const watching = job.probesPerSecond > 0 ? watcher.watch() : Promise.resolve()
    const startMs = performance.now()
    const result = await load.run()
    const acknowledged = pointsIn(result.acknowledged, job.points.batch)
    await settle(db, before, acknowledged + result.probesAcknowledged)
    const seconds = (performance.now() - startMs) / 1000
    watcher.finish(result.probesDueMs.length)
    await watching
    const cost = await costs.end(load.cpuSeconds)
    const { stored, problems } = await compare(db, { points: job.points, acknowledged: result.acknowledged, sent: result.sent })
    const sent = pointsIn(result.sent, job.points.batch)
    const shortfall = sent < pointsPerSecond * job.seconds * 0.99 ? [`only ${sent} of ${pointsPerSecond * job.seconds} points could be sent`] : []
    const record = { rate: stored / result.seconds, seconds, sent, acknowledged, stored, latency: result.latency, ...cost, problems: [...problems, ...shortfall, ...refusals(result.statuses)] }
    return { acknowledged: record, visible: watcher.record(result, seconds) }
  } finally {
    await watcher.close()
  }
}

const POLL_PAUSE_MS = 1
/** Probes that are not seen by then are never seen. */
const LOST_MS = 2_000

/** Asks for probes until all are seen. */
class ProbeWatcher {
  private readonly seenAtMs = new Map<number, number>()
  private expected = Infinity
  private finishedMs = Infinity
  /** All probes with smaller numbers are seen. */
  private next = 0

  private constructor (private readonly db: Database) {}

  /** Makes the index of the probes; close() drops it. */
  static async open (db: Database): Promise<ProbeWatcher> {
    await db.query(`CREATE INDEX IF NOT EXISTS ${PROBE_INDEX} ON telemetry (storage_usage_mb) WHERE satellite_id = '${PROBE_ID}'`)
    // The statistics say that the table is empty: without this the planner may read all of it.
    await db.query('SET enable_seqscan = off')
    await db.query('SET enable_bitmapscan = off')
    return new ProbeWatcher(db)
  }

  async watch (): Promise<void> {
    while (this.seenAtMs.size < this.expected && performance.now() - this.finishedMs < LOST_MS) {
      const found = await this.poll()
      const nowMs = Number(process.hrtime.bigint()) / 1e6
      for (const number of found) {
        if (!this.seenAtMs.has(number)) this.seenAtMs.set(number, nowMs)
      }
      while (this.seenAtMs.has(this.next)) this.next++
      await wait(POLL_PAUSE_MS)
    }
  }

  /** How many there are in all is known at the end. */
  finish (expected: number): void {
    this.expected = expected
    this.finishedMs = performance.now()
  }

  record (result: PacedResult, seconds: number): RunRecord {
    const times = result.probesDueMs.flatMap((dueMs, number) => {
      const seenMs = this.seenAtMs.get(number)
      return seenMs === undefined ? [] : [seenMs - dueMs]
    })
    const lost = result.probesAcknowledged - times.length
    const problems = lost > 0 ? [`${lost} probes were acknowledged and never seen`] : []
    const sent = result.probesDueMs.length
    return { rate: times.length / seconds, seconds, sent, acknowledged: result.probesAcknowledged, stored: times.length, latency: latencyOf(times), problems }
  }

  async close (): Promise<void> {
    await this.db.query(`DROP INDEX IF EXISTS ${PROBE_INDEX}`)
    await this.db.close()
  }

  /** Numbers of probes in the table, those that are not seen yet among them. */
  private async poll (): Promise<number[]> {
    const { rows } = await this.db.query<{ number: number }>(
      `SELECT storage_usage_mb AS number FROM telemetry WHERE satellite_id = '${PROBE_ID}' AND storage_usage_mb >= ${this.next}`)
    return rows.map(({ number }) => number)
  }
}
