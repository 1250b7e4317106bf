/** `migrate --dry-run` and `migrate` with the real program. */
import t, { type Test } from 'tap'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { runIngest } from '../support/programs/command.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { makePrerelease } from '../support/database/prerelease.js'

const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => database.close())
  return database
}

/** Output of `migrate`, which must succeed. */
async function run (env: Record<string, string>, ...words: string[]): Promise<string> {
  const { code, out, err } = await runIngest(['migrate', ...words], env)
  if (code !== 0) throw new Error(err)
  return out
}

t.test('a dry run prints migrations and settings without secrets, and changes nothing', async t => {
  const url = await createTestDatabase(server)
  const env = { DATABASE_URL: url }
  const withPassword = { ...env, READER_PASSWORD: 'hunter2-and-more' }
  for (const turn of [1, 2]) {
    const plan = await run(withPassword, '--dry-run')
    t.match(plan, /-- 0001-ledger \(plain\)\n[^]*-- 0006-rollups \(plain\)/, `turn ${turn}`)
    t.match(plan, /GRANT SELECT ON public\.telemetry, .* TO orbitstream_reader;/)
    t.match(plan, /ALTER ROLE orbitstream_reader LOGIN PASSWORD '\*\*\*';/)
    t.match(plan, /SELECT orbitstream_make_partitions\('\{.*Z,.*Z\}', \d+\);/)
    t.match(plan, /REVOKE TEMPORARY ON DATABASE \w+ FROM PUBLIC;\n[^]*REVOKE EXECUTE ON FUNCTION lo_/)
    t.match(plan, /-- \d+ migrations and 4 settings would be applied/)
    t.notMatch(plan, 'hunter2')
  }
  t.match(await run(withPassword), /Applied: 0001-ledger, /)
  t.match(await run(env, '--dry-run'), 'The database is up to date.')
  const db = await open(t, url)
  await db.query('SELECT orbitstream_drop_partitions(now(), 100)')
  await db.query('ALTER TABLE telemetry DROP COLUMN storage_usage_mb CASCADE')
  const grown = await run(env, '--dry-run')
  t.match(grown, /SELECT orbitstream_make_partitions/)
  t.match(grown, /New metrics: storage_usage_mb\.[^]*ADD COLUMN "storage_usage_mb" double precision;/)
  t.notMatch(grown, 'up to date')
  await run(env)
  t.match(await run(env, '--dry-run'), 'The database is up to date.')
  await makePrerelease(db, 'plain')
  t.match(
    await run(env, '--dry-run'), /^-- upgrade of a pre-release database\n[^]*INSERT INTO public\.schema_migrations /)
  t.match(await run(env), /^The database is up to date \(version \d+, plain\)\.\n$/)
})

t.test('a table of the first release is announced, and adopted with its rows', async t => {
  const url = await createTestDatabase(server)
  const db = await open(t, url)
  await db.query(`
    CREATE TABLE telemetry (time timestamptz NOT NULL, satellite_id varchar(50) NOT NULL,
      battery_charge_percent real, storage_usage_mb real, signal_strength_dbm real);
    INSERT INTO telemetry SELECT now() - i * interval '7 minutes', 'SAT-' || i % 9, i, i, -i
    FROM generate_series(0, 1999) i`)
  const env = { DATABASE_URL: url }
  const sums = async (): Promise<unknown> => (await db.query(`
    SELECT count(*), sum(battery_charge_percent::float8) AS a, sum(storage_usage_mb::float8) AS b,
           sum(signal_strength_dbm::float8) AS c, min(time), max(time)
    FROM telemetry`)).rows
  const before = await sums()
  t.match(await run(env, '--dry-run'), /^-- The table telemetry exists already: it is adopted with all its rows/)
  const relations = await db.query("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
  t.same(relations.rows, [{ relname: 'telemetry' }], 'a dry run changes nothing')
  await run(env)
  t.same(await sums(), before)
  const rolledUp = await db.query('SELECT sum(points)::int AS points FROM telemetry_1m')
  t.same(rolledUp.rows, [{ points: 2_000 }], 'the rollups have them at once')
  t.equal((await db.query('SELECT FROM satellites_latest')).rowCount, 9)
  t.notMatch(await run(env, '--dry-run'), 'is there already')
})

t.test('a database whose version of TimescaleDB is missing on the server', async t => {
  const url = await createTestDatabase(server)
  const db = await open(t, url)
  // As the extension does it: a library loaded for each session of this database.
  const name = new URL(url).pathname.slice(1)
  await db.query(`ALTER DATABASE ${name} SET session_preload_libraries = 'timescaledb-2.0.0'`)
  const refused = {
    code: 1, err: /cannot load the version of TimescaleDB that this database uses: .*timescaledb-2\.0\.0/
  }
  t.match(await runIngest(['migrate', '--database-url', url]), refused)
  const start = ['start', '--port', '0', '--data-dir', await temporaryDirectory(t), '--database-url', url]
  t.match(await runIngest(start), refused, 'waiting would not help')
})

t.test('with the embedded database, logs go to standard error and leave the output parseable', async t => {
  const place = ['--data-dir', await temporaryDirectory(t)]
  t.equal((await runIngest(['migrate', ...place])).code, 0)
  const planned = await runIngest(['migrate', '--dry-run', ...place])
  t.match(planned, { code: 0, out: /^The database is up to date.\n$/, err: /embedded/ })
  const limits = await runIngest(['limits', 'get', ...place])
  t.match(limits, { code: 0, err: /embedded/ })
  t.hasProp(JSON.parse(limits.out), 'default')
})
