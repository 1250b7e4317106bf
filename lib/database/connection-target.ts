/**
 * DATABASE_URL, parsed as libpq does, so that a URL that works in psql works here:
 *
 *   postgres://user:password@host:port,host:port/database?target_session_attrs=…&sslmode=…&options=…
 *
 * A host may be an IPv6 address in brackets, or a directory of Unix sockets if it starts with a slash (%2Frun, or
 * ?host=/run/postgresql). Everything may be percent-encoded; a % that encodes nothing is literal. What the URL omits is
 * filled in from the variables in VARIABLES, once, when the configuration is loaded. Other PG* variables are ignored,
 * and all of them for the embedded database.
 *
 * Several hosts are tried in turn (connection.ts). `host=a,b` and `port=1,2` replace those before the slash; there is
 * one port for all hosts, or one for each, and an empty one is the default. If a parameter is given twice, the last one
 * counts.
 *
 * Unlike psql: without sslmode nothing is encrypted, so that COPY over loopback does not pay for it; without
 * sslrootcert the authorities known to Node.js are trusted; of several hosts only one that accepts writes is ever used.
 *
 * Source: PostgreSQL manual, "Connection URIs", "Specifying Multiple Hosts", "Environment Variables", "SSL Support".
 */
import { isIPv6 } from 'node:net'
import type { Parsed } from '../config/setting-types.js'

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'no-verify', 'verify-ca', 'verify-full'] as const
export type SslMode = typeof SSL_MODES[number]
/** `ssl`, the equivalent parameter of `pg`. */
const SSL_VALUES: ReadonlyMap<string, SslMode> = new Map([
  ['true', 'verify-full'], ['1', 'verify-full'], ['no-verify', 'no-verify'], ['false', 'disable'], ['0', 'disable']
])
/** As sslrootcert: the authorities known to Node.js. */
export const SYSTEM = 'system'

export interface TargetHost {
  /** An absolute path is the directory of a Unix socket. */
  readonly host: string
  readonly port: number
}

/** What a server must be to be used; `any` only where there is no choice. */
export type SessionAttributes = 'any' | 'read-write' | 'primary'

/** Where a database is and how to log in. Null is left to `pg`. */
export interface ConnectionTarget {
  /** At least one, in the order in which they are tried. */
  readonly hosts: readonly TargetHost[]
  readonly sessionAttributes: SessionAttributes
  /** For each host; null: the caller's. */
  readonly connectTimeoutMs: number | null
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
/** Scheme and user, hosts, the rest. */
const PARTS = /^(\w+:\/\/(?:[^/?]*@)?)([^/?]*)(.*)$/s
/** One of the hosts, with its port: a name, an address, an encoded path, or nothing. */
const HOST = /^(?:\[(?<address>[^\]]+)\]|(?<name>[^\s:[\]<>\\^|]*))(?::(?<port>\d*))?$/
/** Stands for the hosts: URL takes neither several nor none. */
const PLACEHOLDER_HOST = 'hosts.invalid'
const HOST_DEFAULT = 'localhost'
const PORT_DEFAULT = 5432
const PORT_MAX = 65_535

const WRITABLE = ['any', 'read-write', 'primary'] as const
const READ_ONLY = ['read-only', 'standby', 'prefer-standby']

/** Variables that fill in omitted parameters, by parameter name. */
const VARIABLES = {
  host: 'PGHOST',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  dbname: 'PGDATABASE',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  connect_timeout: 'PGCONNECT_TIMEOUT',
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
      user, password, database: dbname, sslRootCert: sslrootcert, sslCert: sslcert, sslKey: sslkey
    } = readTarget(text)
    const { url, hosts } = split(text)
    const parameters = parametersOf(url)
    const said = {
      ...hostTexts(parameters, hosts),
      user,
      password,
      dbname,
      target_session_attrs: parameters.get('target_session_attrs') ?? null,
      connect_timeout: parameters.get('connect_timeout') ?? null,
      sslmode: parameters.get('sslmode') ?? parameters.get('ssl') ?? null,
      sslrootcert,
      sslcert,
      sslkey
    }
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
  const { url, hosts } = split(text)
  if (url.password !== '') url.password = '***'
  for (const name of ['password', 'sslpassword']) {
    if (url.searchParams.has(name)) url.searchParams.set(name, '***')
  }
  // The user comes before it, with its signs encoded.
  return url.href.replace(/(:\/\/|@)hosts\.invalid/, (_all, before: string) => `${before}${hosts}`)
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
  const { url, hosts } = split(text)
  const parameters = parametersOf(url)
  const parameter = (name: string): string | null => parameters.get(name) ?? null
  const targetHosts = hostsOf(hostTexts(parameters, hosts))
  return {
    hosts: targetHosts,
    sessionAttributes: sessionAttributesOf(parameter('target_session_attrs') ?? 'any', targetHosts.length > 1),
    connectTimeoutMs: timeoutOf(parameter('connect_timeout')),
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

/** The hosts as written, and the rest with a placeholder for them. */
function split (text: string): { readonly url: URL, readonly hosts: string } {
  if (!SCHEME.test(text)) throw new TargetFault('must begin with postgres:// or postgresql://')
  // There are no fragments: a # is like any other character.
  const [, before = '', hosts = '', rest = ''] = PARTS.exec(text.replaceAll('#', '%23')) ?? []
  const whole = `${before}${PLACEHOLDER_HOST}${rest}`
  if (!URL.canParse(whole)) throw invalid()
  return { url: new URL(whole), hosts }
}

function invalid (): TargetFault {
  return new TargetFault('is not a valid URL; special characters in the password must be percent-encoded')
}

/** Hosts and ports between commas; null: not said. */
interface HostTexts {
  readonly host: string | null
  readonly port: string | null
}

function hostTexts (parameters: ReadonlyMap<string, string>, written: string): HostTexts {
  const parts = written.split(',').map(partOf)
  const port = parts.map((part) => part.port).join(',')
  return {
    host: parameters.get('host') ?? decoded(parts.map(({ host }) => host).join(',')),
    port: parameters.get('port') ?? (port === '' ? null : port)
  }
}

function partOf (text: string): { readonly host: string, readonly port: string } {
  const { address, name = '', port = '' } = HOST.exec(text)?.groups ?? { address: '' }
  if (address === undefined) return { host: name, port }
  if (!isIPv6(decoded(address) ?? '')) throw invalid()
  return { host: address, port }
}

function hostsOf ({ host, port }: HostTexts): TargetHost[] {
  const hosts = (host ?? '').split(',')
  const ports = (port ?? '').split(',').map(portOf)
  if (ports.length !== 1 && ports.length !== hosts.length) {
    throw new TargetFault(`has ${ports.length} ports for ${hosts.length} host${hosts.length === 1 ? '' : 's'}; ` +
      'one for each is needed, or one for all')
  }
  return hosts.map((name, index) => ({
    host: name === '' ? HOST_DEFAULT : name,
    port: (ports.length === 1 ? ports[0] : ports[index]) ?? PORT_DEFAULT
  }))
}

/** Null if empty. */
function portOf (text: string): number | null {
  if (text === '') return null
  const port = /^\d+$/.test(text) ? Number(text) : NaN
  if (!(port >= 1 && port <= PORT_MAX)) {
    throw new TargetFault(`has the port "${text}", which is not between 1 and ${PORT_MAX}`)
  }
  return port
}

function sessionAttributesOf (text: string, areSeveral: boolean): SessionAttributes {
  if (READ_ONLY.includes(text)) {
    throw new TargetFault(`has target_session_attrs=${text}, but points can only be stored on a server that accepts ` +
      'writes: use read-write or primary')
  }
  const attributes = WRITABLE.find(candidate => candidate === text)
  if (attributes === undefined) {
    throw new TargetFault(`has the target_session_attrs "${text}", which is not one of ${WRITABLE.join(', ')}`)
  }
  return attributes === 'any' && areSeveral ? 'read-write' : attributes
}

/** Zero and less mean no limit to libpq; here the program has one. */
function timeoutOf (text: string | null): number | null {
  if (text === null) return null
  const seconds = /^[+-]?\d{1,6}$/.test(text) ? Number(text) : NaN
  if (Number.isNaN(seconds)) {
    throw new TargetFault(`has the connect_timeout "${text}", which is not a whole number of seconds`)
  }
  return seconds > 0 ? seconds * 1000 : null
}

function sslModeOf (parameters: ReadonlyMap<string, string>): SslMode {
  const ssl = parameters.get('ssl')
  const isSystem = parameters.get('sslrootcert') === SYSTEM
  const byDefault = isSystem ? 'verify-full' : parameters.get('sslnegotiation') === 'direct' ? 'require' : 'disable'
  const text = parameters.get('sslmode') ?? (ssl === undefined ? byDefault : SSL_VALUES.get(ssl))
  if (text === undefined) {
    throw new TargetFault(`has the ssl "${ssl}", which is not one of ${[...SSL_VALUES.keys()].join(', ')}: use sslmode`)
  }
  const mode = SSL_MODES.find(candidate => candidate === text)
  if (mode === undefined) {
    throw new TargetFault(`has the sslmode "${text}", which is not one of ${SSL_MODES.join(', ')}`)
  }
  if (isSystem && mode !== 'verify-full') {
    throw new TargetFault(
      'has sslrootcert=system, which needs sslmode=verify-full: anybody can get a certificate from a public authority')
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
