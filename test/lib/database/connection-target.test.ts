/** Database URLs, parsed as libpq does. */
import * as fc from 'fast-check'
import t from 'tap'
import { loadConfig } from '../../../lib/config/config.js'
import {
  completeTarget, maskTarget, parseTarget, type ConnectionTarget
} from '../../../lib/database/connection-target.js'

function target (text: string): Partial<ConnectionTarget> {
  const parsed = parseTarget(text)
  if (!parsed.ok) throw new Error(parsed.message)
  return Object.fromEntries(Object.entries(parsed.value)
    .filter(([, value]) => value !== null && value !== false && value !== 'disable'))
}

const READ: ReadonlyArray<readonly [text: string, target: Partial<ConnectionTarget>]> = [
  ['postgres://', {}],
  ['postgresql://h', { host: 'h' }],
  ['postgres://me:pw@h:6432/d', { user: 'me', password: 'pw', host: 'h', port: 6432, database: 'd' }],
  ['postgres://me@/d', { user: 'me', database: 'd' }],
  [
    'postgres://me:pw@/d?host=/run/postgresql&port=6432',
    { user: 'me', password: 'pw', database: 'd', host: '/run/postgresql', port: 6432 }
  ],
  ['postgres://%2Frun%2Fpg/d', { host: '/run/pg', database: 'd' }],
  ['postgres:///d', { database: 'd' }],
  ['postgres://[::1]:5433/d', { host: '::1', port: 5433, database: 'd' }],
  ['postgres://h/?dbname=d&user=u&password=p', { host: 'h', database: 'd', user: 'u', password: 'p' }],
  [
    'postgres://o%27dd%20%25u%40:p%40%2F%3A%3F%23%25@h/da%2Fta%25%40%3Fbase',
    { user: "o'dd %u@", password: 'p@/:?#%', host: 'h', database: 'da/ta%@?base' }
  ],
  ['postgres://me:100%@h/d', { user: 'me', password: '100%', host: 'h', database: 'd' }],
  ['postgres://me:%ff@h', { user: 'me', password: '%ff', host: 'h' }],
  [
    'postgres://h?options=-c%20search_path%3Dapp&application_name=mine',
    { host: 'h', options: '-c search_path=app', applicationName: 'mine' }
  ],
  ['postgres://h?password=a+b', { host: 'h', password: 'a+b' }],
  [
    'postgres://h?sslmode=verify-ca&sslrootcert=/ca&sslcert=/c&sslkey=/k',
    { host: 'h', sslMode: 'verify-ca', sslRootCert: '/ca', sslCert: '/c', sslKey: '/k' }
  ],
  ['postgres://h?ssl=true', { host: 'h', sslMode: 'verify-full' }],
  ['postgres://h?ssl=no-verify', { host: 'h', sslMode: 'no-verify' }],
  ['postgres://h?sslnegotiation=direct', { host: 'h', sslMode: 'require', sslDirect: true }],
  ['postgres://h?connect_timeout=5&channel_binding=prefer', { host: 'h' }]
]

t.test('URLs', t => {
  for (const [text, expected] of READ) t.strictSame(target(text), expected, text)
  t.end()
})

t.test('anything encoded is decoded to the original', t => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter(each => !/^\.+$/.test(each))
  fc.assert(fc.property(text, text, text, (user, password, database) => {
    const encoded = [user, password, database].map(encodeURIComponent)
    const read = target(`postgres://${encoded[0]}:${encoded[1]}@h/${encoded[2]}`)
    t.equal(read.user, user)
    t.equal(read.password, password)
    t.equal(read.database, database)
  }), { examples: [['%', '%41', '%zz']] })
  t.end()
})

t.test('invalid database URLs', t => {
  for (const [text, message] of [
    [
      'mysql://h',
      /must begin with/
    ], ['h/d', /must begin with/], ['postgres://h:port/d', /not a valid URL/], ['postgres://h?port=0', /port "0"/],
    ['postgres://me:s#cret@h', /not a valid URL/], ['postgres://h?sslmode=on', /sslmode "on".*verify-full/]
  ] as const) t.match(parseTarget(text), { ok: false, message }, text)
  t.end()
})

const ENV = {
  PGHOST: '/run/pg',
  PGPORT: '6000',
  PGUSER: 'env user',
  PGPASSWORD: 'p%w',
  PGDATABASE: 'env/db',
  PGSSLMODE: 'require',
  PGSSLROOTCERT: '/ca',
  // None of these is used.
  PGOPTIONS: '-c search_path=app',
  PGAPPNAME: 'x',
  PGCLIENTENCODING: 'LATIN1',
  PGTZ: 'Asia/Tokyo',
  PGSERVICE: 'x'
}

t.test('the environment fills in what a URL omits, and changes nothing else', t => {
  const completed = (text: string): Partial<ConnectionTarget> => {
    const value = completeTarget(text, ENV)
    return value.ok ? target(value.value) : {}
  }
  const ssl = { sslMode: 'require', sslRootCert: '/ca' } as const
  t.strictSame(completed('postgres://'), {
    host: '/run/pg',
    port: 6000,
    user: 'env user',
    password: 'p%w',
    database: 'env/db',
    ...ssl
  })
  t.strictSame(completed('postgres://me@h/d?sslmode=disable'), {
    host: 'h',
    port: 6000,
    user: 'me',
    password: 'p%w',
    database: 'd',
    sslRootCert: '/ca'
  })
  t.strictSame(completeTarget('postgres://h', { PGHOST: 'other', PGUSER: '' }), { ok: true, value: 'postgres://h' })
  t.match(completeTarget('postgres://h', { PGSSLMODE: 'maybe' }), { ok: false, message: /sslmode "maybe"/ })
  t.end()
})

t.test('in the configuration, only with DATABASE_URL', t => {
  const urlOf = (env: Record<string, string>): unknown => {
    const loaded = loadConfig({ env })
    return loaded.ok ? loaded.config.databaseUrl : loaded.problems
  }
  t.equal(urlOf(ENV), null, 'the embedded database is unaffected')
  t.equal(urlOf({ DATABASE_URL: 'postgres://me@h/d', PGPASSWORD: 'secret' }), 'postgres://me@h/d?password=secret')
  t.match(urlOf({ DATABASE_URL: 'postgres://me@h/d', PGPORT: 'x' }), [{ setting: 'DATABASE_URL', message: /port "x"/ }])
  t.end()
})

t.test('displayed without secrets', t => {
  t.equal(maskTarget('postgres://me:secret@h/d?password=secret'), 'postgres://me:***@h/d?password=***')
  t.equal(maskTarget('postgres://me:secret@/d?host=/run'), 'postgres://me:***@/d?host=/run')
  t.end()
})
