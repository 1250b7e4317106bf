/**
 * One connection to PostgreSQL. Together with piped-copy.ts the only module that knows `pg` and `pg-copy-streams`.
 *
 *   connect ──▶ alive ──query, copyAfter──▶ alive ──close──▶ closed
 *                 └─ socket or server lost: onLost, once
 *
 * Guarantees: every call settles once the connection is lost, a lost connection raises no uncaught error, and close()
 * ends within its deadline. Statements run one after another: await each.
 *
 * Server errors keep their SQLSTATE (sqlState). isConnectionError recognises every error that makes the connection
 * unusable; the statement in progress may or may not have taken effect.
 *
 * bigint columns are returned as strings, as in node-postgres: they may not fit into a number.
 */
import type { Socket } from 'node:net'
import { finished } from 'node:stream/promises'
import { Client, DatabaseError } from 'pg'
import type { ClientConfig, QueryResult, QueryResultRow } from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import type { ConnectionOptions } from 'node:tls'
import { parseTarget, type ConnectionTarget, type TargetHost } from './connection-target.js'
import type { DatabaseConnection, QueryOutcome } from './database.js'
import { OperatingError } from '../support/errors.js'
import { canDoWithout, encryptionOf } from './encryption.js'
import { PipedCopy, type PipedOutcome } from './piped-copy.js'
import { answers } from './probe.js'
import { REFUSALS, SESSION_SETTINGS } from './session.js'
import { CHECK_VIOLATION, INVALID_AUTHORIZATION, QUERY_CANCELED, READ_ONLY_TRANSACTION } from './sqlstates.js'
import { StartupError } from '../support/startup-error.js'

export interface ConnectOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
  /** Covers the network, the handshake and the session settings. */
  readonly connectTimeoutMs: number
  /**
   * The server cancels a statement that takes longer. If its answer does not arrive, the connection is cut a little
   * later: a peer that vanished sends nothing, and TCP would wait for a quarter of an hour. Both are isUnanswered.
   * COMMIT is not cancelled. Default: no limit.
   */
  readonly statementMsMax?: number
  /** Statements that the session begins with, besides SESSION_SETTINGS. Default: none. */
  readonly settings?: string
  /** Of several hosts, the one that served last is tried first. Default: in the order of the URL. */
  readonly lastHost?: LastHost
  /** For tests; default: SILENCE_MS. */
  readonly silenceMs?: number
}

/** Remembers which of the hosts of a URL served last, for callers who connect often. */
export interface LastHost {
  /** Position in the URL. */
  position: number
}

const CLOSE_DEADLINE_MS = 5_000
/** A vanished peer is detected after about this much silence. */
const KEEPALIVE_DELAY_MS = 10_000

/** SQLSTATEs of a session that cannot be opened or was lost (PostgreSQL documentation, appendix A). */
const CONNECTION_STATES = /^(?:08...|57P0[1-5]|53300)$/
const PARTITION_ROUTINE = 'ExecFindPartition'
/** Grace for the server's cancellation to arrive: a share of statementMsMax, plus LATE_MS. */
const LATE_SHARE = 0.1
const LATE_MS = 1_000
/** With several hosts: a statement unanswered for this long makes the connection ask whether the host is there. */
const SILENCE_MS = 5_000
/** An overloaded server answers late; one that lost its power never does. */
const PROBE_MS = 10_000

/** The SQLSTATE of a server error; null for any other. */
export function sqlState (error: unknown): string | null {
  return error instanceof DatabaseError ? error.code ?? null : null
}

/**
 * A row was refused because its table has no partition for it. The server reports a check violation with a localized
 * message; only the routine name identifies it. Source: PostgreSQL, src/backend/executor/execPartition.c.
 */
export function isMissingPartition (error: unknown): boolean {
  return error instanceof DatabaseError && error.code === CHECK_VIOLATION && error.routine === PARTITION_ROUTINE
}

/**
 * Nothing can be written now, but a later session may succeed: there is no connection, or the server is a standby, or
 * the database is read-only.
 */
export function isPassing (error: unknown): boolean {
  return isConnectionError(error) || sqlState(error) === READ_ONLY_TRANSACTION
}

const NO_ANSWER = 'The database does not answer: the server or the network is down.'

class NoAnswer extends OperatingError {}

/** A statement took longer than statementMsMax. */
export function isUnanswered (error: unknown): boolean {
  return error instanceof NoAnswer || sqlState(error) === QUERY_CANCELED
}

/** The connection was not made or was lost: try again with a new one. */
export function isConnectionError (error: unknown): boolean {
  if (error instanceof OperatingError) return error.code === 'database_unavailable'
  const state = sqlState(error)
  return state !== null && CONNECTION_STATES.test(state)
}

/** The error for a host with several addresses is an AggregateError without a message. */
function messageOf (cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join('; ')
  return cause instanceof Error ? cause.message : String(cause)
}

function unavailable (cause: unknown): OperatingError {
  const message = `The database cannot be reached: ${messageOf(cause)}`
  return new OperatingError('database_unavailable', message, undefined, { cause })
}

/**
 * Connects, or rejects: with the server's error if it refused (wrong password, no such database), else with one that
 * isConnectionError recognises. Applies SESSION_SETTINGS. Throws a StartupError for an invalid URL.
 *
 * Several hosts are tried in turn, each within the timeout, and the first that accepts writes is used; a host that is
 * unreachable, starting, full or read-only leads to the next, another refusal does not, as in libpq. So a caller whose
 * connection was lost, or whose server has become read-only, need only connect again. A host that falls silent during a
 * statement is asked for a sign of life, and the connection is lost if there is none: see probe.ts.
 * @param url see lib/database/connection-target.ts; environment variables are ignored
 */
export async function connect (url: string, options: ConnectOptions): Promise<DatabaseConnection> {
  const target = parseTarget(url)
  if (!target.ok) throw new StartupError(`The URL of the database ${target.message}`)
  const { hosts } = target.value
  const { lastHost = { position: 0 } } = options
  const failures: string[] = []
  for (const host of [...hosts.slice(lastHost.position), ...hosts.slice(0, lastHost.position)]) {
    try {
      const connection = await connectTo(target.value, host, options)
      lastHost.position = hosts.indexOf(host)
      return connection
    } catch (error) {
      if (hosts.length === 1 || !isConnectionError(error)) throw error
      failures.push(`${shownHost(host)}: ${messageOf(error instanceof OperatingError ? error.cause : error)}`)
    }
  }
  throw unavailable(new Error(`none of its hosts accepts writes (${failures.join('; ')})`))
}

async function connectTo (
  target: ConnectionTarget, host: TargetHost, options: ConnectOptions
): Promise<DatabaseConnection> {
  const endMs = performance.now() + (target.connectTimeoutMs ?? options.connectTimeoutMs)
  const encryption = await encryptionOf(target, host).catch((error: unknown) => { throw unavailable(error) })
  try {
    return await open(target, host, encryption, options, endMs)
  } catch (error) {
    if (!canDoWithout(target) || !isRefusedForTls(error) || performance.now() >= endMs) throw error
    return await open(target, host, false, options, endMs)
  }
}

function shownHost ({ host, port }: TargetHost): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The session was opened, but its server does not accept writes. */
class Unfit extends Error {}

/** Refusals that plain text may avoid: a wrong password is wrong without TLS too. */
function isRefusedForTls (error: unknown): boolean {
  if (error instanceof OperatingError && error.cause instanceof Unfit) return false
  const state = sqlState(error)
  return state === null || state === INVALID_AUTHORIZATION
}

/** @param endMs on the monotonic clock */
async function open (
  target: ConnectionTarget, host: TargetHost, encryption: ConnectionOptions | false, options: ConnectOptions,
  endMs: number
): Promise<DatabaseConnection> {
  const { applicationName, statementMsMax, settings, silenceMs = SILENCE_MS } = options
  const client = new Client(clientConfig(target, host, encryption, applicationName, endMs - performance.now()))
  // `pg` would read these from the environment.
  const { connectionParameters } = client as unknown as ClientInternals
  Object.assign(connectionParameters, { options: target.options, replication: null })
  const watch = target.hosts.length > 1 ? { host, silenceMs } : null
  const connection = new PgConnection(client, watch, statementMsMax)
  let cut: NodeJS.Timeout | null = null
  try {
    await client.connect()
    // A pooler may accept the connection before it has a session.
    cut = setTimeout(() => connection.destroy(), endMs - performance.now())
    const timeout = statementMsMax === undefined ? [] : [`SET statement_timeout = ${statementMsMax}`]
    const own = settings === undefined ? [] : [settings]
    const { rows: [session] } = await connection.query<{ refusal: string | null }>(
      [SESSION_SETTINGS, ...timeout, ...own, REFUSALS[target.sessionAttributes]].join('; '))
    if (session?.refusal != null) throw new Unfit(session.refusal)
    return connection
  } catch (error) {
    connection.destroy()
    if (error instanceof DatabaseError || isConnectionError(error)) throw error
    throw unavailable(error)
  } finally {
    if (cut !== null) clearTimeout(cut)
  }
}

/** Sets everything that `pg` would read from the environment; null: pg's default. */
function clientConfig (
  target: ConnectionTarget, { host, port }: TargetHost, ssl: ConnectionOptions | false, applicationName: string,
  timeoutMs: number
): ClientConfig & { sslnegotiation: string } {
  const { user, password, database } = target
  return {
    host,
    port,
    ...user === null ? {} : { user },
    ...password === null ? {} : { password },
    ...database === null ? {} : { database },
    ssl,
    sslnegotiation: target.sslDirect && ssl !== false ? 'direct' : 'postgres',
    application_name: target.applicationName ?? applicationName,
    connectionTimeoutMillis: Math.max(timeoutMs, 1),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS
  }
}

/** Missing from the types of `pg`: the backend's process id, the startup parameters, and the socket. */
interface ClientInternals {
  readonly processID: number | null
  readonly connectionParameters: object
  readonly connection: { readonly stream: Pick<Socket, 'destroy' | 'remoteAddress' | 'remotePort'> }
}

/** A host to be given up if it falls silent, because there are others. */
interface Watch {
  readonly host: TargetHost
  readonly silenceMs: number
}

class PgConnection implements DatabaseConnection {
  alive = true
  onLost: (error: Error) => void = () => undefined
  private readonly internals: ClientInternals
  /** Settles with the current statement; never rejects. */
  private running: Promise<unknown> = Promise.resolve()
  private closing: Promise<void> | null = null
  /** Set if the connection was cut because an answer did not arrive. */
  private noAnswer: OperatingError | null = null

  constructor (
    private readonly client: Client, private readonly watch: Watch | null, private readonly statementMsMax?: number
  ) {
    this.internals = client as unknown as ClientInternals
    // Without a listener an error between statements would crash the process. Never removed: a destroyed socket may
    // still emit one.
    client.on('error', error => this.lose(error))
    client.on('end', () => this.lose(new Error('The connection ended')))
  }

  get backendPid (): number {
    return this.internals.processID ?? 0
  }

  async query <Row extends object = Record<string, unknown>> (
    text: string, values?: readonly unknown[]
  ): Promise<QueryOutcome<Row>> {
    const outcome = await this.track(this.client.query<Row & QueryResultRow>(text, values as unknown[] | undefined))
    // Several statements yield an array, which the types omit.
    const last = (Array.isArray(outcome) ? outcome.at(-1) : outcome) as QueryResult<Row & QueryResultRow>
    return { rows: last.rows, rowCount: last.rowCount ?? 0 }
  }

  async listen (channel: string, onNotice: (payload: string) => void): Promise<void> {
    this.client.on('notification', notice => {
      if (notice.channel === channel) onNotice(notice.payload ?? '')
    })
    await this.query(`LISTEN ${channel}`)
  }

  async copyAfter (statements: readonly string[], sql: string, chunks: readonly Buffer[]): Promise<PipedOutcome> {
    try {
      return await this.track(this.client.query(new PipedCopy(statements, sql, chunks)).outcome)
    } catch (error) {
      if (!(error instanceof DatabaseError) || isConnectionError(error)) this.destroy()
      throw error
    }
  }

  async * copyOut (sql: string): AsyncGenerator<Buffer> {
    const stream = this.client.query(copyTo(sql))
    const done = this.track(finished(stream))
    // The server would go on sending, or the state of the protocol is unknown.
    done.catch(() => this.destroy())
    try {
      yield * stream as AsyncIterable<Buffer>
    } catch (error) {
      // Rejects with the same, but recognisable.
      await done
      throw error
    }
  }

  close (): Promise<void> {
    this.closing ??= this.sayGoodbye()
    return this.closing
  }

  destroy (): void {
    this.alive = false
    this.internals.connection.stream.destroy()
  }

  private async sayGoodbye (): Promise<void> {
    const deadline = setTimeout(() => this.destroy(), CLOSE_DEADLINE_MS)
    try {
      await this.running
      this.alive = false
      await this.client.end()
    } finally {
      clearTimeout(deadline)
      this.destroy()
    }
  }

  /** Tracks the current statement, and makes errors of a dead connection recognisable. */
  private async track<T> (work: Promise<T>): Promise<T> {
    this.running = work.catch(() => undefined)
    const { statementMsMax } = this
    const cut = statementMsMax === undefined
      ? undefined
      : setTimeout(() => this.giveUp(new NoAnswer('database_unavailable', NO_ANSWER)),
        statementMsMax * (1 + LATE_SHARE) + LATE_MS)
    const unwatch = this.watch === null ? null : this.watchHost(this.watch)
    try {
      return await work
    } catch (error) {
      throw this.alive || error instanceof DatabaseError ? error : this.noAnswer ?? unavailable(error)
    } finally {
      clearTimeout(cut)
      unwatch?.()
    }
  }

  /** Returns a function that ends it. */
  private watchHost ({ host: named, silenceMs }: Watch): () => void {
    const watched = { over: false }
    // Its name may lead to another server meanwhile. A socket of this machine has no address but its name.
    const { remoteAddress, remotePort } = this.internals.connection.stream
    const host = remoteAddress === undefined ? named : { host: remoteAddress, port: remotePort ?? named.port }
    const look = async (): Promise<void> => {
      const isThere = await answers(host, PROBE_MS)
      if (watched.over) return
      if (isThere) timer = setTimeout(() => { void look() }, silenceMs)
      else this.giveUp(new OperatingError('database_unavailable', NO_ANSWER))
    }
    let timer = setTimeout(() => { void look() }, silenceMs)
    return () => {
      watched.over = true
      clearTimeout(timer)
    }
  }

  private giveUp (error: OperatingError): void {
    this.noAnswer = error
    this.lose(error)
  }

  private lose (error: Error): void {
    if (!this.alive) return
    this.alive = false
    this.internals.connection.stream.destroy()
    this.onLost(error)
  }
}
