/** Every dashboard query on PostgreSQL without TimescaleDB. */
import t from 'tap'
import { connect } from '../../lib/database/connection.js'
import { migrate } from '../../lib/schema/migrate.js'
import { everyQueryAnswers } from '../support/answers/dashboard-answers.js'
import { ALERT_RULES, allQueries, RANGES } from '../../grafana/queries/dashboards.js'
import { expandMacros } from '../../grafana/queries/macros.js'
import { createTestDatabase, startTestPostgres } from '../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../support/answers/same-answers.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const server = await startTestPostgres(t)

t.test('with data', async (t) => {
  const database = await connect(await createTestDatabase(server), OPTIONS)
  t.teardown(() => database.close())
  await everyQueryAnswers(t, database)
})

t.test('an empty database: no query fails, and alerts have a number or are silent without one', async (t) => {
  const database = await connect(await createTestDatabase(server), OPTIONS)
  t.teardown(() => database.close())
  await migrate(database, SCHEMA_SETTINGS)
  await database.query('SET ROLE orbitstream_reader')
  const to = new Date()
  for (const { title, purpose, sql } of allQueries()) {
    const text = expandMacros(sql, {
      from: new Date(to.getTime() - RANGES[1].rangeMs),
      to,
      intervalMs: 10_000,
      variables: { satellite: '', silent: '1m', __searchFilter: '%' }
    })
    const { rows } = await database.query(text)
    if (purpose !== 'alert') continue
    t.ok(rows.every((row) => Object.values(row).every((value) => value !== null)), title)
    t.ok(
      rows.length > 0 || ALERT_RULES.some((rule) => title === `alert: ${rule.title}` && rule.noDataState === 'OK'),
      `${title}: no row is no alarm`
    )
  }
})

t.test('the reader can only read', async (t) => {
  const database = await connect(await createTestDatabase(server), OPTIONS)
  t.teardown(() => database.close())
  await migrate(database, SCHEMA_SETTINGS)
  await database.query('SET ROLE orbitstream_reader')
  for (const sql of ['DELETE FROM ingest_stats', 'UPDATE limits SET version = 2', 'DROP TABLE telemetry']) {
    await t.rejects(database.query(sql), /permission denied|must be owner/)
  }
})
