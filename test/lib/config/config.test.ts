/** The configuration: sources, problems, warnings, and display. */
import t from 'tap'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { configTable, describeConfig, describeSettings, loadConfig } from '../../../lib/config/config.js'
import { logTarget, spoolDirectory } from '../../../lib/config/settings.js'
import type { ConfigProblem, ConfigSources } from '../../../lib/config/config.js'
import type { Config } from '../../../lib/config/settings.js'

function configOf (sources: ConfigSources): Config {
  const loaded = loadConfig(sources)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

function problemsOf (sources: ConfigSources): readonly ConfigProblem[] {
  const loaded = loadConfig(sources)
  return loaded.ok ? [] : loaded.problems
}

t.test('without sources every setting has its default', t => {
  t.same(configOf({ env: {} }), {
    host: '0.0.0.0',
    port: 8080,
    workers: Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2))),
    udpPorts: [8081],
    udpReceiveBufferBytes: 8 * 1024 * 1024,
    dataDir: resolve('data'),
    catalogue: null,
    databaseUrl: null,
    spoolDir: '',
    spoolMaxBytes: 10 * 1024 ** 3,
    spoolReserveBytes: 256 * 1024 * 1024,
    logReplicas: 3,
    logTakeoverMs: 30_000,
    batchSize: 1000,
    batchTimeoutMs: 1000,
    maxConnections: 50,
    memoryMaxBytes: 64 * 1024 * 1024,
    maxBodyBytes: 8 * 1024 * 1024,
    timeWindowPastMs: 30 * 86_400_000,
    timeWindowFutureMs: 300_000,
    unknownFields: 'reject',
    apiTokens: [],
    apiTokensFile: null,
    readOpen: 'off',
    udpKeysFile: null,
    udpOpen: 'off',
    tlsCert: null,
    tlsKey: null,
    tlsClientCa: null,
    allowedOrigins: [],
    clientRequests: null,
    clientPoints: null,
    clientConnections: null,
    trustedProxies: [],
    logLevel: 'info',
    retentionMs: 30 * 86_400_000,
    compressAfterMs: 2 * 3_600_000,
    chunkIntervalMs: 3_600_000,
    timescaleDirectCompress: 'off',
    distribute: 'off',
    readerPassword: null,
    shutdownDeadlineMs: 30_000,
    httpEngine: 'auto',
    threshold_battery_charge_percent: null,
    threshold_storage_usage_mb: null,
    threshold_signal_strength_dbm: null
  })
  t.end()
})

t.test('the spool is in DATA_DIR, elsewhere, or off', t => {
  const place = (env: Record<string, string>): string | null =>
    spoolDirectory(configOf({ env: { DATA_DIR: '/d', ...env } }))
  t.equal(place({}), '/d/spool')
  t.equal(place({ SPOOL_DIR: '/fast/spool' }), '/fast/spool')
  t.equal(place({ SPOOL_DIR: 'off' }), null)
  t.equal(configOf({ env: { SPOOL_DIR: 'here' } }).spoolDir, resolve('here'))
  t.end()
})

t.test('SPOOL_DIR may be servers of a replicated log; the password is not shown', t => {
  const url = 'nats://ingest:p%40ss@10.0.0.1,b.example:4333,[::1]:4222'
  const config = configOf({ env: { SPOOL_DIR: url } })
  t.equal(spoolDirectory(config), null)
  const servers = ['10.0.0.1', 'b.example:4333', '[::1]:4222']
  t.same(logTarget(config), { servers, user: 'ingest', password: 'p@ss' })
  t.same(logTarget(configOf({ env: { SPOOL_DIR: 'nats://a' } })), { servers: ['a'], user: null, password: null })
  t.equal(logTarget(configOf({})), null)
  t.match(logTarget(configOf({ env: { SPOOL_DIR: 'nats://u:%ff%zz@a' } })), { password: '%ff%zz' }, 'as it is')
  const shown = describeConfig(config, { env: { SPOOL_DIR: url } }).find(({ name }) => name === 'SPOOL_DIR')
  t.equal(shown?.value, 'nats://ingest:***@10.0.0.1,b.example:4333,[::1]:4222')
  for (const wrong of ['nats://', 'nats://a b', 'nats://a,,b', 'nats://a:99999', 'nats://a/b']) {
    t.match(problemsOf({ env: { SPOOL_DIR: wrong } }), [{ setting: 'SPOOL_DIR', message: /nats:/ }], wrong)
  }
  t.end()
})

t.test('the configuration is immutable', t => {
  for (const env of [{}, { API_TOKENS: 'a-token-of-20-letters' }]) {
    const config = configOf({ env })
    t.throws(() => { (config as { port: number }).port = 1 }, TypeError)
    t.throws(() => (config.apiTokens as string[]).push('x'), TypeError)
  }
  t.end()
})

t.test('flags override variables, variables override defaults, and an empty variable is unset', t => {
  const env = { PORT: '81', BATCH_SIZE: '5', HOST: '' }
  const config = configOf({ env, flags: { port: '82', 'not-a-setting': '1', json: true } })
  t.match(config, { port: 82, batchSize: 5, host: '0.0.0.0' })
  const rows = describeConfig(config, { env, flags: { port: '82' } })
  const row = (name: string): unknown => rows.find(candidate => candidate.name === name)
  t.same(row('PORT'), { name: 'PORT', value: '82', source: 'flag' })
  t.same(row('BATCH_SIZE'), { name: 'BATCH_SIZE', value: '5', source: 'environment' })
  t.same(row('HOST'), { name: 'HOST', value: '0.0.0.0', source: 'default' })
  t.same(row('DATABASE_URL'), { name: 'DATABASE_URL', value: '(embedded PostgreSQL in DATA_DIR)', source: 'default' })
  t.same(row('BATCH_TIMEOUT'), { name: 'BATCH_TIMEOUT', value: '1s', source: 'default' })
  t.end()
})

t.test('process.env is read if no environment is given', t => {
  const before = process.env.BATCH_SIZE
  t.teardown(() => {
    if (before === undefined) delete process.env.BATCH_SIZE
    else process.env.BATCH_SIZE = before
  })
  process.env.BATCH_SIZE = '17'
  t.equal(configOf({}).batchSize, 17)
  t.equal(describeConfig(configOf({})).find(({ name }) => name === 'BATCH_SIZE')?.source, 'environment')
  process.env.BATCH_SIZE = 'many'
  t.equal(loadConfig().ok, false)
  t.end()
})

t.test('the first release had BATCH_TIMEOUT in milliseconds', t => {
  t.equal(configOf({ env: { BATCH_TIMEOUT: '250' } }).batchTimeoutMs, 250)
  t.end()
})

t.test('all problems are reported together, under the names that the user wrote', t => {
  t.same(problemsOf({
    env: { PORT: '70000', LOG_LEVEL: 'inf', BATCH_TIMEOUT: '2m' },
    flags: { 'http-engine': 'uwss', 'batch-size': '' }
  }), [
    { setting: 'PORT', message: '70000 is out of range: from 0 to 65535' },
    { setting: '--batch-size', message: '"" is not a whole number (from 1 to 100000)' },
    { setting: 'BATCH_TIMEOUT', message: '2m is out of range: from 1ms to 1m' },
    { setting: 'LOG_LEVEL', message: '"inf" is not one of debug, info, warn, error; did you mean info?' },
    { setting: '--http-engine', message: '"uwss" is not one of auto, uws, node; did you mean uws?' }
  ])
  t.end()
})

t.test('the settings of TLS need one another', t => {
  const problem = (env: Record<string, string>): unknown => problemsOf({ env })[0]
  t.same(problem({ TLS_CERT: 'c' }), { setting: 'TLS_CERT', message: 'needs TLS_KEY, the key of the certificate' })
  t.same(problem({ TLS_KEY: 'k' }), { setting: 'TLS_CERT', message: 'must be set if TLS_KEY is' })
  t.same(problem({ TLS_CLIENT_CA: 'r' }), { setting: 'TLS_CLIENT_CA', message: 'needs TLS_CERT and TLS_KEY' })
  const all = { TLS_CERT: 'c', TLS_KEY: 'k', TLS_CLIENT_CA: 'r' }
  t.match(problem({ ...all, HTTP_ENGINE: 'uws' }), { setting: 'TLS_CLIENT_CA', message: /auto or node/ })
  t.match(configOf({ env: all }), { tlsCert: resolve('c'), tlsKey: resolve('k'), tlsClientCa: resolve('r') })
  t.end()
})

t.test('range bounds are inclusive', t => {
  const edges: Array<[string, string[], string[]]> = [
    ['PORT', ['0', '65535'], ['-1', '65536', '80.5', 'http']],
    ['WORKERS', ['1', '45'], ['0', '65']],
    [
      'UDP_PORT',
      ['off', '0', '8081,8082', ' 1 , 65535', '0,0'],
      [',', '8081,', '65536', '-1', '8081,8081', 'on', Array(17).fill('0').join(',')]
    ],
    ['BATCH_SIZE', ['1', '100000'], ['0', '100001']],
    ['BATCH_TIMEOUT', ['1ms', '60s'], ['0', '61s']],
    ['MAX_BODY_BYTES', ['1KB', '64MB'], ['1023', '65MB']],
    ['SHUTDOWN_DEADLINE', ['100ms', '1h'], ['30', '2h']],
    ['API_TOKENS', ['0123456789abcdef'], ['0123456789abcde', '0123456789abcdef,']],
    [
      'ALLOWED_ORIGINS',
      ['https://a.example', 'http://A.example:81, https://b'],
      ['a.example', 'https://a.example/', 'https://a.example:443', 'null', '*', 'https://a,']
    ],
    [
      'DATABASE_URL',
      ['postgres://h/d', 'postgresql://u:p@h:5432/d?sslmode=require'],
      ['h/d', 'mysql://h/d', 'postgres://h:port/d']
    ]
  ]
  for (const [name, right, wrong] of edges) {
    for (const text of right) t.same(problemsOf({ env: { [name]: text } }), [], `${name}=${text}`)
    for (const text of wrong) t.equal(problemsOf({ env: { [name]: text } })[0]?.setting, name, `${name}=${text}`)
  }
  t.end()
})

t.test('conflicting settings', t => {
  t.same(problemsOf({ env: { WORKERS: '4', MAX_CONNECTIONS: '9' } }), [])
  t.same(problemsOf({ env: { WORKERS: '4', UDP_PORT: 'off', MAX_CONNECTIONS: '8' } }), [])
  const log = { WORKERS: '4', UDP_PORT: 'off', SPOOL_DIR: 'nats://one,two,three' }
  t.same(problemsOf({ env: { ...log, MAX_CONNECTIONS: '9' } }), [])
  t.match(problemsOf({ env: { ...log, MAX_CONNECTIONS: '8' } }), [{ message: /raise it to 9 or more/ }])
  t.same(problemsOf({ env: { WORKERS: '4', UDP_PORT: '1,2', MAX_CONNECTIONS: '8' } }), [
    {
      setting: 'MAX_CONNECTIONS',
      message: '8 is too low for 4 WORKERS and 2 UDP_PORT entries: raise it to 10 or more, or lower WORKERS'
    }
  ])
  t.same(problemsOf({ env: { WORKERS: '5', UDP_PORT: '1,2', SPOOL_MAX_BYTES: '35MB' } }), [])
  t.same(problemsOf({ env: { WORKERS: '5', UDP_PORT: '1,2', SPOOL_MAX_BYTES: '34MB', SPOOL_DIR: 'off' } }), [])
  t.same(problemsOf({ env: { WORKERS: '5', UDP_PORT: '1,2', SPOOL_MAX_BYTES: '34MB' } }), [
    {
      setting: 'SPOOL_MAX_BYTES',
      message: '34MB is too small for 5 WORKERS and 2 UDP_PORT entries: raise it to 35MB or more, or lower WORKERS'
    }
  ])
  t.same(problemsOf({ env: { WORKERS: '4.5', MAX_CONNECTIONS: '6' } }).map(({ setting }) =>
    setting), ['WORKERS'], 'not compared with an invalid value')
  t.same(problemsOf({ env: { RETENTION: '7d', TIME_WINDOW_PAST: '7d' } }), [])
  t.same(problemsOf({ env: { CLIENT_CONNECTIONS: '9' } }), [])
  t.match(problemsOf({ env: { CLIENT_CONNECTIONS: '9', HTTP_ENGINE: 'uws' } }), [
    { setting: 'CLIENT_CONNECTIONS', message: /^needs HTTP_ENGINE auto or node/ }
  ])
  t.same(problemsOf({ env: {}, flags: { retention: '7d' } }), [{
    setting: '--retention',
    message: '7d is shorter than TIME_WINDOW_PAST (30d): points would be dropped as soon as they are stored; ' +
      'raise it or lower TIME_WINDOW_PAST'
  }])
  t.end()
})

t.test('likely typos in variables are reported, other variables are not', t => {
  const meant = (name: string): string | undefined =>
    /did you mean (\w+)/.exec(loadConfig({ env: { [name]: 'x' } }).warnings[0] ?? '')?.[1]
  t.equal(meant('BATCHSIZE'), 'BATCH_SIZE')
  t.equal(meant('BATCH_TIMOUT'), 'BATCH_TIMEOUT')
  t.equal(meant('WORKER'), 'WORKERS')
  t.equal(meant('api_tokens'), 'API_TOKENS')
  t.equal(meant('DATABASE_URI'), 'DATABASE_URL')
  const others = [
    'API_TOKEN', 'HOME', 'HOSTNAME', 'HOSTTYPE', 'PATH', 'PS1', 'PWD', 'LOGNAME', 'NODE_ENV', 'NODE_OPTIONS', 'PGDATA',
    'PGDATA_DIR', 'PGHOST', 'PGPORT', 'HTTP_PROXY', 'XDG_DATA_DIRS'
  ]
  for (const name of others) t.same(loadConfig({ env: { [name]: 'x' } }).warnings, [], name)
  t.equal(loadConfig({ env: { BATCHSIZE: '5', PORT: 'x' } }).warnings.length, 1, 'beside problems too')
  t.end()
})

t.test('secrets are neither shown nor repeated', t => {
  const secret = 'hunter2-and-then-some'
  const shown = (env: Record<string, string>): string => JSON.stringify(describeConfig(configOf({ env }), { env }))
  const url = shown({ DATABASE_URL: `postgres://me:${secret}@h/d?sslpassword=${secret}&password=${secret}` })
  t.match(url, 'postgres://me:***@h/d?sslpassword=***&password=***')
  t.notMatch(url, secret)
  t.match(shown({ DATABASE_URL: 'postgres://h/d' }), '"postgres://h/d"')
  const tokens = shown({ API_TOKENS: `${secret},${secret}` })
  t.match(tokens, '***,***')
  t.notMatch(tokens, secret)
  t.notMatch(JSON.stringify(loadConfig({
    env: { DATABASE_URL: `mysql://me:${secret}@h`, API_TOKENS: `${secret},x` }
  })), secret)
  t.notMatch(shown({ READER_PASSWORD: secret }), secret)
  t.end()
})

t.test('docs/CONFIGURE.md contains the table of settings', t => {
  const document = readFileSync(new URL('../../../../docs/CONFIGURE.md', import.meta.url), 'utf8')
  const between = /<!-- config:begin -->\n([^]*)\n<!-- config:end -->/.exec(document)?.[1]
  t.equal(between, configTable(), 'regenerate it with: bin/orbitstream-ingest config --markdown')
  t.end()
})

t.test('the table has a row per setting, and its cells contain no separators', t => {
  const [, , ...rows] = configTable().split('\n')
  t.equal(rows.length, describeSettings().length)
  for (const row of rows) t.equal(row.split('|').length, 6, row)
  t.end()
})

t.test('a flag is its variable in kebab-case', t => {
  for (const { env, flag } of describeSettings()) t.equal(flag.toUpperCase().replaceAll('-', '_'), env)
  t.end()
})
