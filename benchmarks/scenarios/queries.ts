/** Typical queries during ingest: times of four queries, while 10,000 points/s of 1,000 satellites arrive. */
import { compare } from '../comparison.js'
import { held } from '../held.js'
import { prepareLoad } from '../load/child.js'
import type { PacedJob, PacedResult } from '../load/jobs.js'
import { pacedProblems, pointsIn } from '../outcomes.js'
import { satelliteOf } from '../points.js'
import type { Results, Session } from '../session.js'
import { latencyOf } from '../statistics.js'
import { empty, ledgerTotal, settle } from '../stored.js'
import { fillTable } from './fill.js'

const SATELLITES = 1_000
const BATCH = 100
const REQUESTS_PER_SECOND = 100
/** The arrival rate. */
const FILL_ROWS_PER_SECOND = BATCH * REQUESTS_PER_SECOND

const QUERIES = [
  {
    name: 'query_satellite',
    title: "one satellite's last five minutes",
    sql: `SELECT * FROM telemetry WHERE satellite_id = '${satelliteOf(42, SATELLITES)}' AND "time" > now() - ` +
      'interval \'5 minutes\' ORDER BY "time"'
  },
  {
    name: 'query_latest',
    title: 'latest point of all satellites',
    sql: 'SELECT * FROM satellites_latest'
  },
  {
    name: 'query_fleet',
    title: 'the whole fleet by the minute, an hour',
    sql: 'SELECT bucket, sum(points), avg(battery_charge_percent_avg), min(signal_strength_dbm_min), ' +
      "max(storage_usage_mb_max) FROM telemetry_1m WHERE bucket > now() - interval '1 hour' GROUP BY 1 ORDER BY 1"
  },
  {
    name: 'query_buckets',
    title: 'five minutes in buckets of a second, one satellite',
    sql: 'SELECT date_bin(\'1 second\', "time", \'2000-01-01\') AS bucket, avg(battery_charge_percent), ' +
      'min(signal_strength_dbm), max(storage_usage_mb) ' +
      `FROM telemetry WHERE satellite_id = '${satelliteOf(7, SATELLITES)}' AND "time" > now() - interval '5 minutes' ` +
      'GROUP BY 1 ORDER BY 1'
  }
] as const

export async function measureQueries (session: Session, results: Results): Promise<void> {
  const { db, server, plan } = session
  await empty(db)
  await fillTable(db, {
    rows: plan.queryRows,
    satellites: SATELLITES,
    spanSeconds: plan.queryRows / FILL_ROWS_PER_SECOND
  })
  const job: PacedJob = {
    target: { host: '127.0.0.1', port: server.port, path: '/telemetry/batch', format: 'json' },
    points: { satellites: SATELLITES, bodies: 60, batch: BATCH },
    single: false,
    connections: 32,
    seconds: plan.latencySeconds,
    requestsPerSecond: REQUESTS_PER_SECOND,
    probesPerSecond: 0,
    probePath: ''
  }
  const load = await prepareLoad<PacedResult>('./paced-sender.js', job)
  const before = await ledgerTotal(db)
  const asker = await server.connect()
  try {
    const beside = { running: true }
    const sinceMs = Date.now()
    const sending = held(load.run().finally(() => { beside.running = false }))
    const times = QUERIES.map((): number[] => [])
    while (beside.running) {
      for (const [position, { sql }] of QUERIES.entries()) {
        const startMs = performance.now()
        await asker.query(sql)
        times[position]?.push(performance.now() - startMs)
      }
    }
    const result = await sending
    const acknowledged = pointsIn(result.acknowledged, BATCH)
    const sent = pointsIn(result.sent, BATCH)
    const settled = await settle(db, before, { acknowledged, sent })
    const { stored, problems } = await compare(db, {
      points: job.points,
      acknowledged: result.acknowledged,
      sent: result.sent,
      sinceMs
    })
    const counts = {
      sent,
      acknowledged,
      stored,
      seconds: (settled.atMs - result.startedAtMs) / 1000,
      problems: [
        ...problems,
        ...pacedProblems(result, REQUESTS_PER_SECOND * job.seconds)
      ]
    }
    for (const [position, { name, title }] of QUERIES.entries()) {
      const own = times[position] ?? []
      results.add('queries', name, title, 'queries/s', {
        rate: own.length / result.seconds,
        latency: latencyOf(own),
        ...counts
      })
    }
  } finally {
    await asker.close()
  }
}
