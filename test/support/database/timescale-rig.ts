/** What TimescaleDB tests ask and do: chunks, policies, simulated points. */
import { Fleet } from '../../../lib/sim/fleet/model.js'
import type { Database } from '../../../lib/database/database.js'
import { ROLLUP_REFRESH_AFTER } from '../../../lib/upkeep/rollups.js'
import { BUILT_IN, METRIC_COUNT } from '../points/built-in.js'
import { rollUp } from '../answers/same-answers.js'
import type { StoredPoint } from './stored-rows.js'

export async function column<T> (database: Database, sql: string): Promise<T[]> {
  return (await database.query<{ value: T }>(sql)).rows.map(row => row.value)
}

export const chunks = (database: Database, where = 'true'): Promise<string[]> =>
  column(database, `
    SELECT chunk_schema || '.' || chunk_name AS value FROM timescaledb_information.chunks
    WHERE hypertable_name = 'telemetry' AND ${where} ORDER BY range_start`)

/** Runs policies as the background workers would. One statement each: some cannot run in a transaction. */
export async function runPolicies (database: Database, procedure: string): Promise<void> {
  const jobs = await column<number>(database, `
    SELECT job_id AS value FROM timescaledb_information.jobs
    WHERE proc_name = '${procedure}' AND job_id >= 1000 ORDER BY job_id`)
  for (const job of jobs) {
    await database.query(`CALL run_job(${job})`)
  }
}

/** A refresh policy may leave part of its range to the next run. */
export async function refreshAll (database: Database): Promise<void> {
  for (let run = 0; run < 3; run++) await runPolicies(database, 'policy_refresh_continuous_aggregate')
}

/** Whole minutes only, like the policies. */
export async function refresh (database: Database, view: string, fromMs: number, toMs: number): Promise<void> {
  const [from, to] = [fromMs, toMs].map((ms) => `'${new Date(ms).toISOString()}'::timestamptz`)
  await database.query(`CALL refresh_continuous_aggregate('${view}', ${from}, ${to})`)
}

/** Until no bucket is left that the policies no longer reach. */
export async function rollUpAll (database: Database): Promise<void> {
  do await rollUp(database)
  while ((await database.query(`
    SELECT FROM rollup_dirty
    WHERE bucket < time_bucket('1 minute', now() - interval '${ROLLUP_REFRESH_AFTER}') LIMIT 1`)).rowCount > 0)
}

/** Points as the simulator sends them by default. @param rate points per second and satellite */
export function simulated (satellites: number, seconds: number, beginMs: number, rate = 1): StoredPoint[] {
  const fleet = new Fleet({
    stream: BUILT_IN.telemetry, satellites, seed: 7, anomalyRate: 0.01, onAnomaly: () => undefined
  })
  const values = new Float64Array(METRIC_COUNT)
  return Array.from({ length: seconds * rate }, (_, step) => fleet.ids.map((satellite, index) => {
    fleet.sample(index, step / rate, values)
    return { satellite, timeMs: Math.round(beginMs + (step + index / satellites) * 1000 / rate), values: [...values] }
  })).flat()
}
