/**
 * Every Grafana query, on a table of plan.dashboardRows: nine tenths of them from the last half hour at the resulting
 * rate, the rest from the day before; a day of anomalies, and thirty days of server statistics.
 */
import { allQueries, RANGES, type DashboardQuery } from '../../grafana/queries/dashboards.js'
import { expandMacros } from '../../grafana/queries/macros.js'
import type { Database } from '../../lib/database/database.js'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { satelliteOf } from '../points.js'
import type { Results, Session } from '../session.js'
import { latencyOf, quantile } from '../statistics.js'
import { empty } from '../stored.js'
import { fillTable } from './fill.js'

const SATELLITES = 1000
const RECENT_SECONDS = 1_800
const DAY_SECONDS = 86_400
const RECENT_SHARE = 0.9
const ANOMALY_SHARE = 0.01
const STATS_DAYS = 30
const REPETITIONS = 5
/** Longest acceptable query of a panel. */
const MEDIAN_MS_MAX = 300

export async function measureDashboards (session: Session, results: Results): Promise<void> {
  const { db, server, plan } = session
  await prepare(db, plan.dashboardRows)
  const asker = await server.connect()
  try {
    // jit as the role has it when it logs in.
    await asker.query('SET ROLE orbitstream_reader; SET jit = off')
    for (const query of allQueries()) await measureQuery(asker, query, results)
  } finally {
    await asker.close()
  }
}

async function measureQuery (asker: Database, query: DashboardQuery, results: Results): Promise<void> {
  const all: number[] = []
  const problems: string[] = []
  const startMs = performance.now()
  for (const range of query.sql.includes('$__') ? RANGES : RANGES.slice(0, 1)) {
    const times: number[] = []
    for (let turn = 0; turn < REPETITIONS; turn++) {
      times.push(await timeOf(asker, query, range, satelliteOf(turn * 137, SATELLITES)))
    }
    const median = quantile(times, 0.5)
    if (median > MEDIAN_MS_MAX) {
      problems.push(`${range.title} took ${Math.round(median)} ms, more than ${MEDIAN_MS_MAX}`)
    }
    all.push(...times)
  }
  const seconds = (performance.now() - startMs) / 1000
  results.add(
    'dashboards',
    `dashboard_${query.title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')}`,
    query.title,
    'queries/s',
    {
      rate: all.length / seconds, seconds, sent: 0, acknowledged: 0, stored: 0, latency: latencyOf(all), problems
    }
  )
}

async function timeOf (
  asker: Database,
  { sql, intervalMsMin }: DashboardQuery,
  range: typeof RANGES[number],
  satellite: string
): Promise<number> {
  const to = new Date()
  const text = expandMacros(sql, {
    from: new Date(to.getTime() - range.rangeMs),
    to,
    intervalMs: Math.max(range.intervalMs, intervalMsMin),
    variables: { satellite, silent: '1m', __searchFilter: '%' }
  })
  const startMs = performance.now()
  await asker.query(text)
  return performance.now() - startMs
}

async function prepare (db: Database, rows: number): Promise<void> {
  await empty(db)
  const recent = Math.round(rows * RECENT_SHARE)
  await fillTable(db, {
    rows: rows - recent,
    satellites: SATELLITES,
    spanSeconds: DAY_SECONDS - RECENT_SECONDS,
    untilSecondsAgo: RECENT_SECONDS
  })
  await fillTable(db, { rows: recent, satellites: SATELLITES, spanSeconds: RECENT_SECONDS })
  const metric = BUILT_IN.telemetry.metrics[0] as typeof BUILT_IN.telemetry.metrics[number]
  await db.query(`
    INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
    SELECT now() - $1::float8 * n / $2 * interval '1 second', 'SAT-' || lpad((n % ${SATELLITES})::text, 5, '0'),
           '${metric.name}', 1, 10, 'critical', 'low', 1
    FROM generate_series(1, $2::int) n`, [DAY_SECONDS, Math.round(rows * ANOMALY_SHARE)])
  // Rows like the server's latest one.
  await db.query(`
    INSERT INTO ingest_stats
    SELECT (jsonb_populate_record(template, jsonb_build_object('time', label,
             'anomaly_kinds', '${metric.name} critical,${metric.name} warning', 'anomaly_counts', ARRAY[3, 2]))).*
    FROM (SELECT stats AS template FROM ingest_stats stats ORDER BY time DESC LIMIT 1) newest,
         generate_series(
           now() - interval '${STATS_DAYS} days', now() - interval '10 seconds', interval '10 seconds') label
    ON CONFLICT DO NOTHING`)
  await db.query("SELECT orbitstream_note_latest(now() - interval '2 hours', 'infinity')")
  await db.query('ANALYZE anomalies, ingest_stats')
}
