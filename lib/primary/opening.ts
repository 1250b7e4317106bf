/**
 * The first steps of a start: connect to the database and migrate it.
 *
 *   connect ──▶ migrate ──▶ ready
 *      ▲  │        │
 *      └──┴ wait ──┘   unreachable, refusing connections, standby, read-only, connection lost: retried indefinitely
 *
 * Errors that waiting cannot fix (an encoding, privileges, a newer schema) end the start. So does the signal, at any
 * time: a running migration is rolled back and its backend terminated, so that its locks are free for the next start.
 */
import type { Catalogue } from '../../protocol/catalogue.js'
import { Backoff } from '../support/backoff.js'
import type { Config } from '../config/settings.js'
import type { Lifecycle } from '../support/lifecycle.js'
import { rateLimited, type Log } from '../support/log.js'
import { isPassing, connect } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { directCompressHindrance } from '../drain/direct-compress.js'
import { migrate } from '../schema/migrate.js'
import type { ServerKind } from '../schema/server-kind.js'
import { withLibrary } from '../schema/server-kind.js'
import { StartupError } from '../support/startup-error.js'
import { openDatabase } from './instance.js'

export interface OpenedDatabase {
  readonly url: string
  readonly kind: ServerKind
  readonly catalogue: Catalogue
  /** The highest epoch in its ledger. */
  readonly lastEpoch: number
}

export interface OpeningOptions {
  readonly config: Config
  /** Of the catalogue file; null: whatever the database has. */
  readonly proposed: Catalogue | null
  /** RETENTION is not set. */
  readonly retentionIsDefault: boolean
  readonly log: Log
  readonly lifecycle: Lifecycle
  readonly signal: AbortSignal
  /** Why the start is waiting; null: it no longer is. */
  readonly onWaiting: (reason: string | null) => void
}

export const APPLICATION_NAME = 'orbitstream primary'
const CONNECT_TIMEOUT_MS = 5_000
const CONNECT_RETRY_MS_MIN = 200
const CONNECT_RETRY_MS_MAX = 5_000
/** How often the same cause of waiting is logged; a new one is logged at once. */
const WAITING_LOG_INTERVAL_MS = 60_000
/** Time for terminating the backend of an aborted start; after that it is left to the server. */
const TERMINATE_TIMEOUT_MS = 1_000

/** Connects as the primary. Rejects as connect() does. @param statementMsMax see ConnectOptions */
export async function connectPrimary (url: string, statementMsMax?: number): ReturnType<typeof connect> {
  return await connect(url, {
    applicationName: APPLICATION_NAME,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    ...statementMsMax === undefined ? {} : { statementMsMax }
  })
}

export async function openAndMigrate (options: OpeningOptions): Promise<OpenedDatabase> {
  const { config, log, lifecycle, signal, onWaiting } = options
  const url = await openDatabase(config, log, lifecycle, signal)
  const backoff = new Backoff(CONNECT_RETRY_MS_MIN, CONNECT_RETRY_MS_MAX)
  const warn = rateLimited(log, WAITING_LOG_INTERVAL_MS)
  const onAbort = (): void => { backoff.cancel() }
  signal.addEventListener('abort', onAbort)
  try {
    for (;;) {
      const tried = await attempt(url, options)
      if (!('waitsFor' in tried)) return tried
      if (signal.aborted) throw new StartupError('Stopped while waiting for the database.', { cause: tried.cause })
      warn({}, tried.waitsFor)
      onWaiting(tried.waitsFor)
      await backoff.wait()
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    onWaiting(null)
  }
}

interface Waiting {
  readonly waitsFor: string
  readonly cause: unknown
}

async function attempt (url: string, options: OpeningOptions): Promise<OpenedDatabase | Waiting> {
  let db: Database
  try {
    db = await withLibrary(async () => await connectPrimary(url))
  } catch (cause) {
    if (cause instanceof StartupError) throw cause
    return { waitsFor: `waiting for the database; is DATABASE_URL right? ${(cause as Error).message}`, cause }
  }
  try {
    return await unlessAborted(db, url, options.signal, async () => await bringUpToDate(db, url, options))
  } catch (cause) {
    if (!isPassing(cause)) throw cause
    return { waitsFor: `waiting for the database: ${(cause as Error).message}`, cause }
  }
}

async function bringUpToDate (db: Database, url: string, options: OpeningOptions): Promise<OpenedDatabase> {
  const { config, proposed, retentionIsDefault, log } = options
  const { applied, kind, catalogue } = await migrate(db, { ...config, proposed, retentionIsDefault, log })
  const { rows } = await db.query<{ epoch: string }>(
    'SELECT coalesce(max(epoch), 0)::text AS epoch FROM ingest_ledger')
  if (applied.length > 0) log.info({ applied, kind }, 'the database was migrated')
  const reason = config.timescaleDirectCompress === 'on' ? await directCompressHindrance(db) : null
  if (reason !== null) log.warn({ reason }, 'TIMESCALE_DIRECT_COMPRESS has no effect here')
  return { url, kind, catalogue, lastEpoch: Number(rows[0]?.epoch) }
}

/** Closes the connection after the work. On the signal it is closed at once, and its backend terminated. */
async function unlessAborted<T> (
  db: Database, url: string, signal: AbortSignal, work: () => Promise<T>
): Promise<T> {
  const onAbort = (): void => { db.destroy() }
  signal.addEventListener('abort', onAbort)
  try {
    if (signal.aborted) db.destroy()
    return await work()
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (signal.aborted) await terminate(url, db.backendPid)
    else await db.close()
  }
}

async function terminate (url: string, backendPid: number): Promise<void> {
  try {
    const db = await connect(url, { applicationName: APPLICATION_NAME, connectTimeoutMs: TERMINATE_TIMEOUT_MS })
    const timer = setTimeout(() => { db.destroy() }, TERMINATE_TIMEOUT_MS)
    await db.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2',
      [backendPid, APPLICATION_NAME])
    clearTimeout(timer)
    db.destroy()
  } catch {
    // The server ends it when it next writes to the closed connection.
  }
}
