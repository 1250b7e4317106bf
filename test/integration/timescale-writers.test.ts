/**
 * Which rows count as late on TimescaleDB. The WebAssembly build has one connection: the function is tested on a plain
 * server, since it needs nothing of the extension.
 */
import { BUILT_IN } from '../support/points/built-in.js'
import t from 'tap'
import { connect } from '../../lib/database/connection.js'
import { migrate } from '../../lib/schema/migrate.js'
import { readMigrations } from '../../lib/schema/sql-files.js'
import { createTestDatabase, startTestPostgres } from '../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { pointStore } from '../support/database/stored-rows.js'

const HOUR_MS = 3_600_000
const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const server = await startTestPostgres(t)

t.test('late rows are noted, buckets only if the policies no longer refresh them, and no writer waits', async t => {
  const url = await createTestDatabase(server)
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  await migrate(database, SCHEMA_SETTINGS)
  const { sql } = (await readMigrations(
    BUILT_IN)).find(({ name, kind }) => name === '0006-rollups' && kind === 'timescale')!
  const [noteRows = ''] = /CREATE OR REPLACE FUNCTION orbitstream_note_rows [^]*?\$\$[^]*?\$\$;/.exec(sql)!
  await database.query(`${noteRows} SET statement_timeout = '2s'`)
  const store = await pointStore(database)
  const entered = async (): Promise<unknown[]> => (await database.query(`
    SELECT (SELECT count(*)::int FROM rollup_dirty) AS buckets,
           (SELECT count(*)::int FROM satellites_late) AS satellites,
           (SELECT count(*)::int FROM satellites_latest) AS latest`)).rows
  const point = (satellite: string, ageMs: number) => ({ satellite, timeMs: Date.now() - ageMs, values: [1] })

  await store([point('in time', 0)])
  t.same(await entered(), [{ buckets: 0, satellites: 0, latest: 1 }], 'nothing is noted')

  const other = await connect(url, OPTIONS)
  t.teardown(() => other.close())
  await other.query('BEGIN; SELECT orbitstream_note_rows(now(), ARRAY[now()])')
  await store([point('in time', 0), point('old', 5 * HOUR_MS), point('younger', HOUR_MS)])
  t.same(await entered(), [{ buckets: 1, satellites: 3, latest: 3 }], 'what the policies still refresh is left to them')
  await other.query('COMMIT')
})
