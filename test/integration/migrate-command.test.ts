/** `migrate --dry-run` and `migrate`, as people run them. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { connect } from '../../lib/database/connection.js'
import { runIngest } from '../support/command.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/postgres.js'

const PROGRAM = fileURLToPath(new URL('../../../bin/orbitstream-ingest', import.meta.url))
const server = await startTestPostgres(t)

t.test('dry-run prints migrations and settings, without secrets, and does nothing', async t => {
  const url = await createTestDatabase(server)
  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: url, READER_PASSWORD: 'hunter2-and-more' }
  const run = async (...words: string[]): Promise<string> => (await promisify(execFile)(process.execPath, [PROGRAM, 'migrate', ...words], { env })).stdout
  for (const turn of [1, 2]) {
    const plan = await run('--dry-run')
    t.match(plan, /-- 0001-ledger \(plain\)\n[^]*-- 0006-rollups \(plain\)/, `turn ${turn}`)
    t.match(plan, /GRANT SELECT ON public\.telemetry, .* TO orbitstream_reader;/)
    t.match(plan, /ALTER ROLE orbitstream_reader LOGIN PASSWORD '\*\*\*';/)
    t.match(plan, /SELECT orbitstream_make_partitions\('\{.*Z,.*Z\}', \d+\);/)
    t.match(plan, /REVOKE TEMPORARY ON DATABASE \w+ FROM PUBLIC;\n[^]*REVOKE EXECUTE ON FUNCTION lo_/)
    t.match(plan, /-- \d+ migrations and 4 settings would be applied/)
    t.notMatch(plan, 'hunter2')
  }
  t.match(await run(), /Applied: 0001-ledger, /)
  env.READER_PASSWORD = ''
  t.match(await run('--dry-run'), 'The database is up to date.')
  const db = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => db.close())
  await db.query('SELECT orbitstream_drop_partitions(now()); ALTER TABLE telemetry DROP COLUMN storage_usage_mb CASCADE')
  const grown = await run('--dry-run')
  t.match(grown, /SELECT orbitstream_make_partitions/)
  t.match(grown, /catalogue of metrics: storage_usage_mb\.[^]*ADD COLUMN "storage_usage_mb" double precision;/)
  t.notMatch(grown, 'up to date')
  await run()
  t.match(await run('--dry-run'), 'The database is up to date.')
})

t.test('a table of the first release is announced, and taken over with its rows', async t => {
  const url = await createTestDatabase(server)
  const db = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => db.close())
  await db.query(`
    CREATE TABLE telemetry (time timestamptz NOT NULL, satellite_id varchar(50) NOT NULL, battery_charge_percent real, storage_usage_mb real, signal_strength_dbm real);
    INSERT INTO telemetry SELECT now() - i * interval '7 minutes', 'SAT-' || i % 9, i, i, -i FROM generate_series(0, 1999) i`)
  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: url }
  const run = async (...words: string[]): Promise<string> => (await promisify(execFile)(process.execPath, [PROGRAM, 'migrate', ...words], { env })).stdout
  const sums = async (): Promise<unknown> => (await db.query('SELECT count(*), sum(battery_charge_percent::float8) AS a, sum(storage_usage_mb::float8) AS b, sum(signal_strength_dbm::float8) AS c, min(time), max(time) FROM telemetry')).rows
  const before = await sums()
  t.match(await run('--dry-run'), /^-- The table telemetry is there already: it is taken over with all its rows/)
  t.same((await db.query("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")).rows, [{ relname: 'telemetry' }], 'and nothing was done')
  await run()
  t.same(await sums(), before)
  t.same((await db.query('SELECT sum(points)::int AS points FROM telemetry_1m')).rows, [{ points: 2_000 }], 'the rollups have them at once')
  t.equal((await db.query('SELECT FROM satellites_latest')).rowCount, 9)
  t.notMatch(await run('--dry-run'), 'is there already')
})

t.test('a database whose TimescaleDB the server does not have', async t => {
  const url = await createTestDatabase(server)
  const db = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => db.close())
  // By the same way as the extension: a library that is loaded for a session of this database.
  await db.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET session_preload_libraries = 'timescaledb-2.0.0'`)
  const refused = { code: 1, err: /cannot load TimescaleDB as this database has it: .*timescaledb-2\.0\.0/ }
  t.match(await runIngest(['migrate', '--database-url', url]), refused)
  t.match(await runIngest(['start', '--port', '0', '--data-dir', await temporaryDirectory(t), '--database-url', url]), refused, 'no waiting mends it')
})

t.test('with the embedded database, what is printed is for other programs too: logs go to standard error', async t => {
  const place = ['--data-dir', await temporaryDirectory(t)]
  t.equal((await runIngest(['migrate', ...place])).code, 0)
  t.match(await runIngest(['migrate', '--dry-run', ...place]), { code: 0, out: /^The database is up to date.\n$/, err: /embedded/ })
  const limits = await runIngest(['limits', 'get', ...place])
  t.match(limits, { code: 0, err: /embedded/ })
  t.hasProp(JSON.parse(limits.out), 'default')
})
