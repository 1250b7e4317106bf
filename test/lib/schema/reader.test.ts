/** Rights of PUBLIC that orbitstream_reader would have: taken away, unless somebody else could miss them. */
import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { migrate, planSettings } from '../../../lib/schema/migrate.js'
import { silentLog, startTestPostgres } from '../../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'

const PASSWORD = 'correct horse'

t.test('the reader makes neither temporary tables nor large objects', async (t) => {
  // Roles belong to a whole server.
  const own = await startTestPostgres(t)
  const open = async (changes: { username?: string, password?: string, pathname?: string }): Promise<Database> => {
    const database = await connect(
      Object.assign(new URL(own.url), changes).href, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
    t.teardown(() => database.close())
    return database
  }
  const superuser = await open({})
  const warnings: string[] = []
  const log = Object.assign(
    Object.create(silentLog) as typeof silentLog, { warn: (_: unknown, text: string) => { warnings.push(text) } })
  const settings = { ...SCHEMA_SETTINGS, log }
  const writes = [
    'CREATE TEMPORARY TABLE t ()', 'CREATE TABLE public.t ()', 'SELECT lo_create(0)', "SELECT lo_from_bytea(0, '')"
  ]

  await superuser.query("CREATE ROLE other LOGIN PASSWORD 'secret'")
  await superuser.query('CREATE DATABASE shared')
  const shared = await open({ pathname: 'shared' })
  await shared.query('CREATE SCHEMA theirs AUTHORIZATION other')
  await migrate(shared, { ...settings, readerPassword: PASSWORD })
  t.match(
    warnings,
    [
      new RegExp('may create temporary tables, create large objects, as every role may; .*' +
        String.raw`other roles use this database \(other\)\. To revoke it: ` +
        'REVOKE TEMPORARY ON DATABASE shared FROM PUBLIC; ')
    ])
  await (await open({ username: 'other', password: 'secret', pathname: 'shared' })).query(writes[0]!)

  warnings.length = 0
  await superuser.query('CREATE DATABASE ours')
  const ours = await open({ pathname: 'ours' })
  await migrate(ours, { ...settings, readerPassword: PASSWORD })
  t.same(warnings, [])
  t.same(await planSettings(ours, 'plain', SCHEMA_SETTINGS), [], 'once')
  const reader = await open({ username: 'orbitstream_reader', password: PASSWORD, pathname: 'ours' })
  for (const sql of writes) await t.rejects(reader.query(sql), { code: '42501' }, sql)
  for (const name of ['telemetry_1m', 'catalogue']) await reader.query(`SELECT FROM ${name}`)
})
