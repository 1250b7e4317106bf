/**
 * A few read-only connections for client queries, separate from those that store. A query times out after QUERY_MS; at
 * most WAITING_MAX wait for a connection, for WAIT_MS_MAX at most. Connections are opened when needed, and reopened
 * after a loss.
 */
import { OperatingError } from '../support/errors.js'
import { isConnectionError, isUnanswered } from './connection.js'
import type { Database } from './database.js'

const QUERY_MS = 4_000
const WAITING_MAX = 32
/** Clients that waited longer have given up. */
const WAIT_MS_MAX = 4_000

/**
 * Plans must not depend on statistics, which lag behind a growing table: BRIN indexes always beat reading it all. One
 * query uses one processor, and is done before its code would be compiled.
 */
export const QUERY_SETTINGS = [
  'SET default_transaction_read_only = on',
  'SET enable_seqscan = off',
  'SET max_parallel_workers_per_gather = 0',
  'SET jit = off'
].join('; ')

export class QueryPool {
  /** Connections that nobody uses; null: not opened yet. */
  private readonly free: Array<Database | null>
  private readonly busy = new Set<Database>()
  /** Each takes over a connection when it is free. */
  private readonly waiting: Array<(db: Database | null) => void> = []
  private readonly running = new Set<Promise<unknown>>()
  private closed = false

  /**
   * @param most connections
   * @param connect see ConnectOptions.statementMsMax
   */
  constructor (most: number, private readonly connect: (statementMsMax: number) => Promise<Database>) {
    this.free = Array.from({ length: most }, () => null)
  }

  /** Rejects with an OperatingError for failures that a client can handle. */
  async run<T> (work: (db: Database) => Promise<T>): Promise<T> {
    const slot = { db: this.free.length > 0 ? this.free.pop() ?? null : await this.wait() }
    const result = this.attempt(slot, work)
    const settled = result.catch(() => undefined)
    this.running.add(settled)
    try {
      return await result
    } finally {
      this.running.delete(settled)
      const next = this.waiting.shift()
      // Handed over, not announced: another query could take it before the one that waits does.
      if (next === undefined) this.free.push(slot.db)
      else next(slot.db)
    }
  }

  async close (): Promise<void> {
    this.closed = true
    for (const db of [...this.free, ...this.busy]) db?.destroy()
    await Promise.all(this.running)
  }

  private async wait (): Promise<Database | null> {
    if (this.waiting.length >= WAITING_MAX) {
      throw new OperatingError('too_busy', 'Too many queries are waiting for the database; retry later.')
    }
    return await new Promise((resolve, reject) => {
      const next = (db: Database | null): void => {
        clearTimeout(timer)
        resolve(db)
      }
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(next), 1)
        reject(new OperatingError('too_busy', 'Earlier queries took too long; retry later.'))
      }, WAIT_MS_MAX)
      this.waiting.push(next)
    })
  }

  private async attempt<T> (slot: { db: Database | null }, work: (db: Database) => Promise<T>): Promise<T> {
    const known = slot.db?.alive === true ? slot.db : null
    slot.db = null
    let db: Database | null = null
    try {
      db = known ?? await this.open()
      this.busy.add(db)
      const result = await work(db)
      slot.db = db
      return result
    } catch (error) {
      if (isUnanswered(error)) {
        slot.db = db
        throw new OperatingError('query_timeout', undefined, undefined, { cause: error })
      }
      if (!isConnectionError(error)) {
        slot.db = db
        throw error
      }
      db?.destroy()
      // The connection may have been lost long ago; queries only read, so they can be repeated.
      if (known !== null && !this.closed) return await this.attempt(slot, work)
      throw new OperatingError('database_unavailable', undefined, undefined, { cause: error })
    } finally {
      if (db !== null) this.busy.delete(db)
    }
  }

  private async open (): Promise<Database> {
    const db = await this.connect(QUERY_MS)
    await db.query(QUERY_SETTINGS)
    return db
  }
}
