/**
 * One connection to PostgreSQL: the only module that knows `pg` and `pg-copy-streams`; piped-copy.ts is a part of it.
 *
 *   connect ──▶ alive ──query, copyIn, copyAfter──▶ alive ──close──▶ closed
 *                 │  └─ copyIn refused: the session is thrown away, since its protocol state is not to be trusted
 *                 └─ socket or server gone: onLost, once
 *
 * It promises that every call settles once the connection is gone, that nothing of a lost connection is thrown into
 * the process, and that close() ends within its deadline. Statements run one after another: await each.
 *
 * Errors of the server keep their SQLSTATE (sqlState). Everything that means "this connection is not usable" is
 * recognised by isConnectionError; the work that was under way may or may not have happened.
 *
 * bigint columns come back as strings, as node-postgres does it: they may not fit a number.
 */
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { Client, DatabaseError } from 'pg'
import type { ClientConfig, QueryResult, QueryResultRow } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { ConnectionOptions } from 'node:tls'
import { parseTarget, type ConnectionTarget } from './connection-target.js'
import { OperatingError } from '../support/errors.js'
import { canDoWithout, encryptionOf } from './encryption.js'
import { PipedCopy, type PipedOutcome } from './piped-copy.js'
import { SESSION_SETTINGS } from './session.js'
import { StartupError } from '../support/startup-error.js'

export interface ConnectOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
  /** All of it: the network, the server's welcome, the settings of the session. */
  readonly connectTimeoutMs: number
  /**
   * A statement that takes longer is cancelled by the server; without a word of that the connection is cut a little later:
   * a peer that vanished says nothing, and the system would wait a quarter of an hour. Both are isUnanswered.
   * COMMIT is not cancelled. Without it statements take as long as they take.
   */
  readonly statementMsMax?: number
}

export interface QueryOutcome<Row> {
  readonly rows: Row[]
  /** Rows returned or changed. */
  readonly rowCount: number
}

export interface Database {
  /** False from the moment that the connection is lost, closed or destroyed. */
  readonly alive: boolean
  /** Process id of the server's backend. */
  readonly backendPid: number
  /**
   * Runs one statement, or several without values (then the last one's outcome counts).
   * Rejects with the server's error, or with one that isConnectionError knows.
   */
  query <Row extends object = Record<string, unknown>> (text: string, values?: readonly unknown[]): Promise<QueryOutcome<Row>>
  /**
   * COPY … FROM STDIN. Resolves with the rows that the server says it took; after any error the connection is destroyed.
   * @param chunks few and large: each costs two writes to the socket
   */
  copyIn (sql: string, chunks: readonly Buffer[]): Promise<number>
  /**
   * Statements without values, then COPY … FROM STDIN, in one round trip: the rows go along whatever the statements find,
   * so that a ROLLBACK is what takes them back. A server that refuses one of them, or rows, skips what is left of the rows,
   * and the session goes on; after any other error the connection is destroyed.
   * @param chunks few and large; they must stay as they are until the end
   */
  copyAfter (statements: readonly string[], sql: string, chunks: readonly Buffer[]): Promise<PipedOutcome>
  /** Called at most once, when server or network end the connection; not after close() or destroy(). */
  onLost: (error: Error) => void
  /** Waits for the statement under way, says goodbye, and cuts the connection if that takes longer than five seconds. */
  close (): Promise<void>
  /** Cuts the connection at once; what is under way rejects. */
  destroy (): void
}

/** A connection as connect() makes it. */
export interface DatabaseConnection extends Database {
  /** Calls back for each NOTIFY on the channel from now on, for as long as the connection lives. @param channel a plain SQL name */
  listen (channel: string, onNotice: (payload: string) => void): Promise<void>
}

const CLOSE_DEADLINE_MS = 5_000
/** A peer that vanished without a word is noticed after about this time of silence. */
const KEEPALIVE_DELAY_MS = 10_000

/** Classes and codes that say that no session is to be had, or that it is gone (PostgreSQL documentation, appendix A). */
const CONNECTION_STATES = /^(?:08...|57P0[1-5]|53300)$/
const READ_ONLY_TRANSACTION = '25006'
const CHECK_VIOLATION = '23514'
const PARTITION_ROUTINE = 'ExecFindPartition'
const INVALID_AUTHORIZATION = '28000'
const QUERY_CANCELED = '57014'
/** What the server's own word of a statement that took too long may take to arrive, as a share of its time and beyond. */
const LATE_SHARE = 0.1
const LATE_MS = 1_000

/** The server's SQLSTATE of an error; null if the error is not the server's. */
export function sqlState (error: unknown): string | null {
  return error instanceof DatabaseError ? error.code ?? null : null
}

/**
 * A row was refused since its table has no partition for it. The server tells it as any other check violation, in its own
 * language; only the routine that found it is always called the same. Source: PostgreSQL, src/backend/executor/execPartition.c.
 */
export function isMissingPartition (error: unknown): boolean {
  return error instanceof DatabaseError && error.code === CHECK_VIOLATION && error.routine === PARTITION_ROUTINE
}

/**
 * Nothing can be written now: there is no connection, or one to a standby or a database that was made read-only, which may be
 * over for the next session.
 */
export function isPassing (error: unknown): boolean {
  return isConnectionError(error) || sqlState(error) === READ_ONLY_TRANSACTION
}

class NoAnswer extends OperatingError {}

/** A statement took longer than statementMsMax. */
export function isUnanswered (error: unknown): boolean {
  return error instanceof NoAnswer || sqlState(error) === QUERY_CANCELED
}

/** The connection was not made, or is gone: try again with a new one. */
export function isConnectionError (error: unknown): boolean {
  if (error instanceof OperatingError) return error.code === 'database_unavailable'
  const state = sqlState(error)
  return state !== null && CONNECTION_STATES.test(state)
}

/** Says what a socket error says; the one for a host with several addresses has no message of its own. */
function messageOf (cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join('; ')
  return cause instanceof Error ? cause.message : String(cause)
}

/**
 * Hands all chunks over at once: they are in memory anyway, and a pipeline from a readable costs a third of the processor
 * time of a small COPY. The last one comes with the end, so that nothing is written to a stream that an error has closed.
 */
async function feed (stream: Writable, chunks: readonly Buffer[]): Promise<void> {
  const done = finished(stream)
  for (const chunk of chunks.slice(0, -1)) stream.write(chunk)
  stream.end(chunks[chunks.length - 1])
  await done
}

function unavailable (cause: unknown): OperatingError {
  return new OperatingError('database_unavailable', `The database cannot be reached: ${messageOf(cause)}`, undefined, { cause })
}

/**
 * Connects, or rejects within the timeout: with the server's error if it refused (wrong password, no such database),
 * else with one that isConnectionError knows. The session has SESSION_SETTINGS. Throws a StartupError for a URL that is none.
 * @param url see lib/database/connection-target.ts; no variable of the environment counts beside it
 */
export async function connect (url: string, options: ConnectOptions): Promise<DatabaseConnection> {
  const target = parseTarget(url)
  if (!target.ok) throw new StartupError(`The URL of the database ${target.message}`)
  const endMs = performance.now() + options.connectTimeoutMs
  const encryption = await encryptionOf(target.value).catch((error: unknown) => { throw unavailable(error) })
  try {
    return await open(target.value, encryption, options, endMs)
  } catch (error) {
    if (!canDoWithout(target.value) || !isRefusedForTls(error) || performance.now() >= endMs) throw error
    return await open(target.value, false, options, endMs)
  }
}

/** Not what a server says to whom it knows: a wrong password is wrong without TLS too. */
function isRefusedForTls (error: unknown): boolean {
  const state = sqlState(error)
  return state === null || state === INVALID_AUTHORIZATION
}

/** @param endMs on the monotonic clock */
async function open (target: ConnectionTarget, encryption: ConnectionOptions | false, { applicationName, statementMsMax }: ConnectOptions, endMs: number): Promise<DatabaseConnection> {
  const client = new Client(clientConfig(target, encryption, applicationName, endMs - performance.now()))
  // Of these `pg` would ask the environment, too.
  Object.assign((client as unknown as ClientInternals).connectionParameters, { options: target.options, replication: null })
  const connection = new PgConnection(client, statementMsMax)
  let cut: NodeJS.Timeout | null = null
  try {
    await client.connect()
    // A pooler lets us in, and then has no session for us.
    cut = setTimeout(() => connection.destroy(), endMs - performance.now())
    await connection.query(statementMsMax === undefined ? SESSION_SETTINGS : `${SESSION_SETTINGS}; SET statement_timeout = ${statementMsMax}`)
    return connection
  } catch (error) {
    connection.destroy()
    if (error instanceof DatabaseError || isConnectionError(error)) throw error
    throw unavailable(error)
  } finally {
    if (cut !== null) clearTimeout(cut)
  }
}

/** With a value for each that `pg` would take from the environment; null leaves it its default. */
function clientConfig (target: ConnectionTarget, ssl: ConnectionOptions | false, applicationName: string, timeoutMs: number): ClientConfig & { sslnegotiation: string } {
  const { host, port, user, password, database } = target
  return {
    ...host === null ? {} : { host },
    ...port === null ? {} : { port },
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

/** What the types of `pg` leave out: the backend's process id, what the startup message is made of, and the socket below. */
interface ClientInternals {
  readonly processID: number | null
  readonly connectionParameters: object
  readonly connection: { readonly stream: { destroy: () => void } }
}

class PgConnection implements DatabaseConnection {
  alive = true
  onLost: (error: Error) => void = () => undefined
  private readonly internals: ClientInternals
  /** Ends with the statement under way, if there is one; never rejects. */
  private running: Promise<unknown> = Promise.resolve()
  private closing: Promise<void> | null = null

  /** Why it was cut, if it was for want of an answer. */
  private noAnswer: OperatingError | null = null

  constructor (private readonly client: Client, private readonly statementMsMax?: number) {
    this.internals = client as unknown as ClientInternals
    // Without a listener an error between two statements would end the process. It stays for good: a destroyed
    // socket may still have one to tell.
    client.on('error', error => this.lose(error))
    client.on('end', () => this.lose(new Error('The connection ended')))
  }

  get backendPid (): number {
    return this.internals.processID ?? 0
  }

  async query <Row extends object = Record<string, unknown>> (text: string, values?: readonly unknown[]): Promise<QueryOutcome<Row>> {
    const outcome = await this.track(this.client.query<Row & QueryResultRow>(text, values as unknown[] | undefined))
    // Several statements in one text give an array, which the types do not know.
    const last = (Array.isArray(outcome) ? outcome.at(-1) : outcome) as QueryResult<Row & QueryResultRow>
    return { rows: last.rows, rowCount: last.rowCount ?? 0 }
  }

  async listen (channel: string, onNotice: (payload: string) => void): Promise<void> {
    this.client.on('notification', notice => {
      if (notice.channel === channel) onNotice(notice.payload ?? '')
    })
    await this.query(`LISTEN ${channel}`)
  }

  async copyIn (sql: string, chunks: readonly Buffer[]): Promise<number> {
    const stream = this.client.query(copyFrom(sql))
    try {
      await this.track(feed(stream, chunks))
      return stream.rowCount
    } catch (error) {
      // After an error the stream still holds on to the connection, and its state is unknown.
      this.destroy()
      throw error
    }
  }

  async copyAfter (statements: readonly string[], sql: string, chunks: readonly Buffer[]): Promise<PipedOutcome> {
    try {
      return await this.track(this.client.query(new PipedCopy(statements, sql, chunks)).outcome)
    } catch (error) {
      if (!(error instanceof DatabaseError) || isConnectionError(error)) this.destroy()
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

  /** Remembers what runs, and makes errors of a dead connection recognisable. */
  private async track<T> (work: Promise<T>): Promise<T> {
    this.running = work.catch(() => undefined)
    const cut = this.statementMsMax === undefined ? undefined : setTimeout(() => this.giveUp(), this.statementMsMax * (1 + LATE_SHARE) + LATE_MS)
    try {
      return await work
    } catch (error) {
      throw this.alive || error instanceof DatabaseError ? error : this.noAnswer ?? unavailable(error)
    } finally {
      clearTimeout(cut)
    }
  }

  private giveUp (): void {
    this.noAnswer = new NoAnswer('database_unavailable', 'The database does not answer: it, or the way to it, has gone without a word.')
    this.lose(this.noAnswer)
  }

  private lose (error: Error): void {
    if (!this.alive) return
    this.alive = false
    this.internals.connection.stream.destroy()
    this.onLost(error)
  }
}
