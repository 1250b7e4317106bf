/**
 * Values whose sum overflows, whose average is too small, or that only other programs store: neither answers nor
 * rollups may fail on them.
 */
import type { Test } from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { METRICS } from '../points/built-in.js'
import { rollUp, SCHEMA_SETTINGS, type RunPolicies } from '../answers/same-answers.js'
import { pointStore } from './stored-rows.js'

const NAME = METRICS[0].name

/** Stores them in an empty database, among others, before and after rollups are built. */
export async function oddValues (t: Test, database: Database, runPolicies: RunPolicies): Promise<void> {
  await migrate(database, SCHEMA_SETTINGS)
  const beginMs = Math.floor(Date.now() / 60_000) * 60_000 - 180_000
  const store = await pointStore(database)
  const point = (satellite: string, second: number, value: number) => (
    { satellite, timeMs: beginMs + second * 1000, values: [value] })
  const large = Number.MAX_VALUE
  await store([
    point('GOOD', 1, 5), point('BAD', 1, large), point('BAD', 2, large), point('LOW', 1, -large),
    point('LOW', 12, -large), point('BOTH', 1, large), point('BOTH', 31, -large),
    point('TINY', 1, Number.MIN_VALUE), point('TINY', 2, 0)
  ])
  await database.query(`
    INSERT INTO telemetry (time, satellite_id, ${NAME})
    SELECT to_timestamp(${beginMs / 1000} + s), 'ODD', v
    FROM unnest(ARRAY[3, 4, 5], ARRAY['NaN', 'Infinity', '-Infinity']::float8[]) o (s, v)`)
  const answers = async (view: string): Promise<object[]> => (await database.query(`
    SELECT satellite_id AS id, sum(points)::int AS points, sum(${NAME}_count)::int AS count,
           min(${NAME}_min) AS min, max(${NAME}_max) AS max,
           (sum(${NAME}_avg * ${NAME}_count) / sum(${NAME}_count))::text AS avg
    FROM ${view} GROUP BY 1 ORDER BY 1`)).rows
  const right = [
    { id: 'BAD', points: 2, count: 2, min: large, max: large, avg: 'Infinity' },
    { id: 'BOTH', points: 2, count: 2, min: -large, max: large, avg: 'NaN' },
    { id: 'GOOD', points: 1, count: 1, min: 5, max: 5, avg: '5' },
    { id: 'LOW', points: 2, count: 2, min: -large, max: -large, avg: '-Infinity' },
    { id: 'ODD', points: 3, count: 3, min: -Infinity, max: NaN, avg: 'NaN' },
    { id: 'TINY', points: 2, count: 2, min: 0, max: Number.MIN_VALUE, avg: '0' }
  ]
  for (const view of ['telemetry_10s', 'telemetry_1m']) t.same(await answers(view), right, `${view}, from the points`)
  await runPolicies(database)
  await rollUp(database)
  const rolledUp = await database.query(`
    SELECT count(DISTINCT satellite_id)::int AS n FROM rollup_1m UNION ALL
    SELECT count(DISTINCT satellite_id)::int FROM rollup_10s`)
  t.same(rolledUp.rows, [{ n: 6 }, { n: 6 }], 'all are rolled up')
  for (const view of ['telemetry_10s', 'telemetry_1m']) t.same(await answers(view), right, `${view}, from rollups`)
  await store([point('BAD', 3, large)])
  await runPolicies(database)
  await rollUp(database)
  t.match((await answers('telemetry_1m'))[0], { points: 3, avg: 'Infinity' }, 'also with late rows')
  const latest = await database.query("SELECT * FROM satellites_latest WHERE satellite_id = 'BAD'")
  t.match(latest.rows, [{ [NAME]: large }])
}
