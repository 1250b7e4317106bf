/** Which points a default of RETENTION may drop, on plain PostgreSQL; on TimescaleDB see timescale.test.ts. */
import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { createTestDatabase, startTestPostgres } from '../../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'

t.test('a table with points older than the default is adopted once RETENTION is said', async (t) => {
  const database = await connect(
    await createTestDatabase(await startTestPostgres(t)),
    { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => database.close())
  await database.query(
    `CREATE TABLE telemetry (time timestamptz, satellite_id text); INSERT INTO telemetry
      SELECT now() - d * interval '1 day', 'A' FROM unnest(ARRAY[1, 89]) d`)
  const byDefault = { ...SCHEMA_SETTINGS, retentionIsDefault: true }
  await t.rejects(
    migrate(database, byDefault),
    {
      name: 'StartupError',
      message: /has points back to .*default of 30d.*Set RETENTION=91d to keep them, or RETENTION=30d to drop them/
    })
  t.same(
    (await database.query("SELECT to_regclass('schema_migrations') AS made")).rows, [{ made: null }],
    'nothing was done')
  await migrate(database, { ...SCHEMA_SETTINGS, retentionMs: 91 * DAY_MS })
  t.equal((await database.query('SELECT FROM telemetry')).rowCount, 2)
  await migrate(database, byDefault)
})
