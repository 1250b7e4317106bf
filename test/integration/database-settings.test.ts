/**
 * Databases as users configure them: whatever the server, the database, the role, the URL or the environment sets, the
 * same points give the same rows and answers. All on one PostgreSQL.
 */
import { BUILT_IN, TELEMETRY } from '../support/points/built-in.js'
import t, { type Test } from 'tap'
import { execFile } from 'node:child_process'
import { chown, stat } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { openAndMigrate } from '../../lib/primary/opening.js'
import { loadConfig } from '../../lib/config/config.js'
import type { Config } from '../../lib/config/settings.js'
import { Lifecycle } from '../../lib/support/lifecycle.js'
import { createLogger } from '../../lib/support/log.js'
import { MemoryJournal } from '../../lib/journal/memory-journal.js'
import { queryAnomalies } from '../../lib/queries/anomaly-query.js'
import { connect } from '../../lib/database/connection.js'
import type { DatabaseConnection } from '../../lib/database/database.js'
import { Drain } from '../../lib/drain/drain.js'
import { connectDurably } from '../../lib/database/durable-connection.js'
import { storeIngestSteps } from '../../lib/upkeep/ingest-stats.js'
import { readLimits, replaceLimits, seedLimits } from '../../lib/queries/limits-store.js'
import { migrate } from '../../lib/schema/migrate.js'
import { DAY_MS } from '../../lib/config/setting-types.js'
import { RollUp } from '../../lib/upkeep/rollups.js'
import { eventually, within } from '../support/eventually.js'
import { ingestStep } from '../support/points/ingest-step.js'
import { payloadOf, type PlainPoint } from '../support/points/limits.js'
import { createTestDatabase, silentLog, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'

/** None of these may have any effect, with the embedded database or any other. */
Object.assign(process.env, {
  PGHOST: 'nowhere.invalid',
  PGHOSTADDR: '192.0.2.1',
  PGPORT: '1',
  PGUSER: 'nobody',
  PGPASSWORD: 'wrong',
  PGDATABASE: 'none',
  PGDATA: '/nowhere',
  PGOPTIONS: '-c search_path=nowhere',
  PGSSLMODE: 'verify-full',
  PGSSLROOTCERT: '/nowhere',
  PGSSLCERT: '/nowhere',
  PGSSLKEY: '/nowhere',
  PGSSLNEGOTIATION: 'direct',
  PGCLIENTENCODING: 'LATIN1',
  PGCLIENT_ENCODING: 'LATIN1',
  PGDATESTYLE: 'German',
  PGTZ: 'Asia/Kathmandu',
  PGAPPNAME: 'nobody',
  PGREPLICATION: 'database',
  PGCONNECT_TIMEOUT: '1',
  PGSERVICE: 'none',
  PGPASSFILE: '/nowhere',
  PGSTATEMENT_TIMEOUT: '1',
  PGCHANNELBINDING: 'require',
  PGREQUIREAUTH: 'none',
  PGTARGETSESSIONATTRS: 'standby'
})

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 10_000 }
const SETTINGS = { retentionMs: 36_500 * DAY_MS, log: silentLog }
const NOW_MICROS = Math.floor(Date.now() / 60_000) * 60_000_000 - 120_000_000
const NOW_SECONDS = NOW_MICROS / 1e6
const ANOMALY_QUERY = {
  sinceMicros: NOW_MICROS - 1,
  untilMicros: null,
  satellite: null,
  metric: null,
  severity: null,
  cursor: null,
  countMax: 10
}
const log = createLogger({ level: 'fatal', name: 'test', destination: { write: () => {} } })

/** Numbers and ids in which a lost digit or byte shows, and times of any age. */
const POINTS: readonly PlainPoint[] = [
  ['SAT-0001', NOW_MICROS + 123_456, 0.1 + 0.2, 1 / 3, -70.123_456_789_012_34],
  ['SAT-0001', NOW_MICROS + 1_500_000, 5e-324, 1.797_693_134_862_315_7e308, 1e15],
  ['衛星-\\x41\'é😀', NOW_MICROS, 42, 43, 44],
  ['SAT-OLD', NOW_MICROS - 400 * DAY_MS * 1000, 1, 2, 3],
  ['SAT-OLDER', NOW_MICROS - 36_000 * DAY_MS * 1000 - 1, 1, 2, 3]
]

const postgres = await startTestPostgres(t)
const admin = await connect(postgres.url, OPTIONS)
t.teardown(() => admin.close())

async function open (t: Test, url: string): Promise<DatabaseConnection> {
  const db = await connect(url, OPTIONS)
  t.teardown(() => db.close())
  return db
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1)

/** Stores points and everything that goes with them, as a server does, and returns what can be read back. */
async function exercise (t: Test, url: string): Promise<object> {
  const db = await open(t, url)
  await migrate(db, SETTINGS)
  const journal = new MemoryJournal({ spoolId: 'test/0', epoch: 1, bytesMax: 1e9 })
  const drain = new Drain({
    catalogue: BUILT_IN,
    journal,
    connect: async () => await connectDurably(url, OPTIONS),
    log,
    copyBytesMax: 1e9,
    intervalMs: 0,
    onCommitted: () => {}
  })
  journal.append({ payload: payloadOf(POINTS), rows: POINTS.length, spooled: () => {}, committed: () => {} })
  journal.end()
  await within('everything is stored', 60_000, drain.run())
  t.equal(drain.retries, 0, drain.lastError ?? 'stored at the first attempt')
  await new RollUp().run(db)
  await seedLimits(db, { default: {}, overrides: {} }, 'Zoë \\ "x"')
  const overrides = { 'SAT-*': { battery_charge_percent: { low: { critical: 0.1 + 0.2 } } } }
  await replaceLimits(db, TELEMETRY, 1, { default: {}, overrides }, 'Zoë')
  const step = ingestStep(NOW_MICROS / 1000, { ack_p99_seconds: 0.1 + 0.2, anomaly_counts: [1, 2] })
  await storeIngestSteps(db, { pending: () => [step], stored: () => {} })
  const limits = await readLimits(db, TELEMETRY)
  const read = async (sql: string): Promise<unknown[]> => (await db.query(sql)).rows
  return {
    quarantined: await read('SELECT count(*)::int FROM public.quarantined_rows'),
    points: await read('SELECT * FROM public.telemetry ORDER BY "time", satellite_id'),
    seconds: await read('SELECT * FROM public.telemetry_10s ORDER BY 1, 2'),
    minutes: await read('SELECT * FROM public.telemetry_1m ORDER BY 1, 2'),
    latest: await read('SELECT * FROM public.satellites_latest ORDER BY satellite_id'),
    newest: await read(`
      SELECT * FROM public.orbitstream_newest_points(to_timestamp(${NOW_SECONDS}), to_timestamp(${NOW_SECONDS + 60}))
      ORDER BY satellite_id`),
    steps: await read('SELECT * FROM public.ingest_stats ORDER BY 1'),
    of: (await read("SELECT * FROM public.limits, public.orbitstream_limits_of(limits, ARRAY['SAT-1', 'X'])"))
      .map((row) => ({ ...row as object, changed_at: 0 })),
    nulls: (await db.query('SELECT ($1::text[])[1] IS NULL AS kept', [[null]])).rows,
    anomalies: await queryAnomalies(db, ANOMALY_QUERY),
    limits: { ...limits, changedAt: '' }
  }
}

const EVERYTHING: Readonly<Record<string, string>> = {
  DateStyle: "'SQL, DMY'",
  IntervalStyle: 'sql_standard',
  TimeZone: "'Asia/Kathmandu'",
  search_path: 'nowhere',
  extra_float_digits: '0',
  bytea_output: 'escape',
  standard_conforming_strings: 'off',
  default_transaction_isolation: 'serializable',
  client_encoding: 'LATIN1'
}
const OTHERS: Readonly<Record<string, string>> = {
  DateStyle: 'German',
  TimeZone: "'America/St_Johns'",
  search_path: "''",
  extra_float_digits: "'-15'",
  default_transaction_isolation: "'repeatable read'",
  default_transaction_deferrable: 'on',
  array_nulls: 'off',
  quote_all_identifiers: 'on'
}

let expected: object = {}

t.test('a database with the default settings of its server', async (t) => {
  expected = await exercise(t, await createTestDatabase(postgres))
  t.match(expected, {
    quarantined: [{ count: 0 }],
    points: { length: POINTS.length },
    seconds: { length: 4 },
    anomalies: { anomalies: [{}] },
    newest: [{}],
    nulls: [{ kept: true }]
  })
})

t.test('settings of the database and the role', async (t) => {
  for (const [scope, settings] of [['DATABASE', EVERYTHING], ['DATABASE', OTHERS], ['ROLE', EVERYTHING]] as const) {
    const url = await createTestDatabase(postgres)
    const role = `role_${nameOf(url)}`
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; ALTER DATABASE ${nameOf(url)} OWNER TO ${role}`)
    const target = scope === 'ROLE' ? role : nameOf(url)
    for (const [name, value] of Object.entries(settings)) {
      await admin.query(`ALTER ${scope} ${target} SET ${name} = ${value}`)
    }
    const own = Object.assign(new URL(url), { username: role, password: 'x' })
    t.strictSame(await exercise(t, own.href), expected, `${scope} ${JSON.stringify(settings)}`)
  }
})

t.test('settings in the URL: session options and an application name', async (t) => {
  const options = encodeURIComponent('-c search_path=nowhere -c datestyle=German -c work_mem=5MB')
  const url = `${await createTestDatabase(postgres)}?application_name=mine&options=${options}`
  t.strictSame(await exercise(t, url), expected)
  const db = await open(t, url)
  const { rows } = await db.query(
    "SELECT current_setting('work_mem') AS memory, current_setting('application_name') AS name")
  t.same(rows, [{ memory: '5MB', name: 'mine' }])
})

t.test('timeouts set by the administrator end none of our sessions or statements', async (t) => {
  const url = await createTestDatabase(postgres)
  const kinds = ['statement', 'lock', 'idle_session', 'idle_in_transaction_session', 'transaction']
  for (const kind of kinds) await admin.query(`ALTER DATABASE ${nameOf(url)} SET ${kind}_timeout = '400ms'`)
  const db = await open(t, url)
  await db.query('SELECT pg_sleep(0.5)')
  await delay(500)
  await db.query('BEGIN')
  await delay(500)
  await db.query('COMMIT')
  t.ok(db.alive)
})

t.test('a database that cannot store all characters is refused with a helpful message', async (t) => {
  const url = new URL(postgres.url)
  url.pathname = 'latin'
  await admin.query("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
  const message = /latin has the encoding LATIN1.*ENCODING 'UTF8'/
  await t.rejects(migrate(await open(t, url.href), SETTINGS), { name: 'StartupError', message })
})

t.test('where the user may not create tables, the statement in the error is all that it takes', async (t) => {
  await admin.query('CREATE ROLE "the user" LOGIN PASSWORD \'p%/@\'; CREATE ROLE "the owner"')
  for (const [hindrance, refusal, expected] of [
    ['SELECT 1', 'may not create tables', 'GRANT USAGE, CREATE ON SCHEMA public TO "the user";'],
    ['DROP SCHEMA public', 'has no schema public', 'CREATE SCHEMA public AUTHORIZATION "the user";'],
    [
      'GRANT USAGE, CREATE ON SCHEMA public TO "the user"; CREATE TABLE ingest_ledger (); ' +
        'ALTER TABLE ingest_ledger OWNER TO "the owner"',
      'belong to the owner', 'GRANT "the owner" TO "the user";'
    ]
  ] as const) {
    const url = await createTestDatabase(postgres)
    const superuser = await open(t, url)
    await superuser.query(hindrance)
    const db = await open(t, `postgres://the%20user:p%25%2F%40@${new URL(url).host}/${nameOf(url)}`)
    const message = await migrate(db, SETTINGS).then(() => '', (error: unknown) => (error as Error).message)
    t.match(message, refusal)
    const [, statement = 'none'] = /run ([^;]+;)/.exec(message) ?? []
    t.equal(statement, expected)
    await superuser.query(statement)
    await superuser.query('DROP TABLE IF EXISTS ingest_ledger')
    await t.resolves(migrate(db, SETTINGS), refusal)
  }
})

interface Start {
  readonly config: Config
  readonly lifecycle: Lifecycle
  readonly waits: Array<string | null>
  readonly abort: AbortController
  readonly opened: ReturnType<typeof openAndMigrate>
}

async function start (t: Test, url: string): Promise<Start> {
  const loaded = loadConfig({
    env: {
      DATABASE_URL: url,
      DATA_DIR: await temporaryDirectory(t),
      RETENTION: '36500d',
      TIME_WINDOW_PAST: '36500d',
      TIME_WINDOW_FUTURE: '36500d'
    }
  })
  if (!loaded.ok) throw new Error('the configuration is invalid')
  const { config } = loaded
  const lifecycle = new Lifecycle()
  const waits: Array<string | null> = []
  const abort = new AbortController()
  const onWaiting = (reason: string | null): void => { waits.push(reason) }
  const opened = openAndMigrate({
    config, proposed: null, retentionIsDefault: false, lifecycle, log, signal: abort.signal, onWaiting
  })
  t.teardown(async () => {
    abort.abort()
    await opened.catch(() => {})
    await lifecycle.release()
  })
  return { config, lifecycle, waits, abort, opened }
}

t.test('waits for a read-only database; the widest window creates no more partitions than the narrowest', async (t) => {
  const url = await createTestDatabase(postgres)
  await admin.query(`ALTER DATABASE ${nameOf(url)} SET default_transaction_read_only = on`)
  const { waits, opened } = await start(t, url)
  await eventually('it reports what it waits for', 60_000, () => (
    Promise.resolve(waits.find((reason) => reason?.includes('read-only') === true))))
  await admin.query(`ALTER DATABASE ${nameOf(url)} RESET default_transaction_read_only`)
  t.match(await opened, { url, kind: 'plain' })
  t.equal(waits.at(-1), null)
  const db = await open(t, url)
  const { rows } = await db.query(
    "SELECT count(*)::int FROM pg_inherits WHERE inhparent = 'public.telemetry'::regclass")
  t.same(rows, [{ count: 5 }])
})

for (const mode of ['ACCESS EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE']) {
  t.test(`a start waiting for a lock (${mode}) can be aborted at once, and leaves no session behind`, async (t) => {
    const url = await createTestDatabase(postgres)
    const holder = await open(t, url)
    await holder.query(`CREATE TABLE public.schema_migrations (
      version integer PRIMARY KEY, name text, checksum text, kind text, applied_at timestamptz DEFAULT now())`)
    await holder.query(`BEGIN; LOCK TABLE public.schema_migrations IN ${mode} MODE`)
    const { opened, abort } = await start(t, url)
    const sessions = async (): Promise<number> => {
      const { rows } = await admin.query<{ count: number }>(`
        SELECT count(*)::int FROM pg_stat_activity
        WHERE datname = $1 AND application_name = 'orbitstream primary' AND wait_event_type = 'Lock'`, [nameOf(url)])
      return rows[0]?.count ?? 0
    }
    await eventually('it waits for the lock', 60_000, async () => await sessions() === 1 ? true : undefined)
    abort.abort()
    await t.rejects(opened, { name: 'StartupError', message: /^Stopped while waiting/ })
    await eventually('the session is gone', 60_000, async () => await sessions() === 0 ? true : undefined)
  })
}

/** Whether a session opened with this URL uses TLS. */
async function encrypted (url: string): Promise<boolean> {
  const db = await connect(url, OPTIONS)
  const { rows: [row] } = await db.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
  await db.close()
  return row?.ssl === true
}

async function outcome (url: string): Promise<string> {
  return await encrypted(url).then((ssl) => ssl ? 'TLS' : 'plain', () => 'refused')
}

/** A certificate for 127.0.0.1, owned by the account of the server, which enables TLS at its next start. */
async function certify (directory: string): Promise<string> {
  const [key, certificate] = [join(directory, 'server.key'), join(directory, 'server.crt')]
  await promisify(execFile)('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate
  ])
  const { uid, gid } = await stat(directory)
  for (const file of [key, certificate]) await chown(file, uid, gid)
  await admin.query('ALTER SYSTEM SET ssl = on')
  return certificate
}

const CHECKED_MODES = ['sslmode=require', 'sslmode=no-verify', 'sslmode=verify-ca', 'sslmode=verify-full']
const SSL_MODES = ['', 'sslmode=disable', 'sslmode=allow', 'sslmode=prefer', ...CHECKED_MODES]

t.test('sockets, IPv6, and each sslmode', async (t) => {
  const { rows: [row] } = await admin.query<{ dir: string }>('SELECT current_setting(\'data_directory\') AS dir')
  const dir = row?.dir ?? ''
  const { port, username, password, pathname } = new URL(postgres.url)
  const who = `${username}:${password}`
  const withModes = async (host: string, modes: readonly string[]): Promise<string> => (await Promise.all(
    modes.map(async (mode) => await outcome(`postgres://${who}@${host}:${port}${pathname}?${mode}`)))).join(' ')
  const withoutTls = 'plain plain plain plain refused refused refused refused'
  t.equal(await withModes('127.0.0.1', SSL_MODES), withoutTls, 'a server without TLS')
  const certificate = await certify(dir)
  await admin.query(`ALTER SYSTEM SET unix_socket_directories = '${dir}'`)
  await admin.query("ALTER SYSTEM SET listen_addresses = '127.0.0.1, ::1'")
  await postgres.stop()
  await postgres.start()
  const root = `&sslrootcert=${encodeURIComponent(certificate)}`
  const untrusted = 'plain plain TLS TLS TLS TLS refused refused'
  t.equal(await withModes('127.0.0.1', SSL_MODES), untrusted, 'an untrusted certificate')
  const rooted = CHECKED_MODES.map((mode) => mode + root)
  const direct = `sslmode=require${root}&sslnegotiation=direct`
  t.equal(await withModes('127.0.0.1', [...rooted, direct]), 'TLS TLS TLS TLS TLS', 'a trusted certificate')
  t.equal(await withModes('localhost', rooted), 'TLS TLS TLS refused', 'a certificate for another name')
  for (const url of [
    `postgres://${who}@/${pathname.slice(1)}?host=${dir}&port=${port}`,
    `postgres://${who}@${encodeURIComponent(dir)}:${port}${pathname}?sslmode=verify-full`
  ]) t.equal(await outcome(url), 'plain', 'a socket')
  const addresses = Object.values(networkInterfaces()).flat().map((each) => each?.address)
  if (addresses.includes('::1')) t.equal(await withModes('[::1]', ['']), 'plain')
})
