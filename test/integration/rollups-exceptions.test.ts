/** Rollups on plain PostgreSQL: errors, points that users change, several hosts, a backlog. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { migrate } from '../../lib/schema/migrate.js'
import { createTestDatabase, startTestPostgres } from '../support/database/postgres.js'
import { setBack } from '../support/database/retention.js'
import { rollUp, SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { pointStore, type StoredPoint } from '../support/database/stored-rows.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  return database
}

async function one<T> (database: Database, sql: string): Promise<T> {
  return (await database.query<{ value: T }>(sql)).rows[0]!.value
}

const point = (satellite: string, timeMs: number, value = 1): StoredPoint => ({ satellite, timeMs, values: [value] })

const left = (database: Database): Promise<string> => one(database, `
  SELECT count(*)::text AS value FROM rollup_dirty WHERE bucket < (SELECT watermark FROM rollup_state)`)

t.test('an error that would affect every bucket stops rolling up, and is not blamed on the buckets', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  await (await pointStore(database))([point('A', Date.now() - 60_000)])
  await database.query(`UPDATE rollup_state SET watermark = watermark - interval '1 minute';
    ALTER TABLE rollup_10s RENAME COLUMN points TO lost`)
  await t.rejects(rollUp(database), { code: '42703' })
  t.equal(await one(database, 'SELECT count(*)::int AS value FROM rollup_failed'), 0)
})

t.test('only one host at a time rolls up', async t => {
  const url = await createTestDatabase(server)
  const [first, second] = [await open(t, url), await open(t, url)]
  await migrate(first, SCHEMA_SETTINGS)
  const state = (): Promise<string> => one(first, 'SELECT r::text AS value FROM rollup_state r')
  await first.query('BEGIN; SELECT orbitstream_begin_roll_up()')
  await first.query('COMMIT; BEGIN; SELECT orbitstream_roll_up(10)')
  const before = await state()
  await rollUp(second)
  t.equal(await state(), before, 'the second host leaves it to the first')
  await first.query('ROLLBACK')
  await rollUp(second)
  t.not(await state(), before)
})

t.test('points that users change or delete', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  const beginMs = Date.now() - 600_000
  await store([point('A', beginMs), point('A', beginMs + 1), point('B', beginMs), point('C', Date.now())])
  await rollUp(database)
  await database.query(`DELETE FROM telemetry WHERE satellite_id = 'B';
    UPDATE telemetry SET battery_charge_percent = 7 WHERE satellite_id = 'A'`)
  const document = readFileSync(new URL('../../../docs/DATABASE.md', import.meta.url), 'utf8')
  const [statement = ''] = /INSERT INTO rollup_dirty[^;]+/.exec(document) ?? []
  const [from, to] = [beginMs, beginMs + 60_000].map((ms) => new Date(ms).toISOString()) as [string, string]
  await database.query(statement.replace('2026-01-01 10:00Z', from).replace('2026-01-01 11:00Z', to))
  const wrong = (): Promise<string> => one(database, `
    SELECT string_agg(satellite_id || ' ' || points, ' ') || ' ' || max(battery_charge_percent_max) AS value
    FROM telemetry_10s WHERE satellite_id < 'C'`)
  t.equal(await wrong(), 'A 2 7', 'at once')
  await rollUp(database)
  t.equal(await left(database), '0')
  t.equal(await wrong(), 'A 2 7')
  t.equal(await one(database, 'SELECT sum(points)::text AS value FROM telemetry_1m'), '3')
})

t.test('a backlog larger than a turn, after hours without maintenance', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  await setBack(database, '4 hours')
  const nowMs = Date.now()
  await (await pointStore(database))(Array.from({ length: 1100 }, (_, index) => point('A', nowMs - index * 10_000)))
  const count = (): Promise<string> => one(database, 'SELECT sum(points)::text AS value FROM telemetry_1m')
  t.equal(await count(), '1100', 'right before')
  await database.query('SELECT orbitstream_begin_roll_up()')
  t.equal(await one(database, 'SELECT orbitstream_roll_up(360) AS value'), true)
  t.equal(await count(), '1100', 'right halfway')
  t.ok(await one(database, "SELECT (SELECT watermark FROM rollup_state) < now() - interval '1 hour' AS value"))
  await rollUp(database)
  t.equal(await count(), '1100', 'right after')
  t.ok(await one(database, "SELECT (SELECT watermark FROM rollup_state) > now() - interval '1 minute' AS value"))
})
