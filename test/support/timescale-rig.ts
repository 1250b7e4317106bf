/** What tests of TimescaleDB ask and do: chunks, policies, points of the simulator. */
import { Fleet } from '../../lib/sim/fleet/model.js'
import type { Database } from '../../lib/database/connection.js'
import { ROLLUP_REFRESH_AFTER } from '../../lib/upkeep/rollups.js'
import { METRIC_COUNT } from '../../protocol/metrics.js'
import { rollUp } from './same-answers.js'
import type { StoredPoint } from './stored-rows.js'

export async function column<T> (database: Database, sql: string): Promise<T[]> {
  return (await database.query<{ value: T }>(sql)).rows.map(row => row.value)
}

export const chunks = (database: Database, where = 'true'): Promise<string[]> =>
  column(database, `SELECT chunk_schema || '.' || chunk_name AS value FROM timescaledb_information.chunks WHERE hypertable_name = 'telemetry' AND ${where} ORDER BY range_start`)

/** What the server's background workers would do. Each in its own statement: some may not run in a transaction. */
export async function runPolicies (database: Database, procedure: string): Promise<void> {
  for (const job of await column<number>(database, `SELECT job_id AS value FROM timescaledb_information.jobs WHERE proc_name = '${procedure}' AND job_id >= 1000 ORDER BY job_id`)) {
    await database.query(`CALL run_job(${job})`)
  }
}

/** One run of a refresh policy may leave a span to the next one. */
export async function refreshAll (database: Database): Promise<void> {
  for (let run = 0; run < 3; run++) await runPolicies(database, 'policy_refresh_continuous_aggregate')
}

/** Of whole minutes, as the policies do it and whoever else. */
export async function refresh (database: Database, view: string, fromMs: number, toMs: number): Promise<void> {
  await database.query(`CALL refresh_continuous_aggregate('${view}', '${new Date(fromMs).toISOString()}'::timestamptz, '${new Date(toMs).toISOString()}'::timestamptz)`)
}

/** Until no bucket is left that the policies do not reach any more. */
export async function rollUpAll (database: Database): Promise<void> {
  do await rollUp(database)
  while ((await database.query(`SELECT FROM rollup_dirty WHERE bucket < time_bucket('1 minute', now() - interval '${ROLLUP_REFRESH_AFTER}') LIMIT 1`)).rowCount > 0)
}

/** Points as the simulator sends them without options but these. @param rate points a second of each satellite */
export function simulated (satellites: number, seconds: number, beginMs: number, rate = 1): StoredPoint[] {
  const fleet = new Fleet({ satellites, seed: 7, anomalyRate: 0.01, onAnomaly: () => undefined })
  const values = new Float64Array(METRIC_COUNT)
  return Array.from({ length: seconds * rate }, (_, step) => fleet.ids.map((satellite, index) => {
    fleet.sample(index, step / rate, values)
    return { satellite, timeMs: Math.round(beginMs + (step + index / satellites) * 1000 / rate), values: [...values] }
  })).flat()
}
