/** Partitions that somebody else made or uses: what the start and maintenance do all the same. */
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
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

t.test('a partition that cannot be dropped keeps no other from being dropped', async (t) => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  const old = [20, 19, 18].map((days) => Date.now() - days * DAY_MS)
  await makePartitions(database, old)
  const used = nameOf(old[1] as number)
  await database.query(`CREATE VIEW panel AS SELECT * FROM ${used}`)
  const before = await names(database, 'anomalies')
  t.match((await keep(t, url)).error, new RegExp(`cannot drop table ${used} because other objects depend on it`))
  const left = await names(database, 'telemetry')
  t.same(old.map(nameOf).filter((name) => left.includes(name)), [used])
  t.equal((await names(database, 'anomalies')).length, before.length - old.length)
  await database.query('DROP VIEW panel')
  t.match(await keep(t, url), { error: null })
  t.notOk((await names(database, 'telemetry')).includes(used))
})

t.test('a table that a session holds keeps no other from retention', async (t) => {
  const url = await createTestDatabase(server)
  const [database, holder] = [await migrated(t, url), await connect(url, OPTIONS)]
  t.teardown(() => holder.close())
  const old = Date.now() - 20 * DAY_MS
  await makePartitions(database, [old])
  await holder.query('BEGIN; SELECT FROM telemetry')
  t.match((await keep(t, url)).error, /holds telemetry/)
  t.ok((await names(database, 'telemetry')).includes(nameOf(old)))
  t.notOk((await names(database, 'anomalies')).includes(nameOf(old).replace('telemetry', 'anomalies')))
})
