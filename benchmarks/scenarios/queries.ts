/** Typical queries during ingest: times of four queries, while 10,000 points/s of 1,000 satellites arrive. */
import { askInTurn } from '../rigs/asking.js'
import { runIncoming, TEN_THOUSAND } from '../rigs/incoming.js'
import { satelliteOf } from '../points.js'
import type { Results, Session } from '../session.js'
import { latencyOf } from '../statistics.js'
import { empty } from '../stored.js'
import { fillTable } from './fill.js'

const SATELLITES = TEN_THOUSAND.satellites
/** The arrival rate. */
const FILL_ROWS_PER_SECOND = TEN_THOUSAND.batch * TEN_THOUSAND.requestsPerSecond

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
  const asker = await server.connect()
  try {
    let times: number[][] = []
    const load = { ...TEN_THOUSAND, seconds: plan.latencySeconds }
    const { seconds, sent, acknowledged, stored, problems } = await runIncoming(session, load, async (sending) => {
      times = await askInTurn(QUERIES.map(({ sql }) => async () => { await asker.query(sql) }), sending)
      return 0
    })
    for (const [position, { name, title }] of QUERIES.entries()) {
      const own = times[position] ?? []
      results.add('queries', name, title, 'queries/s', {
        rate: own.length / seconds,
        seconds,
        sent,
        acknowledged,
        stored,
        latency: latencyOf(own),
        problems
      })
    }
  } finally {
    await asker.close()
  }
}
