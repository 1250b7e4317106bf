/** The shared list of queries, run on one kind of server. */
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Database, Session } from '../../../lib/database/database.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { RollUp } from '../../../lib/upkeep/rollups.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { METRICS } from '../points/built-in.js'
import { silentLog } from '../database/postgres.js'
import { ANOMALIES, QUERIES, queryData, DOCUMENTED_QUERIES } from './queries.js'
import { pointStore } from '../database/stored-rows.js'

export const SCHEMA_SETTINGS = {
  retentionMs: 30 * DAY_MS, compressAfterMs: 7_200_000, chunkIntervalMs: 3_600_000, log: silentLog
}

/** What the primary does every two seconds. */
export const rollUp = async (database: Session): Promise<void> => await new RollUp().run(database)

/** Stands in for the background workers that run policies. */
export type RunPolicies = (database: Database) => Promise<void>

const COLUMNS = METRICS.map(({ name }) => name).join(', ')
const points = (relation: string): string => `SELECT satellite_id, time, ${COLUMNS} FROM ${relation}`

/** Fills an empty database with the schema and points, in three parts with rollups in between, and runs all queries. */
export async function sameAnswers (t: Test, database: Database, runPolicies: RunPolicies): Promise<void> {
  await migrate(database, SCHEMA_SETTINGS)
  const data = queryData()
  const store = await pointStore(database)
  await store(data.early)
  await runPolicies(database)
  await rollUp(database)
  await store(data.newest)
  await store(data.late)
  await database.query(ANOMALIES)
  await runPolicies(database)
  await rollUp(database)
  for (const { name, sql, rows } of QUERIES) {
    const answer = await database.query(sql)
    t.same(answer.rows, rows(data), name)
  }
  const unknown = await database.query(`${points('satellites_latest')} EXCEPT ${points('telemetry')}`)
  t.same(unknown.rows, [], 'every latest point is a stored one')
}

/** Every query that docs/DATABASE.md shows is in the list. */
export function documentIsCovered (t: Test): void {
  const document = readFileSync(new URL('../../../../docs/DATABASE.md', import.meta.url), 'utf8')
  const section = /\n## Queries\n([^]*?)\n## /.exec(document)?.[1] ?? ''
  const shown = [...section.matchAll(/```sql\n([^]*?)```/g)].flatMap(([, block = '']) => block.split(';'))
    .map(text => text.replaceAll(/^--.*\n/gm, '').trim()).filter(text => text !== '')
  t.same(shown, DOCUMENTED_QUERIES.map(({ sql }) => sql))
}
