/**
 * The configuration: one schema, and the only reader of process.env.
 *
 * SETTINGS says all there is to say about a setting; loading, flags, help, the `config` command and the README's
 * table derive from it. A new setting is a line in Config and an entry in SETTINGS: the compiler asks for both.
 * Flags win over variables, variables over defaults; an empty variable counts as unset.
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { METRICS, type MetricName } from '../../protocol/metrics.js'
import { completeTarget, maskTarget, parseTarget } from '../database/connection-target.js'
import { decimal, duration, file, host, integer, list, nearest, oneOf, origins, path, pathOrOff, ports, secret, size, url, formatDuration, formatSize, parseDuration, parseSize } from './value-types.js'
import type { Parsed, ValueType } from './value-types.js'

/** The default critical limit of each metric: one setting a metric of the catalogue. */
type ThresholdSettings = { readonly [M in MetricName as `threshold_${M}`]: number }

/** The effective configuration: every setting resolved, validated once, frozen. */
export interface Config extends ThresholdSettings {
  /** Address to listen on. */
  readonly host: string
  /** HTTP port; 0 picks a free one. */
  readonly port: number
  /** HTTP workers. */
  readonly workers: number
  /** Each has a UDP worker; 0 picks a free one, none: no UDP. */
  readonly udpPorts: readonly number[]
  /** Bytes of packets that the kernel keeps for each UDP worker. */
  readonly udpReceiveBufferBytes: number
  /** Absolute path. */
  readonly dataDir: string
  /** Null: the embedded PostgreSQL under dataDir. */
  readonly databaseUrl: string | null
  /** As written: a directory, 'off', or '' for the default. See spoolDirectory(). */
  readonly spoolDir: string
  /** Bytes on disk of the whole instance's spool. */
  readonly spoolMaxBytes: number
  /** Bytes that the spool leaves free on its file system. */
  readonly spoolReserveBytes: number
  /** Rows at which a batch closes. */
  readonly batchSize: number
  readonly batchTimeoutMs: number
  /** Database connections of the whole instance, all processes together. */
  readonly maxConnections: number
  /** Bytes of points that a worker holds in memory while the database is away. */
  readonly memoryMaxBytes: number
  readonly maxBodyBytes: number
  readonly timeWindowPastMs: number
  readonly timeWindowFutureMs: number
  readonly unknownFields: 'reject' | 'ignore'
  /** Empty: no token is asked for. */
  readonly apiTokens: readonly string[]
  /** Absolute path of the file with further tokens, which have roles; null: there is none. */
  readonly apiTokensFile: string | null
  /** Whether reading needs no token although there are some. */
  readonly readOpen: 'on' | 'off'
  /** Sites whose pages may send, beside the server's own. */
  readonly allowedOrigins: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  /** Age at which telemetry is dropped. */
  readonly retentionMs: number
  /** Age at which TimescaleDB compresses a chunk. */
  readonly compressAfterMs: number
  /** Span of time that a chunk of TimescaleDB holds. */
  readonly chunkIntervalMs: number
  readonly timescaleDirectCompress: 'on' | 'off'
  /** Password of the role orbitstream_reader; null: its login stays as it is. */
  readonly readerPassword: string | null
  readonly shutdownDeadlineMs: number
  /** Which HTTP engine: uWebSockets.js where it runs safely, or forced. */
  readonly httpEngine: 'auto' | 'uws' | 'node'
}

type Environment = Readonly<Record<string, string | undefined>>

interface Setting<T> {
  /** Environment variable; the flag is the same name in kebab-case. */
  readonly env: string
  readonly type: ValueType<T>
  /** Text as a person would write it, or a value that no text stands for, with the words that describe it. */
  readonly default: string | { readonly value: () => T, readonly label: string }
  /** One sentence. */
  readonly help: string
  /** Given where other variables have a say too. */
  readonly complete?: (value: T, env: Environment) => Parsed<T>
  /** Given for secrets: the value as it may be shown. */
  readonly mask?: (value: T) => string
}

type Key = keyof Config

/** Connections that are not a worker's: maintenance (before it, migrations), the limits, and queries for clients. */
const CONNECTIONS_BESIDE_WORKERS = 3
const TOKEN_LENGTH_MIN = 16
/** Read by programs that talk to a server: the token that they send. */
export const TOKEN_VARIABLE = 'API_TOKEN'
const UDP_PORTS_MAX = 16
/** Of the spool, for each worker: a frame of the largest batch, its segment's head, and room to begin the next one. */
export const SLOT_SPOOL_BYTES_MIN = 5 * 1024 * 1024

const ms = (text: string): number => parseDuration(text) ?? NaN
const bytes = (text: string): number => parseSize(text) ?? NaN

/**
 * The database and the senders want the rest of the machine; measured best with half of the cores. Each worker makes groups
 * of the spool and transactions of its own, so that two cost single points half as much again as one.
 */
function workersByDefault (): number {
  return Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)))
}

/** A URL of PostgreSQL. */
function databaseUrl (): ValueType<string> {
  return {
    ...url(['postgres', 'postgresql']),
    parse (text) {
      const target = parseTarget(text)
      return target.ok ? { ok: true, value: text } : target
    }
  }
}

function thresholdSettings (): { readonly [K in keyof ThresholdSettings]: Setting<number> } {
  const entries = METRICS.map(({ name, title, unit, limit }) => [`threshold_${name}`, {
    env: limit.env,
    type: decimal(),
    default: String(limit.value),
    help: `${title} (${unit}) ${limit.side === 'low' ? 'below' : 'above'} this is an anomaly. Counts until limits are stored in the database; afterwards they are changed there.`
  }])
  return Object.fromEntries(entries) as { readonly [K in keyof ThresholdSettings]: Setting<number> }
}

const SETTINGS: { readonly [K in Key]: Setting<Config[K]> } = {
  host: { env: 'HOST', type: host(), default: '0.0.0.0', help: 'Address to listen on; the default is every network of the machine, 127.0.0.1 keeps it to this machine.' },
  port: { env: 'PORT', type: integer({ min: 0, max: 65_535 }), default: '8080', help: 'HTTP port; 0 picks a free one.' },
  workers: { env: 'WORKERS', type: integer({ min: 1, max: 64 }), default: { value: workersByDefault, label: 'half of the CPU cores, from 1 to 4' }, help: 'HTTP worker processes.' },
  udpPorts: { env: 'UDP_PORT', type: ports(UDP_PORTS_MAX), default: '8081', help: 'UDP ports, a worker process each; `off` for none.' },
  udpReceiveBufferBytes: { env: 'UDP_RECEIVE_BUFFER', type: size({ min: bytes('64KB'), max: bytes('1GB') }), default: '8MB', help: 'Packets that the kernel keeps while a UDP worker is busy; it may give less, see net.core.rmem_max.' },
  dataDir: { env: 'DATA_DIR', type: path(), default: './data', help: 'Directory for everything that is kept on disk.' },
  databaseUrl: { env: 'DATABASE_URL', type: databaseUrl(), default: { value: () => null, label: 'embedded PostgreSQL in DATA_DIR' }, help: 'PostgreSQL or TimescaleDB to write to.', complete: (text, env) => text === null ? { ok: true, value: null } : completeTarget(text, env), mask: text => text === null ? '' : maskTarget(text) },
  spoolDir: { env: 'SPOOL_DIR', type: pathOrOff(), default: { value: () => '', label: 'DATA_DIR/spool' }, help: 'Directory where points are safe on disk before they are acknowledged; `off` acknowledges after COMMIT.' },
  spoolMaxBytes: { env: 'SPOOL_MAX_BYTES', type: size({ min: bytes('16MB'), max: bytes('1024TB') }), default: '10GB', help: 'Points on disk that wait for the database, of all workers together; at least 5MB for each of WORKERS and UDP_PORT. Beyond it points are refused.' },
  spoolReserveBytes: { env: 'SPOOL_RESERVE_BYTES', type: size({ min: 0, max: bytes('1024TB') }), default: '256MB', help: 'What the spool leaves free on its file system; with less points are refused.' },
  batchSize: { env: 'BATCH_SIZE', type: integer({ min: 1, max: 100_000 }), default: '1000', help: 'Points at which a batch is closed and written.' },
  batchTimeoutMs: { env: 'BATCH_TIMEOUT', type: duration({ min: 1, max: ms('60s') }), default: '1s', help: 'Longest time that a point waits for its batch to fill.' },
  maxConnections: { env: 'MAX_CONNECTIONS', type: integer({ min: 1 + CONNECTIONS_BESIDE_WORKERS, max: 10_000 }), default: '50', help: `Most database connections of all processes together; at least one for each of WORKERS and UDP_PORT, and ${CONNECTIONS_BESIDE_WORKERS} more.` },
  memoryMaxBytes: { env: 'MEMORY_MAX_BYTES', type: size({ min: bytes('64KB'), max: bytes('64GB') }), default: '64MB', help: 'Points that each worker holds in memory while the database is away.' },
  maxBodyBytes: { env: 'MAX_BODY_BYTES', type: size({ min: bytes('1KB'), max: bytes('64MB') }), default: '8MB', help: 'Largest body of a request, unpacked.' },
  timeWindowPastMs: { env: 'TIME_WINDOW_PAST', type: duration({ max: ms('36500d') }), default: '30d', help: 'Points older than this are rejected.' },
  timeWindowFutureMs: { env: 'TIME_WINDOW_FUTURE', type: duration({ max: ms('36500d') }), default: '5m', help: 'Points further in the future than this are rejected.' },
  unknownFields: { env: 'UNKNOWN_FIELDS', type: oneOf(['reject', 'ignore']), default: 'reject', help: 'What happens to a point with a field that is not known.' },
  apiTokens: { env: 'API_TOKENS', type: list(TOKEN_LENGTH_MIN), default: { value: () => Object.freeze([]), label: 'none: no token is asked for' }, help: 'Tokens of which a request must send one as Authorization: Bearer; each may do everything.', mask: tokens => tokens.map(() => '***').join(',') },
  apiTokensFile: { env: 'API_TOKENS_FILE', type: file(), default: { value: () => null, label: 'none' }, help: 'JSON file of further tokens, which have roles; `token create` makes its lines, SIGHUP has it read again.' },
  readOpen: { env: 'READ_OPEN', type: oneOf(['on', 'off']), default: 'off', help: 'Whether reading needs no token where there are tokens.' },
  allowedOrigins: { env: 'ALLOWED_ORIGINS', type: origins(), default: { value: () => Object.freeze([]), label: 'none but its own' }, help: 'Sites whose pages may send points and change limits, for a proxy that changes Host.' },
  logLevel: { env: 'LOG_LEVEL', type: oneOf(['debug', 'info', 'warn', 'error']), default: 'info', help: 'Least severe lines that are logged.' },
  retentionMs: { env: 'RETENTION', type: duration({ min: ms('1m'), max: ms('36500d') }), default: '30d', help: 'Age at which telemetry is dropped; at least TIME_WINDOW_PAST.' },
  compressAfterMs: { env: 'COMPRESS_AFTER', type: duration({ min: ms('1m'), max: ms('36500d') }), default: '2h', help: 'Age at which TimescaleDB compresses telemetry.' },
  chunkIntervalMs: { env: 'CHUNK_INTERVAL', type: duration({ min: ms('1m'), max: ms('365d') }), default: '1h', help: 'Span of time in one chunk of TimescaleDB, of anomalies 24 times as much, up to a day; new chunks follow a change.' },
  timescaleDirectCompress: { env: 'TIMESCALE_DIRECT_COMPRESS', type: oneOf(['on', 'off']), default: 'off', help: 'Whether TimescaleDB compresses batches of 10,000 points and more as they are stored.' },
  readerPassword: { env: 'READER_PASSWORD', type: secret(8), default: { value: () => null, label: 'none: the role cannot log in' }, help: 'Password that the read-only database role orbitstream_reader gets, for Grafana.', mask: password => password === null ? '' : '***' },
  shutdownDeadlineMs: { env: 'SHUTDOWN_DEADLINE', type: duration({ min: 100, max: ms('1h') }), default: '30s', help: 'Longest time that a polite stop takes.' },
  httpEngine: { env: 'HTTP_ENGINE', type: oneOf(['auto', 'uws', 'node']), default: 'auto', help: 'HTTP server: uWebSockets.js, node:http, or the first where it runs safely; see docs/HTTP.md.' },
  ...thresholdSettings()
}

const KEYS = Object.keys(SETTINGS) as readonly Key[]

/** Rules between settings. A message, or null if the rule holds. Skipped while one of `keys` has no valid value. */
const RULES: ReadonlyArray<{ readonly keys: readonly [Key, ...Key[]], readonly check: (config: Config) => string | null }> = [
  {
    keys: ['maxConnections', 'workers', 'udpPorts'],
    check (config) {
      const { maxConnections, workers, udpPorts } = config
      const needed = writersOf(config) + CONNECTIONS_BESIDE_WORKERS
      return maxConnections >= needed ? null : `${maxConnections} is too few for ${workers} WORKERS and ${udpPorts.length} of UDP_PORT: raise it to ${needed} or more, or lower WORKERS`
    }
  },
  {
    keys: ['spoolMaxBytes', 'spoolDir', 'workers', 'udpPorts'],
    check (config) {
      const needed = writersOf(config) * SLOT_SPOOL_BYTES_MIN
      if (config.spoolDir === 'off' || config.spoolMaxBytes >= needed) return null
      return `${formatSize(config.spoolMaxBytes)} is too little for ${config.workers} WORKERS and ${config.udpPorts.length} of UDP_PORT: raise it to ${formatSize(needed)} or more, or lower WORKERS`
    }
  },
  {
    keys: ['retentionMs', 'timeWindowPastMs'],
    check ({ retentionMs, timeWindowPastMs }) {
      if (retentionMs >= timeWindowPastMs) return null
      return `${formatDuration(retentionMs)} is shorter than TIME_WINDOW_PAST (${formatDuration(timeWindowPastMs)}): points would be accepted and dropped at once; raise it or lower TIME_WINDOW_PAST`
    }
  }
]

/** Worker processes of all kinds: each has a slot, a spool and a database connection. HTTP workers have the first slots. */
export function writersOf ({ workers, udpPorts }: Pick<Config, 'workers' | 'udpPorts'>): number {
  return workers + udpPorts.length
}

/** Where the spool lies; null without one. */
export function spoolDirectory ({ spoolDir, dataDir }: Pick<Config, 'spoolDir' | 'dataDir'>): string | null {
  if (spoolDir === 'off') return null
  return spoolDir === '' ? join(dataDir, 'spool') : spoolDir
}

export interface ConfigSources {
  /** Without it: process.env. */
  readonly env?: Environment
  /** By flag name without dashes: `{ 'batch-size': '500' }`. */
  readonly flags?: Readonly<Record<string, unknown>>
}

export interface ConfigProblem {
  /** As the person wrote it: BATCH_SIZE or --batch-size. */
  readonly setting: string
  readonly message: string
}

/** `warnings`: variables that are probably misspelt settings. */
export type LoadedConfig = { readonly warnings: readonly string[] } & (
  { readonly ok: true, readonly config: Config } | { readonly ok: false, readonly problems: readonly ConfigProblem[] }
)

interface Origin {
  readonly source: 'flag' | 'environment' | 'default'
  /** What to call the setting in a message. */
  readonly name: string
  readonly text: string | null
}

function flagOf (key: Key): string {
  return SETTINGS[key].env.toLowerCase().replaceAll('_', '-')
}

function originOf (key: Key, { env = process.env, flags = {} }: ConfigSources): Origin {
  const setting = SETTINGS[key]
  const flag = flags[flagOf(key)]
  if (typeof flag === 'string') return { source: 'flag', name: `--${flagOf(key)}`, text: flag }
  const variable = env[setting.env]
  if (variable !== undefined && variable !== '') return { source: 'environment', name: setting.env, text: variable }
  return { source: 'default', name: setting.env, text: typeof setting.default === 'string' ? setting.default : null }
}

function valueOf<K extends Key> (key: K, text: string | null, env: Environment): Parsed<Config[K]> {
  const setting: Setting<Config[K]> = SETTINGS[key]
  const parsed = text === null ? defaultOf(setting) : setting.type.parse(text)
  return parsed.ok && setting.complete !== undefined ? setting.complete(parsed.value, env) : parsed
}

function defaultOf<T> (setting: Setting<T>): Parsed<T> {
  return typeof setting.default === 'string' ? setting.type.parse(setting.default) : { ok: true, value: setting.default.value() }
}

/** Variables that differ from a setting's name by a letter or two: the setting was probably meant. */
function misspelt (env: Environment): string[] {
  const names = KEYS.map(key => SETTINGS[key].env)
  // Short names have neighbours that belong to others: HOME is two letters from HOST, PGDATA_DIR from DATA_DIR.
  const others = [...names, TOKEN_VARIABLE]
  const [short, long] = [names.filter(name => name.length < 9), names.filter(name => name.length >= 9)]
  return Object.keys(env).filter(name => !others.includes(name)).flatMap(name => {
    const meant = nearest(name, long, 2) ?? nearest(name, short, 1)
    return meant === null ? [] : [`The variable ${name} is not a setting; did you mean ${meant}?`]
  })
}

/** Reads and checks all settings; names every problem at once. Secrets are not repeated in messages. */
export function loadConfig (sources: ConfigSources = {}): LoadedConfig {
  const values: Partial<Record<Key, unknown>> = {}
  const problems: ConfigProblem[] = []
  const { env = process.env } = sources
  for (const key of KEYS) {
    const origin = originOf(key, sources)
    const parsed = valueOf(key, origin.text, env)
    if (parsed.ok) values[key] = parsed.value
    else problems.push({ setting: origin.name, message: parsed.message })
  }
  for (const { keys, check } of RULES) {
    const message = keys.every(key => key in values) ? check(values as unknown as Config) : null
    if (message !== null) problems.push({ setting: originOf(keys[0], sources).name, message })
  }
  const warnings = misspelt(env)
  return problems.length > 0
    ? { ok: false, problems, warnings }
    : { ok: true, config: Object.freeze(values as unknown as Config), warnings }
}

/** Whether somebody has set it; else it has its default. */
export function isGiven (key: keyof Config, sources: ConfigSources): boolean {
  return originOf(key, sources).source !== 'default'
}

export interface ConfigRow {
  readonly name: string
  /** Secrets masked; empty for a value that no text stands for. */
  readonly value: string
  readonly source: Origin['source']
}

function shownValue<K extends Key> (key: K, value: Config[K]): string {
  const setting: Setting<Config[K]> = SETTINGS[key]
  const shown = setting.mask === undefined ? setting.type.format(value) : setting.mask(value)
  return shown === '' && typeof setting.default !== 'string' ? `(${setting.default.label})` : shown
}

/** Every setting with its value and where it came from. */
export function describeConfig (config: Config, sources: ConfigSources = {}): ConfigRow[] {
  return KEYS.map(key => ({
    name: SETTINGS[key].env,
    value: shownValue(key, config[key]),
    source: originOf(key, sources).source
  }))
}

export interface SettingSummary {
  readonly key: keyof Config
  readonly env: string
  /** Without dashes. */
  readonly flag: string
  /** Word for its kind of value. */
  readonly kind: string
  /** In Markdown. */
  readonly allowed: string
  readonly help: string
  readonly defaultText: string
}

/** The settings as help and documentation show them. */
export function describeSettings (): SettingSummary[] {
  return KEYS.map(key => {
    const setting = SETTINGS[key]
    const defaultText = typeof setting.default === 'string' ? setting.default : setting.default.label
    return { key, env: setting.env, flag: flagOf(key), kind: setting.type.name, allowed: setting.type.allowed, help: setting.help, defaultText }
  })
}

/** The table of settings in README.md, in Markdown; a test holds the two together. */
export function configTable (): string {
  const rows = describeSettings().map(({ env, defaultText, allowed, help }) => `| \`${env}\` | ${defaultText} | ${allowed} | ${help} |`)
  return ['| Variable | Default | Values | What it does |', '|---|---|---|---|', ...rows].join('\n')
}
