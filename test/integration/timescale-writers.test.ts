/**
 * Who stores rows on TimescaleDB waits for nobody. The WebAssembly build has one connection: what is asked of several is
 * asked of a plain server with the function of TimescaleDB, which needs nothing of the extension.
 */
import t from 'tap'
import { connect } from '../../lib/database/connection.js'
import { migrate } from '../../lib/schema/migrate.js'
import { readMigrations } from '../../lib/schema/sql-files.js'
import { createTestDatabase, startTestPostgres } from '../support/postgres.js'
import { SCHEMA_SETTINGS } from '../support/same-answers.js'
import { pointStore } from '../support/stored-rows.js'

const HOUR_MS = 3_600_000
const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const server = await startTestPostgres(t)

t.test('somebody holds the lock of those who store rows', async t => {
  const url = await createTestDatabase(server)
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  await migrate(database, SCHEMA_SETTINGS)
  const { sql } = (await readMigrations()).find(({ version, kind }) => version === 6 && kind === 'timescale')!
  const [noteRows = ''] = /CREATE OR REPLACE FUNCTION orbitstream_note_rows [^]*?\$\$[^]*?\$\$;/.exec(sql)!
  const [lock = ''] = /(?<=lock_shared\()\d+/.exec(noteRows)!
  await database.query(`${noteRows} SET statement_timeout = '2s'`)
  const store = await pointStore(database)
  const entered = async (): Promise<unknown[]> => (await database.query(
    'SELECT (SELECT count(*)::int FROM rollup_dirty) AS buckets, (SELECT count(*)::int FROM satellites_late) AS satellites, (SELECT count(*)::int FROM satellites_latest) AS latest')).rows
  const point = (satellite: string, ageMs: number) => ({ satellite, timeMs: Date.now() - ageMs, values: [1] })

  await store([point('in time', 0)])
  t.same(await entered(), [{ buckets: 0, satellites: 0, latest: 1 }], 'nothing is noted')

  const other = await connect(url, OPTIONS)
  t.teardown(() => other.close())
  await other.query(`SELECT pg_advisory_lock(${lock})`)
  await store([point('in time', 0), point('old', 5 * HOUR_MS), point('younger', HOUR_MS)])
  t.same(await entered(), [{ buckets: 1, satellites: 3, latest: 3 }], 'all count as late; what the policies reach is left to them')

  await other.query(`SELECT pg_advisory_unlock(${lock})`)
  await store([point('in time', 0)])
  t.same(await entered(), [{ buckets: 1, satellites: 3, latest: 3 }], 'as before')
})
