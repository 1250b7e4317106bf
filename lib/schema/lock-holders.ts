/**
 * Transactions of others that hold locks of our tables for longer than a moment, and the way past them.
 *
 * Dropping a partition, and most migrations, must have a table for themselves for an instant. Whoever asks for that waits for
 * everybody who has the table in use, and all who come later wait behind, those who store points among them. So it is asked for
 * only while nobody holds the table for long. Those of orbitstream_reader who do are ended: that role can only read, and must
 * hold up nothing. For others it is waited, and they are named.
 *
 * Ages are by this process's clock, from when it saw a transaction first: the server shows them to few.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { sqlState, type Database } from '../database/connection.js'
import { READER_ROLE } from './reader.js'
import type { StoreLog } from '../support/store-log.js'

export interface LockHolder {
  readonly pid: number
  /** As pg_locks names it. */
  readonly transaction: string
  readonly role: string
  readonly application: string
  /** Names of relations in the schema public. */
  readonly relations: readonly string[]
  /** Since this process saw it first. */
  readonly ageMs: number
}

/** Something waits for a transaction of somebody else. */
export class HeldUp extends Error {
  override readonly name = 'HeldUp'
}

/** What stores points or shows them is over in this time, mostly. */
const MOMENT_MS = 3_000
const LOOK_INTERVAL_MS = 100
/** Time that a reader's query or transaction has before it is ended: a panel asks for a second or two. */
export const READER_PATIENCE_MS = 60_000
/** For one that waits in the server, and others behind it. */
const BLOCKING_PATIENCE_MS = 10_000
const INSUFFICIENT_PRIVILEGE = '42501'

export class LockHolders {
  private readonly firstSeenMs = new Map<string, number>()

  constructor (private readonly log: StoreLog, private readonly readerPatienceMs = READER_PATIENCE_MS) {}

  /**
   * Resolves when nobody holds any of these relations for longer than a moment; rejects with HeldUp, which names who does.
   * Readers who have done so for a minute are ended.
   */
  async awaitFree (database: Database, relations: readonly string[]): Promise<void> {
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
    if (holder !== undefined) throw new HeldUp(`${describeHolder(holder)} holds ${holder.relations.filter((name) => relations.includes(name)).join(', ')}`)
  }

  /** Everybody else who holds a lock of a relation in public now. */
  async look (database: Database): Promise<LockHolder[]> {
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

  /** Ends those of the reader that have had their time; gives their process ids. */
  async endReaders (database: Database, holders: readonly LockHolder[]): Promise<number[]> {
    const overdue = holders.filter(({ role, ageMs }) => role === READER_ROLE && ageMs >= this.readerPatienceMs).map(({ pid }) => pid)
    return await endSessions(database, overdue, this.log)
  }
}

export function describeHolder ({ pid, role, application, ageMs }: LockHolder): string {
  return `process ${pid} of ${role}${application === '' ? '' : ` (${application})`}, for ${Math.round(ageMs / 1000)} s or more,`
}

/**
 * Ends sessions of the reader for which others have waited for some seconds: jobs of TimescaleDB, and whoever waits behind
 * them, would wait without end.
 */
export async function endBlockingReaders (database: Database, log: StoreLog, patienceMs = BLOCKING_PATIENCE_MS): Promise<void> {
  const { rows } = await database.query<{ pid: number }>(BLOCKING_READERS, [READER_ROLE, patienceMs])
  await endSessions(database, rows.map(({ pid }) => pid), log)
}

async function endSessions (database: Database, pids: readonly number[], log: StoreLog): Promise<number[]> {
  const ended: number[] = []
  for (const pid of pids) {
    try {
      await database.query('SELECT pg_terminate_backend($1)', [pid])
      log.warn({ pid }, `A session of ${READER_ROLE} was ended: it held a lock for which others waited`)
      ended.push(pid)
    } catch (error) {
      if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
      log.warn({ pid }, `A session of ${READER_ROLE} holds a lock for which others wait, and this user may not end it; have a superuser run: SELECT pg_terminate_backend(${pid}); GRANT ${READER_ROLE} TO this user`)
    }
  }
  return ended
}

const HOLDERS = `
  SELECT l.pid, l.virtualtransaction AS transaction, coalesce(a.usename, '')::text AS role, coalesce(a.application_name, '') AS application,
         array_agg(DISTINCT c.relname::text) AS relations
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = 'public'::regnamespace
  JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.granted AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    -- It makes way by itself.
    AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
  GROUP BY 1, 2, 3, 4`

const BLOCKING_READERS = `
  SELECT DISTINCT reader.pid
  FROM pg_locks l
  JOIN pg_stat_activity waiting ON waiting.pid = l.pid AND waiting.usename IS DISTINCT FROM $1
  CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) blocking (pid)
  JOIN pg_stat_activity reader ON reader.pid = blocking.pid AND reader.usename = $1 AND reader.datname = current_database()
  WHERE NOT l.granted AND l.locktype <> 'advisory' AND l.waitstart < clock_timestamp() - $2::double precision * interval '1 ms'`
