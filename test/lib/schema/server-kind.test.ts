import t from 'tap'
import { migrate, planMigrations } from '../../../lib/schema/migrate.js'
import { prepareServer, serverKind, timescaleHindrance, withLibrary } from '../../../lib/schema/server-kind.js'
import type { Database } from '../../../lib/database/database.js'
import { directCompressHindrance, inspectDirectCompress } from '../../../lib/drain/direct-compress.js'
import { scramVerifier } from '../../../lib/schema/reader.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'
import { serverError } from '../../support/database/fake-database.js'

/** A database that answers every statement with the same row, or fails; keeps what it was asked. */
function answering (row: object | Error): Database & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    alive: true,
    backendPid: 1,
    asked,
    onLost: () => undefined,
    query: (text: string) => {
      asked.push(text)
      return row instanceof Error ? Promise.reject(row) : Promise.resolve({ rows: [row as never], rowCount: 1 })
    },
    copyAfter: () => Promise.resolve({ counts: [], copied: 0 }),
    close: () => Promise.resolve(),
    destroy: () => undefined
  }
}

t.test('TimescaleDB counts where it is new enough, loaded, and of the community licence', async t => {
  const kind = (row: object): Promise<string> => serverKind(
    answering({ version: '2.28.1', installed: true, loaded: true, license: 'timescale', ...row }))
  t.equal(await kind({}), 'timescale')
  t.equal(await kind({ version: '2.13.0' }), 'timescale')
  t.equal(await kind({ version: '3.0.0-dev' }), 'timescale')
  t.equal(await kind({ version: '2.12.2' }), 'plain')
  t.equal(await kind({ version: '1.99.0' }), 'plain')
  t.equal(await kind({ version: null }), 'plain')
  t.equal(await kind({ installed: false }), 'timescale', 'loaded: it will be installed')
  t.equal(await kind({ installed: false, loaded: false }), 'plain', 'there, but not loaded')
  t.equal(await kind({ license: 'apache' }), 'plain')
})

t.test('what hinders TimescaleDB is said', async t => {
  t.equal(await prepareServer(answering({ license: 'timescale' })), 'timescale')
  t.equal(await prepareServer(answering({ license: 'apache' })), 'plain')
  await t.rejects(
    prepareServer(answering(serverError('42501'))),
    { name: 'StartupError', message: /superuser.*CREATE EXTENSION timescaledb/ })
  await t.rejects(prepareServer(answering(serverError('58P01'))), { code: '58P01' })
  const why = async (row: object): Promise<string | null> => await timescaleHindrance(
    answering({ version: '2.28.3', installed: false, loaded: true, license: 'timescale', ...row }))
  t.equal(await why({}), null)
  t.equal(await why({ version: null }), null, 'it is not to be had')
  t.match(await why({ loaded: false }), /does not load it \(shared_preload_libraries\)/)
  t.match(await why({ version: '2.9.3' }), /2\.9\.3 is older than 2\.13/)
  t.match(await why({ license: 'apache' }), /Apache licence/)
  await t.rejects(
    withLibrary(() => Promise.reject(serverError('58P01'))),
    {
      name: 'StartupError',
      message: /cannot load the version of TimescaleDB that this database uses.*ALTER EXTENSION timescaledb UPDATE/
    })
})

t.test('direct compress: only where the server does it, and the COPY is large', async t => {
  const able = { version: '2.24.0', known: true, aggregates: true, blockers: [] }
  const setting = async (answer: object, rows: number): Promise<string | null> => (await inspectDirectCompress(
    answering(answer))).setting(rows)
  t.match(await setting(able, 10_000), /^SET LOCAL timescaledb\./)
  t.equal(await setting(able, 9_999), null)
  t.equal(await setting({ ...able, version: '2.23.1' }, 10_000), null)
  const hindrance = async (answer: object): Promise<string | null> => await directCompressHindrance(
    answering({ ...able, ...answer }))
  t.equal(await hindrance({}), null)
  t.equal(await hindrance({ version: '3.0' }), null)
  t.equal(await hindrance({ version: '2.21.3', aggregates: false }), null)
  t.match(await hindrance({ version: null }), /no TimescaleDB/)
  t.match(await hindrance({ version: '2.20.0', known: false }), /2\.20\.0 does not support it/)
  t.match(await hindrance({ version: '2.23.1' }), /2\.23\.1 skips it for tables with continuous aggregates/)
  t.match(await hindrance({ blockers: ['telemetry_key'] }), /has telemetry_key/)
})

t.test('the verifier of a password, by the example of RFC 7677', t => {
  t.match(scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')),
    /^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$[\w+/]{43}=:[\w+/]{43}=$/)
  t.not(scramVerifier('pencil'), scramVerifier('pencil'), 'salted')
  t.end()
})

t.test('a plan for an empty server changes nothing', async t => {
  const database = answering({ there: false, version: '2.28.1', installed: false, loaded: true, license: null })
  t.equal((await planMigrations(database)).kind, 'timescale')
  t.notOk(database.asked.some(text => /CREATE|ALTER|INSERT/.test(text)))
  await t.rejects(migrate(answering(serverError('08006')), SCHEMA_SETTINGS), { code: '08006' })
})
