/**
 * The role orbitstream_reader reads and changes nothing. Its sessions take every lock they can, and nothing waits for
 * them: starts, storing, rollups, partitions, retention.
 */
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { startMaintenance } from '../../lib/upkeep/maintenance.js'
import { LockHolders } from '../../lib/schema/locks/lock-holders.js'
import { migrate } from '../../lib/schema/migrate.js'
import { makePartitions } from '../../lib/schema/partitions.js'
import { DAY_MS } from '../../lib/config/setting-types.js'
import { fillRollups } from '../../lib/upkeep/rollup/fill.js'
import { eventually } from '../support/eventually.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../support/database/postgres.js'
import { setBack } from '../support/database/retention.js'
import { SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { pointStore } from '../support/database/stored-rows.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const SETTINGS = { ...SCHEMA_SETTINGS, readerPassword: 'correct horse', readerPatienceMs: 0 }

const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  return database
}

const MODES = ['ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE']

/** A reader session whose transaction holds every lock an unprivileged role can hold, and the number of its locks. */
async function greedyReader (
  t: Test, url: string, relations: readonly string[], read = 'telemetry_1m'
): Promise<{ reader: Database, held: number }> {
  const login = Object.assign(new URL(url), { username: 'orbitstream_reader', password: 'correct%20horse' })
  const reader = await open(t, login.href)
  await reader.query(`
    BEGIN ISOLATION LEVEL REPEATABLE READ;
    SELECT FROM ${read};
    LOCK TABLE telemetry, anomalies, rollup_10s, rollup_1m, rollup_state IN ACCESS SHARE MODE`)
  for (const [index, relation] of relations.entries()) {
    const statements = [
      // Privileges of prepared statements are checked when they run.
      `PREPARE del_${index} AS DELETE FROM ${relation}`,
      `PREPARE sel_${index} AS SELECT FROM ${relation} FOR UPDATE`,
      `SELECT FROM ${relation} FOR UPDATE`,
      ...MODES.map((mode) => `LOCK TABLE ${relation} IN ${mode} MODE`)
    ]
    for (const statement of statements) {
      const done = reader.query(`SAVEPOINT s; ${statement}; RELEASE s`)
      await done.catch(async () => await reader.query('ROLLBACK TO s'))
    }
  }
  const { rows } = await reader.query<{ held: number }>(`
    SELECT count(*)::int AS held FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock'`)
  return { reader, held: rows[0]!.held }
}

async function names (database: Database, sql: string): Promise<string[]> {
  return (await database.query<{ name: string }>(sql)).rows.map(({ name }) => name)
}

t.test('nothing waits for a reader session that takes every lock it can', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SETTINGS)
  const old = await makePartitions(database, [Date.now() - 40 * DAY_MS, Date.now() - 39 * DAY_MS])
  const tables = await names(database, `
    SELECT relname::text AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`)
  const { reader, held } = await greedyReader(t, url, tables)
  t.ok(held >= tables.length, `it holds locks on all ${tables.length} tables`)
  t.ok(old.length >= 8)

  // None of these takes as long as a lock timeout, or ends the reader's session.
  await database.query("SET statement_timeout = '20s'")
  t.same((await migrate(database, { ...SETTINGS, log: silentLog })).applied, [], 'a start with nothing to do')
  const store = await pointStore(database)
  const point = (ageMs: number) => ({ satellite: 'A', timeMs: Date.now() - ageMs, values: [1] })
  await store([point(0), point(3_600_000)])
  t.equal((await database.query('SELECT FROM satellites_late')).rowCount, 1)
  const filling = { signal: new AbortController().signal, onProgress: () => {}, onWaiting: () => {} }
  t.match(await fillRollups(database, filling), { waitingMinutes: 0 })
  t.same(await makePartitions(database, [Date.now() + 20 * DAY_MS]), await names(database, `
    SELECT parent || '_p' || to_char(now() AT TIME ZONE 'UTC' + interval '20 days', 'YYYYMMDD') AS name
    FROM unnest(ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry']) parent`))
  t.ok(reader.alive, 'it still holds them')

  const watermark = async (): Promise<Date> => {
    const { rows } = await database.query<{ watermark: Date }>('SELECT watermark FROM rollup_state')
    return rows[0]!.watermark
  }
  await setBack(database, '1 hour')
  const before = await watermark()
  const maintenance = startMaintenance({
    connect: () => connect(url, OPTIONS), settings: SETTINGS, log: silentLog, readerPatienceMs: 0
  })
  t.teardown(() => maintenance.close())
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.ok(await watermark() > before, 'rollups')
  const left = await names(database, 'SELECT name FROM orbitstream_partitions() ORDER BY 1')
  t.notOk(left.some((name) => old.includes(name)), 'retention')
  await t.rejects(reader.query('SELECT 1'), 'its session was ended for blocking retention too long')
})

t.test('a migration does not wait for the reader forever', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SETTINGS)
  const columns = await names(database, `
    SELECT attname::text AS name FROM pg_attribute
    WHERE attrelid = 'telemetry'::regclass AND attnum > 2 AND NOT attisdropped ORDER BY attnum`)
  const column = columns.at(-1)!
  await database.query(`ALTER TABLE telemetry DROP COLUMN ${column} CASCADE`)
  const { reader } = await greedyReader(t, url, ['schema_migrations', 'telemetry'], 'telemetry')
  await migrate(database, SETTINGS)
  await database.query(`SELECT ${column} FROM telemetry`)
  await t.rejects(reader.query('SELECT 1'))
})

t.test('reader sessions that block others are ended', async t => {
  const url = await createTestDatabase(server)
  const [database, waiting] = [await open(t, url), await open(t, url)]
  await migrate(database, SETTINGS)
  const { reader } = await greedyReader(t, url, ['satellites_last'])
  const maintenance = startMaintenance({
    connect: () => connect(url, OPTIONS),
    settings: { ...SETTINGS, retentionMs: 365 * DAY_MS },
    log: silentLog,
    intervals: { readersMs: 200 },
    readerPatienceMs: 0
  })
  t.teardown(() => maintenance.close())
  // Like a TimescaleDB job: without a timeout.
  await waiting.query('BEGIN; LOCK TABLE satellites_last; COMMIT')
  await t.rejects(reader.query('SELECT 1'))
})

t.test('a user who may not end reader sessions is told once what to run', async t => {
  const url = await createTestDatabase(server)
  const [database, waiting] = [await open(t, url), await open(t, url)]
  await migrate(database, SETTINGS)
  await database.query("CREATE ROLE \"the user\" LOGIN PASSWORD 'x'")
  const user = await open(t, Object.assign(new URL(url), { username: 'the%20user', password: 'x' }).href)
  const { reader } = await greedyReader(t, url, [])
  const locked = waiting.query('BEGIN; LOCK TABLE telemetry; COMMIT')
  const said: string[] = []
  const holders = new LockHolders({ ...silentLog, warn: (_: unknown, text: string) => { said.push(text) } }, 0)
  await eventually('it is told', 20_000, async () => {
    await holders.endBlockingReaders(user)
    return said.length > 0 || undefined
  })
  await holders.endBlockingReaders(user)
  t.equal(said.length, 1)
  await database.query(said[0]!.replace(/^.* run: /, ''))
  await locked
  await t.rejects(reader.query('SELECT 1'))
  await t.resolves(user.query('SET ROLE orbitstream_reader'), 'the next one it may end')
})

t.test('the reader can read the public relations and change nothing', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, { ...SCHEMA_SETTINGS, readerPassword: 'correct horse' })
  await (await pointStore(database))([{ satellite: 'A', timeMs: Date.now(), values: [1] }])
  const login = new URL(url)
  login.username = 'orbitstream_reader'
  login.password = encodeURIComponent('correct horse')
  const reader = await open(t, login.href)
  for (const name of ['telemetry', 'telemetry_10s', 'telemetry_1m', 'satellites_latest']) {
    t.equal((await reader.query(`SELECT FROM ${name}`)).rowCount, 1, name)
  }
  await t.rejects(reader.query('DELETE FROM telemetry'), { code: '42501' })
  await t.rejects(reader.query('CREATE TABLE mine (a int)'), { code: '42501' })
  login.password = 'wrong'
  await t.rejects(connect(login.href, OPTIONS), { code: '28P01' })
  await migrate(database, SCHEMA_SETTINGS)
  await reader.query('SELECT 1')
})
