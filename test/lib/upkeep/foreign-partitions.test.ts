/** Partitions that somebody else made or uses: what the start and maintenance do all the same. */
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { startMaintenance } from '../../../lib/upkeep/maintenance.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { migrated, nameOf, OPTIONS, SETTINGS } from '../../support/database/migrated.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'

const server = await startTestPostgres(t)

interface Round {
  readonly warnings: string[]
  readonly error: string | null
}

/** One round of maintenance. */
async function keep (t: Test, url: string, nowMs = Date.now()): Promise<Round> {
  const warnings: string[] = []
  const log = { ...silentLog, warn: (_: object, message: string) => { warnings.push(message) } }
  const maintenance = startMaintenance({
    connect: () => connect(url, OPTIONS), settings: SETTINGS, log, now: () => nowMs
  })
  t.teardown(() => maintenance.close())
  await maintenance.runNow()
  const { lastError: error } = maintenance
  await maintenance.close()
  return { warnings, error }
}

async function names (database: Database, table: string): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(`SELECT name FROM orbitstream_partitions_of('${table}')`)
  return rows.map(({ name }) => name)
}

t.test('a day whose points are in a DEFAULT partition holds up no other day, and no start', async (t) => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  const dayOf = (days: number): string => nameOf(Date.now() + days * DAY_MS)
  await database.query(`
    CREATE TABLE telemetry_rest PARTITION OF telemetry DEFAULT;
    INSERT INTO telemetry VALUES (now() + interval '5 days', 'A')`)
  const { warnings, error } = await keep(t, url, Date.now() + 3 * DAY_MS)
  t.equal(error, null)
  t.equal(warnings.filter((message) => message.includes('go into the DEFAULT partition')).length, 1)
  const made = await names(database, 'telemetry')
  t.ok([4, 6].every((days) => made.includes(dayOf(days))))
  t.notOk(made.includes(dayOf(5)))
  for (const table of ['rollup_10s', 'rollup_1m', 'anomalies']) {
    t.ok((await names(database, table)).includes(dayOf(5).replace('telemetry', table)), 'its rollups can be made')
  }
  await database.query(`DROP TABLE ${dayOf(2)}; INSERT INTO telemetry VALUES (now() + interval '2 days', 'A')`)
  await migrate(database, { ...SETTINGS, log: silentLog })
  await database.query('DELETE FROM telemetry_rest')
  t.match(await keep(t, url), { error: null })
  t.ok((await names(database, 'telemetry')).includes(dayOf(2)), 'once they are gone')
})
