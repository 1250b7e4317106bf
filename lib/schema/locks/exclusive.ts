/**
 * Schema changes, one host at a time: each is a transaction under a lock of schema_migrations that requires privileges
 * on that table, see sql/0005.
 *
 * A change waits for any lock for at most LOCK_TIMEOUT_MS, since all later sessions queue behind it; then it is rolled
 * back and retried until it gets through. Sessions in its way are logged, and those of orbitstream_reader terminated
 * after READER_PATIENCE_MS.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { sqlState } from '../../database/connection.js'
import type { Database } from '../../database/database.js'
import { describeHolder, LockHolders } from './lock-holders.js'
import { DEADLOCK_DETECTED, DUPLICATES, LOCK_NOT_AVAILABLE } from '../../database/sqlstates.js'
import type { StoreLog } from '../../support/store-log.js'

export interface ExclusiveOptions {
  readonly log: StoreLog
  /** For tests; default: READER_PATIENCE_MS. */
  readonly readerPatienceMs?: number
}

const LOCK_TIMEOUT_MS = 2_000
/** Lets sessions that queued behind us go first. */
const RETRY_MS = 500
/** Between log messages about sessions in the way. */
const SAID_INTERVAL_MS = 60_000
const HOLDERS_SAID_MAX = 5

/** Another session was in the way: a retry may succeed. */
export function isHeldUp (error: unknown): boolean {
  const state = sqlState(error)
  return state === LOCK_NOT_AVAILABLE || state === DEADLOCK_DETECTED
}

/** Runs the work in a transaction under the schema lock; starts over if another session is in the way. */
export async function exclusively<T> (
  database: Database, options: ExclusiveOptions, work: () => Promise<T>
): Promise<T> {
  const waiting = new Waiting(options)
  for (;;) {
    try {
      return await attempt(database, work)
    } catch (error) {
      if (!isHeldUp(error)) throw error
      await waiting.afterTimeout(database)
    }
  }
}

async function attempt<T> (database: Database, work: () => Promise<T>): Promise<T> {
  await database.query('BEGIN')
  try {
    // Citus creates no function after a parallel change of a table. Without Citus nobody reads this setting.
    await database.query(
      `SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'; SET LOCAL citus.multi_shard_modify_mode = 'sequential'`)
    await database.query('LOCK TABLE public.schema_migrations IN SHARE UPDATE EXCLUSIVE MODE')
    const outcome = await work()
    await database.query('COMMIT')
    return outcome
  } catch (error) {
    if (database.alive) await database.query('ROLLBACK')
    throw error
  }
}

/** The wait of one change. */
class Waiting {
  private readonly holders: LockHolders
  private saidMs = -Infinity

  constructor (private readonly options: ExclusiveOptions) {
    this.holders = new LockHolders(options.log, options.readerPatienceMs)
  }

  async afterTimeout (database: Database): Promise<void> {
    const holders = await this.holders.look(database)
    await this.holders.endReaders(database, holders)
    if (performance.now() - this.saidMs >= SAID_INTERVAL_MS) {
      this.saidMs = performance.now()
      const oldest = holders.toSorted((a, b) => b.ageMs - a.ageMs).slice(0, HOLDERS_SAID_MAX)
      const names = oldest.map((holder) => `${describeHolder(holder)} holds ${holder.relations.join(', ')}`)
      this.options.log.info({ holders: names }, 'Waiting for a lock to bring the database up to date: ' +
        'another host is doing it, or a session is using what it changes')
    }
    await delay(RETRY_MS)
  }
}

/** For IF NOT EXISTS: another host may create the object at the same moment; the second attempt then finds it. */
export async function onceMoreIfMade<T> (make: () => Promise<T>): Promise<T> {
  try {
    return await make()
  } catch (error) {
    if (!DUPLICATES.has(sqlState(error) ?? '')) throw error
    return await make()
  }
}
