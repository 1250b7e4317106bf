/** Sessions of orbitstream_reader take every lock that they can, and nothing waits for them: a start, storing, rollups, partitions, retention. */
import t from 'tap'
import type { Test } from 'tap'
import { connect, type Database } from '../../lib/database/connection.js'
import { startMaintenance } from '../../lib/upkeep/maintenance.js'
import { migrate } from '../../lib/schema/migrate.js'
import { DAY_MS, makePartitions } from '../../lib/schema/partitions.js'
import { fillRollups } from '../../lib/upkeep/rollup/fill.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../support/postgres.js'
import { SCHEMA_SETTINGS } from '../support/same-answers.js'
import { pointStore } from '../support/stored-rows.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const SETTINGS = { ...SCHEMA_SETTINGS, readerPassword: 'correct horse', readerPatienceMs: 0 }
/** Before there was another way. */
const ADVISORY_KEYS = [7_305_110_400, 7_305_110_401, 7_305_110_402, 7_305_110_403]

const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  return database
}

/** A session of the reader in a transaction that holds what a role without rights can hold; and how many relations that are. */
async function greedyReader (t: Test, url: string, relations: readonly string[], read = 'telemetry_1m'): Promise<{ reader: Database, held: number }> {
  const reader = await open(t, Object.assign(new URL(url), { username: 'orbitstream_reader', password: 'correct%20horse' }).href)
  for (const key of ADVISORY_KEYS) await reader.query('SELECT pg_advisory_lock($1), pg_advisory_lock_shared($1)', [key])
  await reader.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM ${read}; LOCK TABLE telemetry, anomalies, rollup_10s, rollup_1m, rollup_state IN ACCESS SHARE MODE`)
  for (const [index, relation] of relations.entries()) {
    // Rights are looked at when it runs.
    const statements = [`PREPARE del_${index} AS DELETE FROM ${relation}`, `PREPARE sel_${index} AS SELECT FROM ${relation} FOR UPDATE`, `SELECT FROM ${relation} FOR UPDATE`,
      ...['ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'].map((mode) => `LOCK TABLE ${relation} IN ${mode} MODE`)]
    for (const statement of statements) await reader.query(`SAVEPOINT s; ${statement}; RELEASE s`).catch(async () => await reader.query('ROLLBACK TO s'))
  }
  const { rows } = await reader.query<{ held: number }>("SELECT count(*)::int AS held FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock'")
  return { reader, held: rows[0]!.held }
}

const names = async (database: Database, sql: string): Promise<string[]> => (await database.query<{ name: string }>(sql)).rows.map(({ name }) => name)

t.test('nothing waits for a session of the reader that takes every lock it can', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SETTINGS)
  const old = await makePartitions(database, [Date.now() - 40 * DAY_MS, Date.now() - 39 * DAY_MS])
  const tables = await names(database, "SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')")
  const { reader, held } = await greedyReader(t, url, tables)
  t.ok(held >= tables.length, `it holds locks of all ${tables.length} tables`)
  t.ok(old.length >= 8)

  // None of these may take as long as a lock timeout, and none ends the reader.
  await database.query("SET statement_timeout = '20s'")
  t.same((await migrate(database, { ...SETTINGS, log: silentLog })).applied, [], 'a start with nothing to do')
  const store = await pointStore(database)
  const point = (ageMs: number) => ({ satellite: 'A', timeMs: Date.now() - ageMs, values: [1] })
  await store([point(0), point(3_600_000)])
  t.equal((await database.query('SELECT FROM satellites_late')).rowCount, 1)
  t.match(await fillRollups(database, { signal: new AbortController().signal, onProgress: () => {}, onWaiting: () => {} }), { waitingMinutes: 0 })
  t.same(await makePartitions(database, [Date.now() + 20 * DAY_MS]), await names(database, `
    SELECT parent || '_p' || to_char(now() AT TIME ZONE 'UTC' + interval '20 days', 'YYYYMMDD') AS name FROM unnest(ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry']) parent`))
  t.ok(reader.alive, 'it still holds them')

  const watermark = async (): Promise<Date> => (await database.query<{ watermark: Date }>('SELECT watermark FROM rollup_state')).rows[0]!.watermark
  await database.query("UPDATE rollup_state SET watermark = watermark - interval '1 hour', closing = closing - interval '1 hour', latest_watermark = latest_watermark - interval '1 hour'")
  const before = await watermark()
  const maintenance = startMaintenance({ connect: () => connect(url, OPTIONS), settings: SETTINGS, log: silentLog, readerPatienceMs: 0 })
  t.teardown(() => maintenance.close())
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.ok(await watermark() > before, 'rollups')
  const left = await names(database, 'SELECT name FROM orbitstream_partitions() ORDER BY 1')
  t.notOk(left.some((name) => old.includes(name)), 'retention')
  await t.rejects(reader.query('SELECT 1'), 'whose session was ended: it was in the way of retention for too long')
})

t.test('a migration does not wait for the reader without end', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SETTINGS)
  const column = (await names(database, "SELECT attname::text AS name FROM pg_attribute WHERE attrelid = 'telemetry'::regclass AND attnum > 2 AND NOT attisdropped ORDER BY attnum")).at(-1)!
  await database.query(`ALTER TABLE telemetry DROP COLUMN ${column} CASCADE`)
  const { reader } = await greedyReader(t, url, ['schema_migrations', 'telemetry'], 'telemetry')
  await migrate(database, SETTINGS)
  await database.query(`SELECT ${column} FROM telemetry`)
  await t.rejects(reader.query('SELECT 1'))
})

t.test('sessions of the reader that others wait for are ended', async t => {
  const url = await createTestDatabase(server)
  const [database, waiting] = [await open(t, url), await open(t, url)]
  await migrate(database, SETTINGS)
  const { reader } = await greedyReader(t, url, ['satellites_last'])
  const maintenance = startMaintenance({ connect: () => connect(url, OPTIONS), settings: { ...SETTINGS, retentionMs: 365 * DAY_MS }, log: silentLog, intervals: { readersMs: 200 }, readerPatienceMs: 0 })
  t.teardown(() => maintenance.close())
  // As a job of TimescaleDB does it: without a timeout.
  await waiting.query('BEGIN; LOCK TABLE satellites_last; COMMIT')
  await t.rejects(reader.query('SELECT 1'))
})
