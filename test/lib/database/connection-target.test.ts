/** Database URLs, parsed as libpq does. */
import * as fc from 'fast-check'
import t from 'tap'
import { loadConfig } from '../../../lib/config/config.js'
import {
  completeTarget, maskTarget, parseTarget, type ConnectionTarget
} from '../../../lib/database/connection-target.js'

type Shown = Partial<ConnectionTarget & ConnectionTarget['hosts'][number]>

/** What differs from the defaults; a single host as `host` and `port`. */
function target (text: string): Shown {
  const parsed = parseTarget(text)
  if (!parsed.ok) throw new Error(parsed.message)
  const { hosts, ...rest } = parsed.value
  const places = hosts.length === 1 ? hosts[0] : { hosts }
  const defaults: readonly unknown[] = [null, false, 'disable', 'any', 'localhost', 5432]
  return Object.fromEntries(Object.entries({ ...places, ...rest }).filter(([, value]) => !defaults.includes(value)))
}

const READ: ReadonlyArray<readonly [text: string, target: Shown]> = [
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
    'postgres://me:1#@h/d#e?application_name=f#&password=g#h',
    { user: 'me', password: 'g#h', host: 'h', database: 'd#e', applicationName: 'f#' }
  ],
  [
    'postgres://h?sslmode=verify-ca&sslrootcert=/ca&sslcert=/c&sslkey=/k',
    { host: 'h', sslMode: 'verify-ca', sslRootCert: '/ca', sslCert: '/c', sslKey: '/k' }
  ],
  ['postgres://h?ssl=true', { host: 'h', sslMode: 'verify-full' }],
  ['postgres://h?ssl=false', { host: 'h' }],
  ['postgres://h?sslrootcert=system', { host: 'h', sslMode: 'verify-full', sslRootCert: 'system' }],
  ['postgres://h?ssl=no-verify', { host: 'h', sslMode: 'no-verify' }],
  ['postgres://h?sslnegotiation=direct', { host: 'h', sslMode: 'require', sslDirect: true }],
  ['postgres://h?connect_timeout=5&channel_binding=prefer', { host: 'h', connectTimeoutMs: 5_000 }],
  ['postgres://h?connect_timeout=-1', { host: 'h' }],
  ['postgres://h?target_session_attrs=primary', { host: 'h', sessionAttributes: 'primary' }],
  ['postgres://h?host=a&port=1&host=b', { host: 'b', port: 1 }]
]

/** Each as libpq 15 reads it: the addresses in the order in which psql tries them. */
const HOSTS: ReadonlyArray<readonly [text: string, hosts: string]> = [
  ['postgres://a,b,c/d', 'a:5432 b:5432 c:5432'],
  ['postgres://me:p%2Cw@a:5433,b,c:5434/d', 'a:5433 b:5432 c:5434'],
  ['postgres://[::1],[fe80::1%25lo]:5433,h/d', '::1:5432 fe80::1%lo:5433 h:5432'],
  ['postgres://%2Frun%2Fpg:1,h/d', '/run/pg:1 h:5432'],
  ['postgres://a,/d', 'a:5432 localhost:5432'],
  ['postgres://a%2Cb:1,c:2/d?port=3', 'a:3 b:3 c:3'],
  ['postgres:///d?host=a,::1,/run/pg&port=1,,3', 'a:1 ::1:5432 /run/pg:3'],
  ['postgres://x/d?host=a,b&port=6000', 'a:6000 b:6000'],
  ['postgres:///d?host=a,b', 'a:5432 b:5432']
]

t.test('several hosts', t => {
  const hostsOf = (text: string): string | undefined =>
    target(text).hosts?.map(({ host, port }) => `${host}:${port}`).join(' ')
  for (const [text, hosts] of HOSTS) t.equal(hostsOf(text), hosts, text)
  const attributesOf = (attributes: string): unknown => {
    const parsed = parseTarget(`postgres://a,b/d?target_session_attrs=${attributes}`)
    return parsed.ok ? parsed.value.sessionAttributes : parsed.message
  }
  for (const attributes of ['', 'any', 'read-write']) t.equal(attributesOf(attributes), 'read-write')
  t.equal(attributesOf('primary'), 'primary')
  for (const attributes of ['standby', 'prefer-standby', 'read-only']) {
    t.match(attributesOf(attributes), `target_session_attrs=${attributes}, but points can only be stored on a server`)
  }
  t.end()
})

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
    ], ['h/d', /must begin with/], ['postgres://a:1,b:x/d', /not a valid URL/], ['postgres://[h]/d', /not a valid URL/],
    ['postgres://a:1,b:70000', /port "70000"/], ['postgres://a,b,c?port=1,2', /2 ports for 3 hosts/],
    ['postgres://a:1,b:2?host=h', /2 ports for 1 host;/], ['postgres://h?connect_timeout=5s', /connect_timeout "5s"/],
    ['postgres://h?target_session_attrs=master', /target_session_attrs "master".*read-write/], ['postgres://h:port/d', /not a valid URL/], ['postgres://h?port=0', /port "0"/],
    ['postgres://me:s?cret@h', /not a valid URL/], ['postgres://h?sslmode=on', /sslmode "on".*verify-full/],
    ['postgres://h?ssl=require', /ssl "require".*use sslmode/],
    ['postgres://h?sslmode=require&sslrootcert=system', /sslrootcert=system, which needs sslmode=verify-full/]
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
  const completed = (text: string, env: Readonly<Record<string, string>> = ENV): Shown => {
    const value = completeTarget(text, env)
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
  const lists = { PGHOST: 'a,/run/pg', PGPORT: '1,2', PGTARGETSESSIONATTRS: 'primary', PGCONNECT_TIMEOUT: '3' }
  const common = { sessionAttributes: 'primary', connectTimeoutMs: 3_000 } as const
  const hosts = [{ host: 'a', port: 1 }, { host: '/run/pg', port: 2 }]
  t.strictSame(completed('postgres://', lists), { hosts, ...common })
  t.strictSame(completed('postgres://x,y:4/', lists), {
    hosts: [{ host: 'x', port: 5432 }, { host: 'y', port: 4 }], ...common
  }, 'a port in the URL means that none comes from the environment')
  t.match(completeTarget('postgres://x/', lists), { ok: false, message: /2 ports for 1 host;/ })
  t.match(completeTarget('postgres://h', { PGTARGETSESSIONATTRS: 'standby' }), { ok: false, message: /accepts writes/ })
  t.strictSame(completeTarget('postgres://h', { PGHOST: 'other', PGUSER: '' }), { ok: true, value: 'postgres://h' })
  t.strictSame(completed('postgres://me#@h/d#', { PGPORT: '1' }), { host: 'h', port: 1, user: 'me#', database: 'd#' })
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
  t.equal(maskTarget('postgres://me:secret@a:1,[::1]:2/d'), 'postgres://me:***@a:1,[::1]:2/d')
  t.equal(maskTarget('postgres://a,b/d?password=secret'), 'postgres://a,b/d?password=***')
  t.equal(maskTarget('postgres://me:secret@/d?host=/run'), 'postgres://me:***@/d?host=/run')
  t.end()
})
