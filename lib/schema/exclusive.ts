/**
 * Changes of the schema, one host at a time: each in a transaction under a lock of schema_migrations that only those can take
 * who have rights on it, see sql/0020.
 *
 * Whatever lock the change asks for, it waits for less than two seconds, since all who come later wait behind it; then it is
 * rolled back and tried again, until nobody is in its way. Whoever is in its way is named in the log; sessions of
 * orbitstream_reader are ended after a minute.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { sqlState, type Database } from '../database/connection.js'
import { describeHolder, LockHolders } from './lock-holders.js'
import type { StoreLog } from '../support/store-log.js'

export interface ExclusiveOptions {
  readonly log: StoreLog
  /** For tests; without it READER_PATIENCE_MS. */
  readonly readerPatienceMs?: number
}

const LOCK_TIMEOUT_MS = 2_000
/** Whoever waited behind us comes first. */
const RETRY_MS = 500
/** Who is in the way is said this often. */
const SAID_INTERVAL_MS = 60_000
const HOLDERS_SAID_MAX = 5
const LOCK_NOT_AVAILABLE = '55P03'
const DEADLOCK = '40P01'
/** Somebody else made the same thing at the same moment. */
const MADE = /^(?:23505|42P07|42710|42P06)$/

/** Somebody else was in the way; nothing is wrong with what was tried. */
export function isHeldUp (error: unknown): boolean {
  const state = sqlState(error)
  return state === LOCK_NOT_AVAILABLE || state === DEADLOCK
}

/** Runs the work in a transaction under the lock of the schema, from its beginning if somebody is in the way. */
export async function exclusively<T> (database: Database, options: ExclusiveOptions, work: () => Promise<T>): Promise<T> {
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
    await database.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'; LOCK TABLE public.schema_migrations IN SHARE UPDATE EXCLUSIVE MODE`)
    const outcome = await work()
    await database.query('COMMIT')
    return outcome
  } catch (error) {
    if (database.alive) await database.query('ROLLBACK')
    throw error
  }
}

/** Who is in the way of one change. */
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
      const names = holders.toSorted((a, b) => b.ageMs - a.ageMs).slice(0, HOLDERS_SAID_MAX).map((holder) => `${describeHolder(holder)} holds ${holder.relations.join(', ')}`)
      this.options.log.info({ holders: names }, 'Waiting for a lock to bring the database up to date: another host does it, or somebody uses what is changed')
    }
    await delay(RETRY_MS)
  }
}

/** For what is made where it is not there: another host may make it at the same moment, and is then waited for. */
export async function onceMoreIfMade<T> (make: () => Promise<T>): Promise<T> {
  try {
    return await make()
  } catch (error) {
    if (!MADE.test(sqlState(error) ?? '')) throw error
    return await make()
  }
}
