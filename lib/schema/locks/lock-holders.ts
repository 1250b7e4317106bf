/**
 * Foreign transactions that hold locks on our tables for longer than a moment, and what to do about them.
 *
 * Dropping a partition, like most migrations, needs exclusive access to a table for an instant. A request for it waits
 * for every current user of the table, and all later ones, writers included, queue behind it. So access is requested
 * only while no session holds the table for long. Sessions of orbitstream_reader that do are terminated: that role only
 * reads, and must not block anything. All others are waited for and named.
 *
 * Ages are measured by this process from when it first saw a transaction: the server shows them to few roles.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { sqlState } from '../../database/connection.js'
import type { Session } from '../../database/database.js'
import { identifier } from '../../database/quote.js'
import { READER_ROLE } from '../reader.js'
import { INSUFFICIENT_PRIVILEGE } from '../../database/sqlstates.js'
import type { StoreLog } from '../../support/store-log.js'

export interface LockHolder {
  readonly pid: number
  /** virtualtransaction of pg_locks. */
  readonly transaction: string
  readonly role: string
  readonly application: string
  /** Names, in the schema public. */
  readonly relations: readonly string[]
  /** Since this process first saw it. */
  readonly ageMs: number
}

/** The work is blocked by a foreign transaction. */
export class HeldUp extends Error {
  override readonly name = 'HeldUp'
}

/** Most writes and queries finish within this time. */
const MOMENT_MS = 3_000
const LOOK_INTERVAL_MS = 100
/** How long a reader's transaction may block others before it is terminated: a panel queries for a second or two. */
const READER_PATIENCE_MS = 60_000
/** The same if the server already has sessions waiting for it. */
const BLOCKING_PATIENCE_MS = 10_000
/** Between log messages about readers that this user may not terminate. */
const SAID_INTERVAL_MS = 60_000

export class LockHolders {
  private readonly firstSeenMs = new Map<string, number>()
  /** When it last said that it may not terminate readers. */
  private saidMs = -Infinity

  /** @param readerPatienceMs for tests; default: READER_PATIENCE_MS, BLOCKING_PATIENCE_MS */
  constructor (private readonly log: StoreLog, private readonly readerPatienceMs?: number) {}

  /**
   * Resolves when nobody has held any of these relations for longer than a moment; rejects with HeldUp, which names the
   * holder. Terminates readers that exceeded their patience.
   */
  async awaitFree (database: Session, relations: readonly string[]): Promise<void> {
    if (relations.length === 0) return
    const beganMs = performance.now()
    let left = (await this.look(database)).filter((holder) => holder.relations.some((name) => relations.includes(name)))
    while (left.length > 0 && performance.now() - beganMs < MOMENT_MS) {
      await delay(LOOK_INTERVAL_MS)
      const now = new Map((await this.look(database)).map((holder) => [holder.transaction, holder]))
      left = left.flatMap(({ transaction }) => now.get(transaction) ?? [])
    }
    const ended = await this.endReaders(database, left)
    const [holder] = left.filter(({ pid }) => !ended.includes(pid))
    if (holder === undefined) return
    const held = holder.relations.filter((name) => relations.includes(name))
    throw new HeldUp(`${describeHolder(holder)} holds ${held.join(', ')}`)
  }

  /** All other sessions that currently hold a lock on a relation in public. */
  async look (database: Session): Promise<LockHolder[]> {
    const { rows } = await database.query<Omit<LockHolder, 'ageMs'>>(HOLDERS)
    const nowMs = performance.now()
    const present = new Set(rows.map(({ transaction }) => transaction))
    for (const known of this.firstSeenMs.keys()) if (!present.has(known)) this.firstSeenMs.delete(known)
    return rows.map((holder) => {
      const seenMs = this.firstSeenMs.get(holder.transaction) ?? nowMs
      this.firstSeenMs.set(holder.transaction, seenMs)
      return { ...holder, ageMs: nowMs - seenMs }
    })
  }

  /** Terminates readers that exceeded their patience, and returns their process ids. */
  async endReaders (database: Session, holders: readonly LockHolder[]): Promise<number[]> {
    const { readerPatienceMs = READER_PATIENCE_MS } = this
    const overdue = holders.filter(({ role, ageMs }) => role === READER_ROLE && ageMs >= readerPatienceMs)
    return await this.endSessions(database, overdue)
  }

  /**
   * Terminates reader sessions that others have been waiting for: TimescaleDB jobs, and sessions queued behind them,
   * would wait forever.
   */
  async endBlockingReaders (database: Session): Promise<void> {
    const { readerPatienceMs = BLOCKING_PATIENCE_MS } = this
    const { rows } = await database.query<{ pid: number }>(BLOCKING_READERS, [READER_ROLE, readerPatienceMs])
    await this.endSessions(database, rows)
  }

  private async endSessions (database: Session, sessions: ReadonlyArray<{ readonly pid: number }>): Promise<number[]> {
    const ended: number[] = []
    for (const { pid } of sessions) {
      try {
        await database.query('SELECT pg_terminate_backend($1)', [pid])
        this.log.warn(
          { pid }, `A session of ${READER_ROLE} was terminated: it held a lock that others were waiting for`)
        ended.push(pid)
      } catch (error) {
        if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
        await this.sayRefused(database, pid)
      }
    }
    return ended
  }

  private async sayRefused (database: Session, pid: number): Promise<void> {
    if (performance.now() - this.saidMs < SAID_INTERVAL_MS) return
    this.saidMs = performance.now()
    const { rows: [row] } = await database.query<{ user: string }>('SELECT current_user AS user')
    this.log.warn({ pid }, `A session of ${READER_ROLE} holds a lock that others are waiting for, ` +
      'and this user may not terminate it; have a superuser run: ' +
      `SELECT pg_terminate_backend(${pid}); GRANT ${READER_ROLE} TO ${identifier(String(row?.user))}`)
  }
}

export function describeHolder ({ pid, role, application, ageMs }: LockHolder): string {
  const name = application === '' ? '' : ` (${application})`
  return `process ${pid} of ${role}${name}, seen for ${Math.round(ageMs / 1000)} s,`
}

const HOLDERS = `
  SELECT l.pid, l.virtualtransaction AS transaction, coalesce(a.usename, '')::text AS role,
         coalesce(a.application_name, '') AS application,
         array_agg(DISTINCT c.relname::text) AS relations
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = 'public'::regnamespace
  JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.granted AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    -- Autovacuum yields on its own.
    AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
  GROUP BY 1, 2, 3, 4`

const BLOCKING_READERS = `
  SELECT DISTINCT reader.pid
  FROM pg_locks l
  JOIN pg_stat_activity waiting ON waiting.pid = l.pid AND waiting.usename IS DISTINCT FROM $1
  CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) blocking (pid)
  JOIN pg_stat_activity reader
    ON reader.pid = blocking.pid AND reader.usename = $1 AND reader.datname = current_database()
  WHERE NOT l.granted AND l.locktype <> 'advisory'
    AND l.waitstart < clock_timestamp() - $2::double precision * interval '1 ms'`
