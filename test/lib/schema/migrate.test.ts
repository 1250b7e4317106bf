import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { migrate, planMigrations } from '../../../lib/schema/migrate.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { isSameCatalogue } from '../../../lib/catalogue/evolution.js'
import { BUILT_IN, METRICS } from '../../support/points/built-in.js'
import {
  createTestDatabase, silentLog, startTestPostgres, temporaryDirectory
} from '../../support/database/postgres.js'

const SETTINGS = { retentionMs: 30 * DAY_MS, log: silentLog }
const NAMES = METRICS.map(metric => metric.name)

const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => database.close())
  return database
}

async function emptyDatabase (t: Test): Promise<{ database: Database, url: string }> {
  const url = await createTestDatabase(server)
  return { database: await open(t, url), url }
}

/** A copy of sql/ to change. */
async function copyOfSql (t: Test): Promise<string> {
  const directory = await temporaryDirectory(t)
  await cp(new URL('../../../../sql', import.meta.url), directory, { recursive: true })
  return directory
}

async function column<T> (database: Database, sql: string): Promise<T[]> {
  return (await database.query<{ value: T }>(sql)).rows.map(row => row.value)
}

t.test('an empty database', async t => {
  const { database } = await emptyDatabase(t)
  const plan = await planMigrations(database)
  const all = plan.pending.map(migration => migration.name)
  t.same(all.slice(0, 2), ['0001-ledger', '0002-telemetry'])
  t.same(await column(database, "SELECT to_regclass('schema_migrations') AS value"), [null], 'a plan changes nothing')

  const outcome = await migrate(database, SETTINGS)
  const { catalogue, ...rest } = outcome
  t.same(rest, { applied: all, kind: 'plain', version: parseInt(all.at(-1)!, 10) })
  t.ok(isSameCatalogue(catalogue, BUILT_IN))
  t.same(await migrate(database, SETTINGS), { ...outcome, applied: [] }, 'once')
  t.same((await planMigrations(database)).pending, [])

  const columns = await database.query(
    `SELECT column_name, data_type, is_nullable, collation_name FROM information_schema.columns
      WHERE table_name = 'telemetry' ORDER BY ordinal_position`)
  t.same(columns.rows, [
    { column_name: 'time', data_type: 'timestamp with time zone', is_nullable: 'NO', collation_name: null },
    { column_name: 'satellite_id', data_type: 'text', is_nullable: 'NO', collation_name: 'C' },
    ...NAMES.map(name => ({
      column_name: name, data_type: 'double precision', is_nullable: 'YES', collation_name: null
    }))
  ])
  await database.query(
    "INSERT INTO telemetry SELECT now() + day * interval '1 day', 'SAT-0001' FROM generate_series(-1, 3) day")
  const names = await column<string>(
    database, 'SELECT DISTINCT tableoid::regclass::text AS value FROM telemetry ORDER BY 1')
  t.equal(names.length, 5, 'a partition for yesterday and today, and three ahead')
  const today = new Date().toISOString().slice(0, 10).replaceAll('-', '')
  t.ok(names.includes(`telemetry_p${today}`))
  const indexes = await column<string>(
    database, `SELECT indexdef AS value FROM pg_indexes WHERE tablename = 'telemetry_p${today}'`)
  t.equal(indexes.length, 2)
  t.match(indexes.sort()[0], /USING brin \(satellite_id, "time"\) WITH \(pages_per_range='1'\)/)
})

t.test('DISTRIBUTE=on without Citus changes nothing, and says what to do', async t => {
  const { database } = await emptyDatabase(t)
  await t.rejects(migrate(database, { ...SETTINGS, distribute: 'on' }), {
    name: 'StartupError', message: /CREATE EXTENSION citus.*citus_add_node/
  })
  t.same(await column(database, "SELECT to_regclass('schema_migrations') AS value"), [null])
})

t.test('several hosts at once', async t => {
  const { url } = await emptyDatabase(t)
  const hosts = await Promise.all([1, 2, 3, 4].map(() => open(t, url)))
  const outcomes = await Promise.all(hosts.map(host => migrate(host, SETTINGS)))
  t.same(
    outcomes.flatMap(({ applied }) => applied).sort(),
    (await planMigrations(hosts[0]!)).known.map(({ name }) => name), 'each migration once')
  t.ok(outcomes.every(outcome => outcome.version === outcomes[0]!.version))
  t.same(
    await column(
      hosts[0]!,
      `SELECT count(*)::int AS value FROM pg_locks WHERE database = (SELECT oid FROM pg_database
        WHERE datname = current_database()) AND pid <> pg_backend_pid()`),
    [0])
})

t.test('partitions made by several hosts at once', async t => {
  const { database, url } = await emptyDatabase(t)
  await migrate(database, SETTINGS)
  const hosts = await Promise.all([1, 2, 3, 4].map(() => open(t, url)))
  const times = [20, 21, 22, 23, 24, 25, 26, 27, 28].map(days => Date.now() + days * DAY_MS)
  const made = await Promise.all(hosts.map(host => makePartitions(host, times)))
  const names = times.map(time => new Date(time).toISOString().slice(0, 10).replaceAll('-', ''))
  t.same(
    made.flat().sort(),
    ['anomalies', 'rollup_10s', 'rollup_1m', 'telemetry'].flatMap(table => names.map(name => `${table}_p${name}`)))
  t.same(await column(database, "SELECT orbitstream_drop_partitions('2020-01-01', 100) AS value"), [])
})

t.test('days are those of UTC, whatever the session keeps', async t => {
  const { database } = await emptyDatabase(t)
  await database.query("SET timezone = 'America/New_York'")
  await migrate(database, SETTINGS)
  // The last second of a day and the first of the next, both on the same day in New York.
  const midnightMs = Math.floor(Date.now() / DAY_MS + 20) * DAY_MS
  const names = await makePartitions(database, [midnightMs - 1, midnightMs])
  const dates = [
    midnightMs - DAY_MS, midnightMs
  ].map(timeMs => new Date(timeMs).toISOString().slice(0, 10).replaceAll('-', ''))
  t.same(
    names.sort(),
    ['anomalies', 'rollup_10s', 'rollup_1m', 'telemetry'].flatMap(table => dates.map(date => `${table}_p${date}`)))
  const times = [new Date(midnightMs - DAY_MS), new Date(midnightMs + DAY_MS - 1)]
  await database.query("INSERT INTO telemetry VALUES ($1, 'A'), ($2, 'B')", times)
  t.same(
    await column(database, 'SELECT tableoid::regclass::text AS value FROM telemetry ORDER BY 1'),
    dates.map(date => `telemetry_p${date}`))
})

t.test('a migration that was changed after it was applied', async t => {
  const { database } = await emptyDatabase(t)
  const directory = await copyOfSql(t)
  await migrate(database, { ...SETTINGS, directory })
  await writeFile(join(directory, '0001-ledger.common.sql'), '\n-- changed\n', { flag: 'a' })
  await t.rejects(
    migrate(database, { ...SETTINGS, directory }), { name: 'StartupError', message: /0001-ledger was changed/ })
  await t.rejects(planMigrations(database, { directory }), { name: 'StartupError' })
})

t.test('a schema that is newer than the code', async t => {
  const { database } = await emptyDatabase(t)
  const directory = await copyOfSql(t)
  await writeFile(join(directory, '0900-future.common.sql'), 'CREATE TABLE future ();')
  await migrate(database, { ...SETTINGS, directory })
  await t.rejects(migrate(database, SETTINGS), { name: 'StartupError', message: /0900-future.*newer version/ })
})

t.test('a migration that fails leaves nothing behind, and works once it is mended', async t => {
  const { database } = await emptyDatabase(t)
  const directory = await copyOfSql(t)
  const path = join(directory, '0900-broken.common.sql')
  await writeFile(path, 'CREATE TABLE half (); SELECT 1 / 0;')
  await t.rejects(
    migrate(database, { ...SETTINGS, directory }),
    { name: 'StartupError', message: /0900-broken failed.*division by zero/ })
  await t.rejects(
    migrate(database, { ...SETTINGS, directory }), { message: /0900-broken failed/ },
    'a second time too: the lock was given back')
  t.same(await column(database, "SELECT to_regclass('half') AS value"), [null])
  await writeFile(path, 'CREATE TABLE half ();')
  t.same((await migrate(database, { ...SETTINGS, directory })).applied, ['0900-broken'])
})

t.test('names and placeholders that do not read', async t => {
  const { database } = await emptyDatabase(t)
  const directory = await temporaryDirectory(t)
  await writeFile(join(directory, '0001-a.common.sql'), 'SELECT {{unknown}}')
  await t.rejects(planMigrations(database, { directory }), /unknown placeholder unknown/)
  await writeFile(join(directory, '1-a.sql'), '')
  await t.rejects(planMigrations(database, { directory }), /1-a\.sql: the name is not/)
})

t.test('when a new metric cannot be added, the error says why, and nothing is kept', async t => {
  const { database } = await emptyDatabase(t)
  await migrate(database, SETTINGS)
  const name = NAMES.at(-1)!
  await database.query(
    `ALTER TABLE telemetry DROP COLUMN ${name} CASCADE; DROP TABLE satellites_late CASCADE;
      CREATE TYPE satellites_late AS (a int)`)
  await t.rejects(
    migrate(database, SETTINGS),
    { name: 'StartupError', message: new RegExp(`${name}.*was rolled back.*satellites_late`) })
  t.same(
    await column(
      database,
      `SELECT count(*)::int AS value FROM pg_attribute WHERE attrelid = 'telemetry'::regclass AND attname = '${name}'`),
    [0])
})

t.test('a metric that is new in the catalogue gets its column', async t => {
  const { database } = await emptyDatabase(t)
  await migrate(database, SETTINGS)
  const functions = async (): Promise<string[]> => await column(
    database,
    `SELECT pg_get_functiondef(oid) AS value FROM pg_proc WHERE pronamespace = 'public'::regnamespace
      ORDER BY oid::regprocedure::text`)
  const before = await functions()
  await database.query(`ALTER TABLE telemetry DROP COLUMN ${NAMES.at(-1)!} CASCADE`)
  await database.query(
    `ALTER TABLE rollup_10s DROP COLUMN ${NAMES.at(-1)!}_count CASCADE;
      ALTER TABLE satellites_last DROP COLUMN ${NAMES.at(-1)!} CASCADE`)
  await migrate(database, SETTINGS)
  t.same(await functions(), before, 'functions that are defined again stay the same')
  await database.query(`INSERT INTO telemetry (time, satellite_id, ${NAMES.at(-1)!}) VALUES (now(), 'A', 1)`)
  t.same(await column(database, `SELECT ${NAMES.at(-1)!}_count::int AS value FROM telemetry_1m`), [1])
  t.same(await column(database, `SELECT ${NAMES.at(-1)!} AS value FROM satellites_latest`), [1])
})

/** The table as the first release made it: types of another mind, an index, rows everywhere. */
const FIRST_RELEASE = `
  CREATE TABLE telemetry (time timestamptz, satellite_id varchar(64), ${NAMES.map(name => `${name} real`).join(', ')});
  CREATE INDEX ON telemetry (satellite_id, time DESC);
  INSERT INTO telemetry SELECT now() - i * interval '1 hour', 'SAT-' || i, i, i, NULL FROM generate_series(1, 5000) i;
  INSERT INTO telemetry VALUES
    ('1999-12-31T23:59:59Z', 'ancient', 1), ('-infinity', 'before all', 1),
    (now() + interval '2 days', 'soon', 2), (now() + interval '2 days', 'soon too', 2),
    (now() + interval '400 days', 'later', 3),
    ('9999-01-01', 'wild', 4), ('infinity', 'after all', 4), (NULL, 'no time', 5), (now(), NULL, 6)`

t.test('a table of the first release is adopted without losing a row', async t => {
  const { database } = await emptyDatabase(t)
  await database.query("SET timezone = 'Asia/Tokyo'")
  await database.query(FIRST_RELEASE)
  await migrate(database, SETTINGS)

  t.same(await column(database, 'SELECT count(*)::int AS value FROM telemetry'), [5005])
  t.same(
    await column(database, "SELECT row ->> 'satellite_id' AS value FROM quarantined_rows ORDER BY id"),
    ['wild', 'after all', 'no time', null])
  t.same(
    await column(
      database,
      `SELECT count(*)::int AS value FROM telemetry WHERE ${NAMES[0]!} = substr(satellite_id, 5)::float
        AND satellite_id LIKE 'SAT-%'`),
    [5000], 'values as they were')
  t.same(
    await column(
      database,
      "SELECT tableoid::regclass::text AS value FROM telemetry WHERE satellite_id IN ('ancient', 'before all')"),
    ['telemetry_first_release', 'telemetry_first_release'])
  t.same(
    await column(
      database,
      `SELECT count(*)::int AS value FROM telemetry WHERE satellite_id IN ('soon', 'soon too', 'later')
        AND tableoid::regclass::text LIKE 'telemetry_p%'`),
    [3])

  await database.query(
    "INSERT INTO telemetry SELECT now() + day * interval '1 day', 'new' FROM generate_series(-30, 3) day")
  t.same(
    await column(database, "SELECT count(*)::int AS value FROM telemetry WHERE satellite_id = 'new'"), [34],
    'new rows go in')
  t.same((await migrate(database, SETTINGS)).applied, [])
  const dropped = await column<string>(
    database,
    "SELECT orbitstream_drop_partitions(date_trunc('day', now(), 'UTC') + interval '24 hours', 100) AS value")
  t.same(
    dropped.filter(name => name.startsWith('telemetry')), ['telemetry_first_release'],
    'retention drops it when its last day is old')
})

t.test('a table of the first release as it was made is not rewritten, and views on it go on', async t => {
  const { database } = await emptyDatabase(t)
  await database.query(`
    CREATE TABLE telemetry (time timestamptz NOT NULL, satellite_id text COLLATE "C" NOT NULL,
      ${NAMES.map(name => `${name} double precision NOT NULL`).join(', ')});
    CREATE VIEW latest AS SELECT max(time) FROM telemetry`)
  const before = await column(database, "SELECT pg_relation_filenode('telemetry') AS value")
  await migrate(database, SETTINGS)
  t.same(await column(database, "SELECT pg_relation_filenode('telemetry_first_release') AS value"), before)
  t.equal((await database.query('SELECT FROM latest')).rowCount, 1)
})

t.test('a table that is not of the first release is left alone', async t => {
  const { database } = await emptyDatabase(t)
  await database.query('CREATE TABLE telemetry (time timestamptz, satellite_id text, colour text)')
  await t.rejects(migrate(database, SETTINGS), { name: 'StartupError', message: /does not know \(colour\).*rename it/ })
  await database.query('DROP TABLE telemetry; CREATE VIEW telemetry AS SELECT 1 AS one')
  for (const retentionIsDefault of [true, false]) {
    await t.rejects(migrate(database, { ...SETTINGS, retentionIsDefault }), { message: /not a plain table/ })
  }
})

t.test('a role for readers that belongs to somebody else does not keep the server from starting', async (t) => {
  const { database, url } = await emptyDatabase(t)
  const name = new URL(url).pathname.slice(1)
  await database.query(
    `CREATE ROLE ${name}_owner LOGIN PASSWORD 'secret'; ALTER DATABASE ${name} OWNER TO ${name}_owner`)
  await database.query('DO $$ BEGIN CREATE ROLE orbitstream_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$')
  const login = Object.assign(new URL(url), { username: `${name}_owner`, password: 'secret' })
  const owner = await open(t, login.href)
  const warnings: string[] = []
  const log = Object.assign(
    Object.create(silentLog) as typeof silentLog, { warn: (_: unknown, text: string) => { warnings.push(text) } })
  await migrate(owner, { ...SETTINGS, log, readerPassword: 'correct horse' })
  t.match(
    warnings,
    [
      new RegExp('^The database refused this; points are stored regardless. Have a superuser run it: ' +
        String.raw`ALTER ROLE orbitstream_reader LOGIN PASSWORD '\*\*\*'$`)
    ])
  await owner.query('SELECT FROM telemetry_10s')
})

t.test('a database user who may not make the role for readers is told what a superuser must run', async (t) => {
  // Roles belong to a whole server.
  const own = await startTestPostgres(t)
  const superuser = await open(t, own.url)
  await superuser.query("CREATE ROLE plain_owner LOGIN PASSWORD 'secret'")
  await superuser.query('CREATE DATABASE ours OWNER plain_owner')
  const owner = await open(
    t, Object.assign(new URL(own.url), { username: 'plain_owner', password: 'secret', pathname: 'ours' }).href)
  const warnings: string[] = []
  const log = Object.assign(
    Object.create(silentLog) as typeof silentLog, { warn: (_: unknown, text: string) => { warnings.push(text) } })
  await migrate(owner, { ...SETTINGS, log })
  t.same(warnings, [], 'nobody asked for it')
  await migrate(owner, { ...SETTINGS, log, readerPassword: 'correct horse' })
  t.match(
    warnings,
    [
      new RegExp(String.raw`superuser run it: CREATE ROLE orbitstream_reader LOGIN PASSWORD '\*\*\*'; ` +
        String.raw`.*GRANT SELECT ON public\.telemetry, .* TO orbitstream_reader$`)
    ])
  await superuser.query("CREATE ROLE orbitstream_reader LOGIN PASSWORD 'correct horse'")
  await migrate(owner, { ...SETTINGS, log })
  const reader = await open(
    t,
    Object.assign(
      new URL(own.url), { username: 'orbitstream_reader', password: 'correct horse', pathname: 'ours' }).href)
  await reader.query('SELECT FROM telemetry_10s')
})
