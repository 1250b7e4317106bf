/** Which points a default of RETENTION may drop, on plain PostgreSQL; on TimescaleDB see timescale.test.ts. */
import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { createTestDatabase, startTestPostgres } from '../../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'
import { setBack } from '../../support/database/retention.js'
import type { Owner } from '../../support/owner.js'

const server = await startTestPostgres(t)

async function openNew (owner: Owner): Promise<Database> {
  const options = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
  const database = await connect(await createTestDatabase(server), options)
  owner.teardown(() => database.close())
  return database
}

t.test('a table with points older than the default is adopted once RETENTION is said', async (t) => {
  const database = await openNew(t)
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

t.test('a RETENTION that was lost drops nothing: points were kept for longer than the default', async (t) => {
  const database = await openNew(t)
  const byDefault = { ...SCHEMA_SETTINGS, retentionIsDefault: true }
  const store = async (ageDays: number): Promise<void> => {
    const timeMs = Date.now() - ageDays * DAY_MS
    await makePartitions(database, [timeMs])
    await database.query("INSERT INTO telemetry VALUES (to_timestamp($1 / 1000.0), 'A')", [timeMs])
  }
  await migrate(database, { ...byDefault, retentionMs: 365 * DAY_MS })
  await setBack(database, '0 seconds')
  await store(31)
  // As of a clock that began in 1970.
  await makePartitions(database, [0])
  await migrate(database, byDefault)
  t.pass('what expired within the last day is no sign, and neither are partitions without points')

  await store(40)
  await setBack(database, '11 days')
  await migrate(database, byDefault)
  t.pass('what expired while no server ran is no sign')
  await setBack(database, '0 seconds')
  await t.rejects(migrate(database, byDefault), {
    name: 'StartupError',
    message: /The table telemetry has points back to .*default of 30d.*Set RETENTION=4[12]d to keep them, or RETENTION=30d/
  })
  await setBack(database, '-4000 days')
  await t.rejects(migrate(database, byDefault), /RETENTION is not set/)
  await database.query("DELETE FROM telemetry WHERE time < now() - interval '35 days'")
  await migrate(database, byDefault)
  t.pass('a clock that was ahead is no sign')

  await store(40)
  await setBack(database, '0 seconds')
  await migrate(database, { ...byDefault, retentionIsDefault: false })
  t.pass('a RETENTION that is set is a decision')
})
