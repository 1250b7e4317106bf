/** Databases made before 0.1.0, on plain PostgreSQL; on TimescaleDB see timescale.test.ts. */
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { migrate, migrateSchema, planMigrations } from '../../../lib/schema/migrate.js'
import { METRICS } from '../../support/points/built-in.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'
import { functionsOf, historyOf, makePrerelease } from '../../support/database/prerelease.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'
import { pointStore } from '../../support/database/stored-rows.js'

const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(() => database.close())
  return database
}

async function withPoint (t: Test): Promise<{ database: Database, url: string }> {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SCHEMA_SETTINGS)
  await (await pointStore(database))([{ satellite: 'A', timeMs: Date.now(), values: [1] }])
  return { database, url }
}

t.test('at the last migration, it is brought to the new set by whichever host comes first', async (t) => {
  const { database, url } = await withPoint(t)
  const [functions, history] = [await functionsOf(database), await historyOf(database)]
  await database.query('CREATE VIEW ours AS SELECT * FROM telemetry_1m')
  await makePrerelease(database, 'plain')
  t.match(await planMigrations(database), { converts: true, pending: [], kind: 'plain' })

  const hosts = [database, await open(t, url), await open(t, url)]
  const outcomes = await Promise.all(hosts.map(async (host) => await migrate(host, SCHEMA_SETTINGS)))
  t.same(outcomes.map(({ applied }) => applied), [[], [], []])
  t.match(await planMigrations(database), { converts: false, pending: [] })
  t.same(await historyOf(database), history)
  t.same(await functionsOf(database), functions)
  t.equal((await database.query('SELECT FROM telemetry')).rowCount, 1, 'its points are kept')
  t.equal((await database.query('SELECT FROM ours')).rowCount, 1)
})

t.test('a metric that is new as well', async (t) => {
  const { database } = await withPoint(t)
  await makePrerelease(database, 'plain')
  const name = METRICS.at(-1)!.name
  await database.query(`ALTER TABLE telemetry DROP COLUMN ${name} CASCADE`)
  await migrateSchema(database, { log: silentLog })
  t.match(await planMigrations(database), { converts: false, pending: [] })
  t.equal((await database.query(`SELECT ${name}_avg FROM telemetry_10s`)).rowCount, 1)
})

t.test('at an earlier migration, it is refused and left alone', async (t) => {
  const { database } = await withPoint(t)
  await makePrerelease(database, 'plain', 18)
  const history = await historyOf(database)
  await t.rejects(migrate(database, SCHEMA_SETTINGS), {
    name: 'StartupError',
    message: /is at migration 0018-partitions;.* only upgrade it from 0021-rollup-buckets\. First start the last/
  })
  t.same(await historyOf(database), history)
})
