/**
 * TimescaleDB for one test: its own server in WebAssembly, or an empty database on the server of TEST_TIMESCALE_URL.
 *
 * WebAssembly never runs policies by itself. On a real server they are created without a schedule, so there too they
 * run only when a test runs them.
 */
import type { Test } from 'tap'
import { openTimescaleDatabase } from '../../../benchmarks/timescale/database.js'
import type { Database } from '../../../lib/database/database.js'

const TIMESCALE_URL = process.env.TEST_TIMESCALE_URL ?? null

const UNSCHEDULE = `SELECT alter_job(job_id, scheduled => false)
  FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled`

/** An empty database, removed with the test. */
export async function openTimescale (t: Test): Promise<Database> {
  const opened = await openTimescaleDatabase(TIMESCALE_URL)
  t.teardown(() => opened.close())
  return withoutSchedules(opened.database)
}

/** In the transaction that adds the policy, before a background worker sees it. */
function withoutSchedules (database: Database): Database {
  return new Proxy(database, {
    get: (target, key) => key === 'query'
      ? (sql: string, values?: unknown[]) => (
          target.query(/^SELECT add_\w+_policy/.test(sql) ? `${sql}; ${UNSCHEDULE}` : sql, values))
      : Reflect.get(target, key) as unknown
  })
}
