/**
 * DATABASE_URL, parsed as libpq does, so that a URL that works in psql works here:
 *
 *   postgres://user:password@host:port/database?sslmode=…&options=…
 *
 * The host may be an IPv6 address in brackets, or a directory of Unix sockets if it starts with a slash (%2Frun, or
 * ?host=/run/postgresql). Everything may be percent-encoded; a % that encodes nothing is literal. What the URL omits is
 * filled in from the variables in VARIABLES, once, when the configuration is loaded. Other PG* variables are ignored,
 * and all of them for the embedded database.
 *
 * Unlike psql: without sslmode nothing is encrypted, so that COPY over loopback does not pay for it; without
 * sslrootcert the authorities known to Node.js are trusted; and only one host is allowed.
 *
 * Source: PostgreSQL manual, "Connection URIs", "Environment Variables", "SSL Support".
 */
import type { Parsed } from '../config/value-types.js'

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'no-verify', 'verify-ca', 'verify-full'] as const
export type SslMode = typeof SSL_MODES[number]

/** Where a database is and how to log in. Null is left to `pg`. */
export interface ConnectionTarget {
  /** An absolute path is the directory of a Unix socket. */
  readonly host: string | null
  readonly port: number | null
  readonly user: string | null
  readonly password: string | null
  readonly database: string | null
  readonly sslMode: SslMode
  /** TLS from the first byte, without negotiation. */
  readonly sslDirect: boolean
  /** File paths; null: none. */
  readonly sslRootCert: string | null
  readonly sslCert: string | null
  readonly sslKey: string | null
  /** Command-line options for the session: "-c name=value". */
  readonly options: string | null
  readonly applicationName: string | null
}

const SCHEME = /^postgres(?:ql)?:\/\//
/** A user without a host, as in postgres://me@/database?host=/run/postgresql, which URL rejects. */
const WITHOUT_HOST = /^(\w+:\/\/[^/?#]*@)(?=[/?#]|$)/
const PLACEHOLDER_HOST = 'no-host.invalid'
const PORT_MAX = 65_535

/** Variables that fill in omitted parameters, by parameter name. */
const VARIABLES = {
  host: 'PGHOST',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  dbname: 'PGDATABASE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY'
} as const

/** What is wrong with a URL; never contains secrets. */
class TargetFault extends Error {
  override readonly name = 'TargetFault'
}

export function parseTarget (text: string): Parsed<ConnectionTarget> {
  return valueOrFault(() => readTarget(text))
}

/** The URL, with omitted parameters filled in from the environment. */
export function completeTarget (text: string, env: Readonly<Record<string, string | undefined>>): Parsed<string> {
  return valueOrFault(() => {
    const {
      host, port, user, password, database: dbname, sslRootCert: sslrootcert, sslCert: sslcert, sslKey: sslkey
    } = readTarget(text)
    const parameters = parametersOf(toUrl(text))
    const sslmode = parameters.get('sslmode') ?? parameters.get('ssl') ?? null
    const said = { host, port, user, password, dbname, sslmode, sslrootcert, sslcert, sslkey }
    const added = Object.entries(VARIABLES).flatMap(([name, variable]) => {
      const value = env[variable] ?? ''
      return said[name as keyof typeof VARIABLES] === null && value !== ''
        ? [`${name}=${encodeURIComponent(value)}`]
        : []
    })
    if (added.length === 0) return text
    const completed = `${text}${text.includes('?') ? '&' : '?'}${added.join('&')}`
    readTarget(completed)
    return completed
  })
}

/** The URL without secrets, for display. */
export function maskTarget (text: string): string {
  const url = toUrl(text)
  if (url.password !== '') url.password = '***'
  for (const name of ['password', 'sslpassword']) {
    if (url.searchParams.has(name)) url.searchParams.set(name, '***')
  }
  return url.href.replace(`@${PLACEHOLDER_HOST}`, '@')
}

function valueOrFault<T> (work: () => T): Parsed<T> {
  try {
    return { ok: true, value: work() }
  } catch (error) {
    if (error instanceof TargetFault) return { ok: false, message: error.message }
    throw error
  }
}

function readTarget (text: string): ConnectionTarget {
  const url = toUrl(text)
  const parameters = parametersOf(url)
  const parameter = (name: string): string | null => parameters.get(name) ?? null
  return {
    host: parameter('host') ?? hostOf(url),
    port: portOf(parameter('port') ?? url.port),
    user: parameter('user') ?? decoded(url.username),
    password: parameter('password') ?? decoded(url.password),
    database: parameter('dbname') ?? decoded(url.pathname.slice(1)),
    sslMode: sslModeOf(parameters),
    sslDirect: parameter('sslnegotiation') === 'direct',
    sslRootCert: parameter('sslrootcert'),
    sslCert: parameter('sslcert'),
    sslKey: parameter('sslkey'),
    options: parameter('options'),
    applicationName: parameter('application_name')
  }
}

function toUrl (text: string): URL {
  if (!SCHEME.test(text)) throw new TargetFault('must begin with postgres:// or postgresql://')
  const whole = text.replace(WITHOUT_HOST, `$1${PLACEHOLDER_HOST}`)
  if (!URL.canParse(whole)) {
    throw new TargetFault('is not a valid URL; special characters in the password must be percent-encoded')
  }
  return new URL(whole)
}

function hostOf ({ hostname }: URL): string | null {
  return hostname === PLACEHOLDER_HOST ? null : decoded(hostname.replace(/^\[(.+)\]$/, '$1'))
}

function portOf (text: string): number | null {
  if (text === '') return null
  const port = /^\d+$/.test(text) ? Number(text) : NaN
  if (!(port >= 1 && port <= PORT_MAX)) {
    throw new TargetFault(`has the port "${text}", which is not between 1 and ${PORT_MAX}`)
  }
  return port
}

/** `ssl` is the equivalent parameter of `pg`. */
function sslModeOf (parameters: ReadonlyMap<string, string>): SslMode {
  const ssl = parameters.get('ssl')
  const unsaid = parameters.get('sslnegotiation') === 'direct' ? 'require' : 'disable'
  const text = parameters.get('sslmode') ?? (ssl === 'true' || ssl === '1'
    ? 'verify-full'
    : ssl === 'no-verify'
      ? ssl
      : unsaid)
  const mode = SSL_MODES.find(candidate => candidate === text)
  if (mode === undefined) {
    throw new TargetFault(`has the sslmode "${text}", which is not one of ${SSL_MODES.join(', ')}`)
  }
  return mode
}

/** Non-empty query parameters. URLSearchParams would decode a plus sign, which libpq takes literally. */
function parametersOf ({ search }: URL): Map<string, string> {
  return new Map(search.slice(1).split('&').flatMap(pair => {
    const [name = ''] = pair.split('=', 1)
    const value = decoded(pair.slice(name.length + 1))
    return value === null ? [] : [[decoded(name) ?? '', value]]
  }))
}

/** Null if empty. Percent-encoded runs that are not UTF-8 are kept as they are. */
function decoded (text: string): string | null {
  if (text === '') return null
  return text.replace(/(?:%[0-9a-f]{2})+/gi, run => {
    try {
      return decodeURIComponent(run)
    } catch {
      return run
    }
  })
}
