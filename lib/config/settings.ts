/**
 * Every setting: its type, default and help, and the rules between settings. Loading, flags, help, the `config` command
 * and the documented table derive from SETTINGS. A new setting is a line in Config and an entry in SETTINGS: the
 * compiler requires both.
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { BUILT_IN, THRESHOLDS } from '../../protocol/catalogue.js'
import { completeTarget, maskTarget, parseTarget } from '../database/connection-target.js'
import {
  decimal, duration, file, host, integer, integerOrOff, list, networks, oneOf, origins, path, ports, secret, size, url,
  formatDuration, formatSize, parseDuration, parseSize
} from './setting-types.js'
import { isLogUrl, maskLogUrl, parseLogUrl, pathOffOrLog, type LogTarget } from './log-target.js'
import type { Parsed, SettingType } from './setting-types.js'

/** First critical limits of built-in metrics; null: the catalogue's. */
type ThresholdSettings = { readonly [M in typeof THRESHOLDS[number]['metric'] as `threshold_${M}`]: number | null }

/** The effective configuration: every setting resolved, validated once, frozen. */
export interface Config extends ThresholdSettings {
  /** Address to listen on. */
  readonly host: string
  /** HTTP port; 0 picks a free one. */
  readonly port: number
  /** Number of HTTP workers. */
  readonly workers: number
  /** One UDP worker each; 0 picks a free port; empty: no UDP. */
  readonly udpPorts: readonly number[]
  /** Kernel receive buffer of each UDP worker. */
  readonly udpReceiveBufferBytes: number
  /** Absolute path. */
  readonly dataDir: string
  /** Absolute path of the catalogue file; null: the catalogue of the database, or the built-in one. */
  readonly catalogue: string | null
  /** Null: the embedded PostgreSQL in dataDir. */
  readonly databaseUrl: string | null
  /** As written: a directory, 'off', a nats:// URL, or '' for the default. See spoolDirectory() and logTarget(). */
  readonly spoolDir: string
  /** Size of the spool, all workers together. */
  readonly spoolMaxBytes: number
  /** Copies of each stream of the replicated log. */
  readonly logReplicas: number
  /** How long a server is unseen before another one drains its lanes. */
  readonly logTakeoverMs: number
  /** Space that the spool leaves free on its file system. */
  readonly spoolReserveBytes: number
  /** Number of rows at which a batch closes. */
  readonly batchSize: number
  readonly batchTimeoutMs: number
  /** Database connections, all processes together. */
  readonly maxConnections: number
  /** Points that a worker holds in memory while the database is unavailable. */
  readonly memoryMaxBytes: number
  readonly maxBodyBytes: number
  readonly timeWindowPastMs: number
  readonly timeWindowFutureMs: number
  readonly unknownFields: 'reject' | 'ignore'
  /** Empty: no token is required. */
  readonly apiTokens: readonly string[]
  /** Absolute path of the file of tokens with roles; null: none. */
  readonly apiTokensFile: string | null
  /** Whether reading is allowed without a token even if tokens are configured. */
  readonly readOpen: 'on' | 'off'
  /** Absolute path of the file of UDP senders' keys; null: none is required. */
  readonly udpKeysFile: string | null
  /** Whether packets without a key are accepted even if keys are configured. */
  readonly udpOpen: 'on' | 'off'
  /** Absolute path of the certificate, with those that lead to its root; null: plain HTTP. */
  readonly tlsCert: string | null
  /** Absolute path of its key; null if and only if there is no certificate. */
  readonly tlsKey: string | null
  /** Absolute path of the roots of the certificates that clients must present; null: they need none. */
  readonly tlsClientCa: string | null
  /** Sites whose pages may send requests, in addition to the server's own. */
  readonly allowedOrigins: readonly string[]
  /** Requests per second of one client, by its token or else its address; null: any number. */
  readonly clientRequests: number | null
  /** The same for points. */
  readonly clientPoints: number | null
  /** Connections of one address to one HTTP worker; null: any number. */
  readonly clientConnections: number | null
  /** Addresses and networks of the proxies that say who a client is. */
  readonly trustedProxies: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  /** Age at which telemetry is dropped. */
  readonly retentionMs: number
  /** Age at which TimescaleDB compresses a chunk. */
  readonly compressAfterMs: number
  /** Time span of a TimescaleDB chunk. */
  readonly chunkIntervalMs: number
  readonly timescaleDirectCompress: 'on' | 'off'
  /** Over the nodes of Citus. */
  readonly distribute: 'on' | 'off'
  /** Password of the role orbitstream_reader; null: leaves its login unchanged. */
  readonly readerPassword: string | null
  readonly shutdownDeadlineMs: number
  /** uWebSockets.js where it runs safely, or a fixed choice. */
  readonly httpEngine: 'auto' | 'uws' | 'node'
}

export type Environment = Readonly<Record<string, string | undefined>>

export interface Setting<T> {
  /** Environment variable; the flag is the same name in kebab-case. */
  readonly env: string
  readonly type: SettingType<T>
  /** Text as a user would type it, or a value without a text form and its description. */
  readonly default: string | { readonly value: () => T, readonly label: string }
  /** One sentence. */
  readonly help: string
  /** Completes the value from other variables. */
  readonly complete?: (value: T, env: Environment) => Parsed<T>
  /** For secrets: the value as it may be shown. */
  readonly mask?: (value: T) => string
}

export type Key = keyof Config

/** Maintenance (and migrations before it), and limits. */
const PRIMARY_CONNECTIONS = 2
/** At the least: one for queries and one for an export. */
const QUERY_CONNECTIONS_MIN = 2
const CONNECTIONS_BESIDE_WORKERS = PRIMARY_CONNECTIONS + QUERY_CONNECTIONS_MIN
/** Enough for a page of charts at once; few enough to leave a database of four processors to storing. */
const QUERIES_MAX = 3
const EXPORTS_MAX = 4
/** Highest rate of a client that can be set: more than a machine takes. */
export const RATE_MAX = 100_000_000
const TOKEN_LENGTH_MIN = 16
/** The token that client programs send. */
export const TOKEN_VARIABLE = 'API_TOKEN'
/** The key that client programs authenticate packets with. */
export const UDP_KEY_VARIABLE = 'UDP_KEY'
const UDP_PORTS_MAX = 16
/** Smallest spool of a worker: a frame of the largest batch, its segment's header, and space to start the next one. */
export const SLOT_SPOOL_BYTES_MIN = 5 * 1024 * 1024

const ms = (text: string): number => parseDuration(text) ?? NaN
const bytes = (text: string): number => parseSize(text) ?? NaN

/**
 * Half of the cores measured best: the database and the senders need the rest. Each worker has its own spool writes and
 * transactions, so two workers cost half as much again as one for single points.
 */
function workersByDefault (): number {
  return Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)))
}

/** A PostgreSQL URL. */
function databaseUrl (): SettingType<string> {
  return {
    ...url(['postgres', 'postgresql']),
    parse (text) {
      const target = parseTarget(text)
      return target.ok ? { ok: true, value: text } : target
    }
  }
}

function thresholdSettings (): { readonly [K in keyof ThresholdSettings]: Setting<number | null> } {
  const type = { ...decimal(), format: (value: number | null) => value === null ? '' : String(value) }
  const entries = THRESHOLDS.flatMap(({ metric, side, env }) => {
    const known = BUILT_IN.telemetry.metrics.filter(({ name }) => name === metric)
    return known.map(({ title, unit, limits }) => [`threshold_${metric}`, {
      env,
      type,
      default: {
        value: () => null, label: `that of the catalogue, ${String(limits[side]?.critical)} in the built-in one`
      },
      help: `${title} (${unit}) ${side === 'low' ? 'below' : 'above'} this is an anomaly. Initial value: once limits ` +
        'are stored in the database, change them there.'
    }])
  })
  return Object.fromEntries(entries) as { readonly [K in keyof ThresholdSettings]: Setting<number | null> }
}

function setting<T> (
  env: string,
  type: SettingType<T>,
  fallback: Setting<T>['default'],
  help: string,
  more: Pick<Setting<T>, 'complete' | 'mask'> = {}
): Setting<T> {
  return { env, type, default: fallback, help, ...more }
}

export const SETTINGS: { readonly [K in Key]: Setting<Config[K]> } = {
  host: setting('HOST', host(), '0.0.0.0',
    'Address to listen on: 0.0.0.0 for all network interfaces, 127.0.0.1 for this machine only.'),
  port: setting('PORT', integer({ min: 0, max: 65_535 }), '8080', 'HTTP port; 0 picks a free one.'),
  workers: setting('WORKERS', integer({ min: 1, max: 64 }),
    { value: workersByDefault, label: 'half of the CPU cores, from 1 to 4' }, 'Number of HTTP worker processes.'),
  udpPorts: setting('UDP_PORT', ports(UDP_PORTS_MAX), '8081',
    'UDP ports, each with its own worker process; `off` disables UDP.'),
  udpReceiveBufferBytes: setting('UDP_RECEIVE_BUFFER', size({ min: bytes('64KB'), max: bytes('1GB') }), '8MB',
    'Kernel receive buffer of each UDP worker; the kernel may grant less, see net.core.rmem_max.'),
  dataDir: setting('DATA_DIR', path(), './data', 'Directory for everything kept on disk.'),
  catalogue: setting('CATALOGUE', file(),
    { value: () => null, label: 'that of the database, initially the built-in one' },
    'YAML file that declares the metrics of a point; `catalogue init` writes an example.'),
  databaseUrl: setting('DATABASE_URL', databaseUrl(),
    { value: () => null, label: 'embedded PostgreSQL in DATA_DIR' },
    'PostgreSQL or TimescaleDB database to write to.', {
      complete: (text, env) => text === null ? { ok: true, value: null } : completeTarget(text, env),
      mask: text => text === null ? '' : maskTarget(text)
    }),
  spoolDir: setting('SPOOL_DIR', pathOffOrLog(), { value: () => '', label: 'DATA_DIR/spool' },
    'Where points are made durable before they are acknowledged: a directory, or servers of a replicated log ' +
    '(NATS JetStream, see docs/SCALE.md); `off` acknowledges after COMMIT.', { mask: maskLogUrl }),
  spoolMaxBytes: setting('SPOOL_MAX_BYTES', size({ min: bytes('16MB'), max: bytes('1024TB') }), '10GB',
    'Maximum size of the spool, all workers together; at least 5MB per HTTP worker and UDP port. ' +
    'Points are refused when it is full.'),
  spoolReserveBytes: setting('SPOOL_RESERVE_BYTES', size({ min: 0, max: bytes('1024TB') }), '256MB',
    'Disk space that the spool leaves free; points are refused when less is available.'),
  logReplicas: setting('LOG_REPLICAS', integer({ min: 1, max: 5 }), '3',
    'Copies of each stream if SPOOL_DIR is a replicated log; needs at least as many servers.'),
  logTakeoverMs: setting('LOG_TAKEOVER', duration({ min: ms('5s'), max: ms('1h') }), '30s',
    'How long a server must be unseen before another one stores what it left in the replicated log.'),
  batchSize: setting('BATCH_SIZE', integer({ min: 1, max: 100_000 }), '1000',
    'Number of points at which a batch is closed and written.'),
  batchTimeoutMs: setting('BATCH_TIMEOUT', duration({ min: 1, max: ms('60s') }), '1s',
    'Maximum time that a point waits for its batch to fill.'),
  maxConnections: setting('MAX_CONNECTIONS', integer({ min: 1 + CONNECTIONS_BESIDE_WORKERS, max: 10_000 }), '50',
    'Maximum number of database connections, all processes together; at least one per HTTP worker and UDP port, plus ' +
    `${CONNECTIONS_BESIDE_WORKERS} (${CONNECTIONS_BESIDE_WORKERS + 1} with a replicated log). ` +
    `Up to ${QUERIES_MAX + EXPORTS_MAX - QUERY_CONNECTIONS_MIN} more are for queries and exports.`),
  memoryMaxBytes: setting('MEMORY_MAX_BYTES', size({ min: bytes('64KB'), max: bytes('64GB') }), '64MB',
    'Maximum size of the points that each worker holds in memory while the database is unavailable.'),
  maxBodyBytes: setting('MAX_BODY_BYTES', size({ min: bytes('1KB'), max: bytes('64MB') }), '8MB',
    'Maximum size of a request body, after decompression.'),
  timeWindowPastMs: setting('TIME_WINDOW_PAST', duration({ max: ms('36500d') }), '30d',
    'Points older than this are rejected.'),
  timeWindowFutureMs: setting('TIME_WINDOW_FUTURE', duration({ max: ms('36500d') }), '5m',
    'Points further in the future than this are rejected.'),
  unknownFields: setting('UNKNOWN_FIELDS', oneOf(['reject', 'ignore']), 'reject',
    'What to do with points that have unknown fields.'),
  apiTokens: setting('API_TOKENS', list(TOKEN_LENGTH_MIN),
    { value: () => Object.freeze([]), label: 'none: no token is required' },
    'Tokens with full access; requests must send one as Authorization: Bearer.',
    { mask: tokens => tokens.map(() => '***').join(',') }),
  apiTokensFile: setting('API_TOKENS_FILE', file(), { value: () => null, label: 'none' },
    'YAML or JSON file of further tokens, with roles; `token create` prints entries for it, SIGHUP reloads it.'),
  readOpen: setting('READ_OPEN', oneOf(['on', 'off']), 'off',
    'Whether reading is allowed without a token even if tokens are configured.'),
  udpKeysFile: setting('UDP_KEYS_FILE', file(), { value: () => null, label: 'none: no key is required' },
    'YAML or JSON file of keys that authenticate UDP senders; `udp-key create` prints entries for it, SIGHUP reloads ' +
    'it.'),
  udpOpen: setting('UDP_OPEN', oneOf(['on', 'off']), 'off',
    'Whether UDP packets without a key are still accepted when keys are configured, until all senders have theirs.'),
  tlsCert: setting('TLS_CERT', file(), { value: () => null, label: 'none: plain HTTP' },
    'Certificate in PEM, followed by its intermediate certificates; HTTP is then served over TLS only. SIGHUP ' +
    'reloads it.'),
  tlsKey: setting('TLS_KEY', file(), { value: () => null, label: 'none' }, 'Key of TLS_CERT in PEM, not encrypted.'),
  tlsClientCa: setting('TLS_CLIENT_CA', file(), { value: () => null, label: 'none: clients need no certificate' },
    'Root certificates in PEM; every client must present a certificate that one of them has issued.'),
  allowedOrigins: setting('ALLOWED_ORIGINS', origins(), { value: () => Object.freeze([]), label: 'only its own' },
    'Sites whose pages may read, send points and change limits (CORS); needed behind a proxy that changes Host.'),
  clientRequests: setting('CLIENT_REQUESTS', integerOrOff({ min: 1, max: RATE_MAX }), 'off',
    'Maximum requests per second from a client, identified by its token or else its address; more are answered ' +
    'with 429. Tokens in API_TOKENS_FILE may have bounds of their own.'),
  clientPoints: setting('CLIENT_POINTS', integerOrOff({ min: 1, max: RATE_MAX }), 'off',
    'Maximum points per second from a client over HTTP; more are answered with 429.'),
  clientConnections: setting('CLIENT_CONNECTIONS', integerOrOff({ min: 1, max: 1_000_000 }), 'off',
    'Maximum connections from one address (IPv6: one /64 network) to each HTTP worker, except proxies in ' +
    'TRUSTED_PROXIES; needs node:http.'),
  trustedProxies: setting('TRUSTED_PROXIES', networks(), { value: () => Object.freeze([]), label: 'none' },
    'Proxies whose X-Forwarded-For says who a client is.'),
  logLevel: setting('LOG_LEVEL', oneOf(['debug', 'info', 'warn', 'error']), 'info', 'Minimum severity to log.'),
  retentionMs: setting('RETENTION', duration({ min: ms('1m'), max: ms('36500d') }), '30d',
    'Age at which telemetry is dropped; at least TIME_WINDOW_PAST.'),
  compressAfterMs: setting('COMPRESS_AFTER', duration({ min: ms('1m'), max: ms('36500d') }), '2h',
    'Age at which TimescaleDB compresses telemetry.'),
  chunkIntervalMs: setting('CHUNK_INTERVAL', duration({ min: ms('1m'), max: ms('365d') }), '1h',
    'Time span of a TimescaleDB chunk; for anomalies 24 times as long, up to a day. Changes apply to new chunks.'),
  timescaleDirectCompress: setting('TIMESCALE_DIRECT_COMPRESS', oneOf(['on', 'off']), 'off',
    'Whether TimescaleDB compresses batches of 10,000 points or more as they are stored.'),
  distribute: setting('DISTRIBUTE', oneOf(['on', 'off']), 'off',
    'Whether tables are spread over the nodes of a Citus database; once they are, they stay so.'),
  readerPassword: setting('READER_PASSWORD', secret(8),
    { value: () => null, label: 'none: the role cannot log in' },
    'Password for the read-only database role orbitstream_reader, for Grafana.',
    { mask: password => password === null ? '' : '***' }),
  shutdownDeadlineMs: setting('SHUTDOWN_DEADLINE', duration({ min: 100, max: ms('1h') }), '30s',
    'Graceful shutdown deadline.'),
  httpEngine: setting('HTTP_ENGINE', oneOf(['auto', 'uws', 'node']), 'auto',
    'HTTP server: uWebSockets.js, node:http, or `auto` for uWebSockets.js where it runs safely; see docs/HTTP.md.'),
  ...thresholdSettings()
}

export const KEYS = Object.keys(SETTINGS) as readonly Key[]

/** Rules across settings: an error message, or null. Skipped while any of `keys` is invalid. */
export const RULES: ReadonlyArray<{
  readonly keys: readonly [Key, ...Key[]],
  readonly check: (config: Config) => string | null
}> = [
  {
    keys: ['maxConnections', 'workers', 'udpPorts', 'spoolDir'],
    check (config) {
      const { maxConnections, workers, udpPorts } = config
      const needed = storingConnectionsOf(config) + QUERY_CONNECTIONS_MIN
      return maxConnections >= needed
        ? null
        : `${maxConnections} is too low for ${workers} WORKERS and ${udpPorts.length} UDP_PORT entries: ` +
          `raise it to ${needed} or more, or lower WORKERS`
    }
  },
  {
    keys: ['spoolMaxBytes', 'spoolDir', 'workers', 'udpPorts'],
    check (config) {
      const needed = writersOf(config) * SLOT_SPOOL_BYTES_MIN
      if (config.spoolDir === 'off' || config.spoolMaxBytes >= needed) return null
      return `${formatSize(config.spoolMaxBytes)} is too small for ${config.workers} WORKERS and ` +
        `${config.udpPorts.length} UDP_PORT entries: raise it to ${formatSize(needed)} or more, or lower WORKERS`
    }
  },
  {
    keys: ['retentionMs', 'timeWindowPastMs'],
    check ({ retentionMs, timeWindowPastMs }) {
      if (retentionMs >= timeWindowPastMs) return null
      return `${formatDuration(retentionMs)} is shorter than TIME_WINDOW_PAST (${formatDuration(timeWindowPastMs)}): ` +
        'points would be dropped as soon as they are stored; raise it or lower TIME_WINDOW_PAST'
    }
  },
  {
    keys: ['tlsCert', 'tlsKey'],
    check ({ tlsCert, tlsKey }) {
      if ((tlsCert === null) === (tlsKey === null)) return null
      return tlsKey === null ? 'needs TLS_KEY, the key of the certificate' : 'must be set if TLS_KEY is'
    }
  },
  {
    keys: ['tlsClientCa', 'tlsCert', 'httpEngine'],
    check ({ tlsClientCa, tlsCert, httpEngine }) {
      if (tlsClientCa === null) return null
      if (tlsCert === null) return 'needs TLS_CERT and TLS_KEY'
      return httpEngine === 'uws' ? 'needs HTTP_ENGINE auto or node: uWebSockets.js cannot require certificates' : null
    }
  },
  {
    keys: ['clientConnections', 'httpEngine'],
    check ({ clientConnections, httpEngine }) {
      return clientConnections === null || httpEngine !== 'uws'
        ? null
        : 'needs HTTP_ENGINE auto or node: uWebSockets.js does not say whose connection was closed'
    }
  }
]

/**
 * Number of worker processes of all kinds: each has a slot, a spool and a database connection. HTTP workers come first.
 */
export function writersOf ({ workers, udpPorts }: Pick<Config, 'workers' | 'udpPorts'>): number {
  return workers + udpPorts.length
}

/** Connections of workers and primary, without those of queries. With a log, the keeper of lanes has one, too. */
function storingConnectionsOf (config: Pick<Config, 'workers' | 'udpPorts' | 'spoolDir'>): number {
  return writersOf(config) + PRIMARY_CONNECTIONS + (isLogUrl(config.spoolDir) ? 1 : 0)
}

/** How many queries and exports run at a time, in all processes together; each has a connection. */
export function queryConnectionsOf (
  config: Pick<Config, 'workers' | 'udpPorts' | 'maxConnections' | 'spoolDir'>
): { readonly queries: number, readonly exports: number } {
  const spare = Math.max(QUERY_CONNECTIONS_MIN, config.maxConnections - storingConnectionsOf(config))
  const queries = Math.min(QUERIES_MAX, Math.floor(spare / 2))
  return { queries, exports: Math.min(EXPORTS_MAX, spare - queries) }
}

/** The servers of the replicated log; null without one. */
export function logTarget ({ spoolDir }: Pick<Config, 'spoolDir'>): LogTarget | null {
  return isLogUrl(spoolDir) ? parseLogUrl(spoolDir) : null
}

/** The spool's directory; null without a spool. */
export function spoolDirectory ({ spoolDir, dataDir }: Pick<Config, 'spoolDir' | 'dataDir'>): string | null {
  if (spoolDir === 'off' || isLogUrl(spoolDir)) return null
  return spoolDir === '' ? join(dataDir, 'spool') : spoolDir
}
