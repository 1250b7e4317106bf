import t from 'tap'
import { fillTable } from '../../../benchmarks/scenarios/fill.js'
import { connect } from '../../../lib/database/connection.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { createTestDatabase, startTestPostgres } from '../../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'

t.test('an incomplete last block stays within the requested time span', async t => {
  const server = await startTestPostgres(t, { fsync: false })
  const db = await connect(await createTestDatabase(server), { applicationName: 'test', connectTimeoutMs: 5_000 })
  t.teardown(() => { db.destroy() })
  await migrate(db, SCHEMA_SETTINGS)
  const beganMs = Date.now()
  await fillTable(db, { rows: 41_234, satellites: 100, spanSeconds: 600 })
  const endedMs = Date.now()
  const { rows } = await db.query<{ count: number, satellites: number, first: Date, last: Date }>(
    'SELECT count(*)::int AS count, count(DISTINCT satellite_id)::int AS satellites, min("time") AS first, ' +
      'max("time") AS last FROM telemetry')
  t.match(rows, [{ count: 41_234, satellites: 100 }])
  t.ok(rows[0]!.last.getTime() <= endedMs, 'none in the future')
  t.ok(rows[0]!.first.getTime() >= beganMs - 600_000 - 1)
})
