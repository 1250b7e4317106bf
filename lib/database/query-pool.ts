/**
 * A few read-only connections for client queries, separate from those that store. At most WAITING_MAX queries wait for
 * one, each for at most WAIT_MS_MAX; after that, everything that a query does, connecting included, must end within
 * QUERY_MS. Connections are opened when needed, and reopened after a loss.
 */
import { OperatingError } from '../support/errors.js'
import { isConnectionError, isUnanswered } from './connection.js'
import type { Database } from './database.js'

const QUERY_MS = 4_000
const WAITING_MAX = 32
/** Clients that waited longer have given up. */
const WAIT_MS_MAX = 4_000
/** For the server's cancellation to arrive. */
const LATE_MS = 500
/** After this much, run() has settled. */
export const RUN_MS_MAX = WAIT_MS_MAX + QUERY_MS + LATE_MS

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

/** What is left of the time for a query, in milliseconds: a statement_timeout, hence at least 1. */
export type TimeLeft = () => number
type Work<T> = (db: Database, leftMs: TimeLeft) => Promise<T>

/** A place for a connection, with a query that has it. */
interface Slot {
  db: Database | null
  isLate: boolean
}

export class QueryPool {
  /** Connections that nobody uses; null: not opened yet. */
  private readonly free: Array<Database | null>
  private readonly busy = new Set<Database>()
  /** Each takes over a connection when it is free. */
  private readonly waiting: Array<(db: Database | null) => void> = []
  private readonly running = new Set<Promise<unknown>>()
  /** Whose statement_timeout may not be QUERY_MS: set for a query that had less time left. */
  private readonly timed = new WeakSet<Database>()
  private closed = false

  /**
   * @param most connections
   * @param connect see ConnectOptions.statementMsMax
   */
  constructor (most: number, private readonly connect: (statementMsMax: number) => Promise<Database>) {
    this.free = Array.from({ length: most }, () => null)
  }

  /**
   * Settles within RUN_MS_MAX. Rejects with an OperatingError for failures that a client can handle.
   * @param work sets statement_timeout to what is left before each statement but the first
   */
  async run<T> (work: Work<T>): Promise<T> {
    const slot: Slot = { db: this.free.length > 0 ? this.free.pop() ?? null : await this.wait(), isLate: false }
    const endMs = performance.now() + QUERY_MS
    const result = this.occupy(slot, work, () => Math.max(1, Math.ceil(endMs - performance.now())))
    const settled = result.catch(() => undefined)
    this.running.add(settled)
    void settled.then(() => this.running.delete(settled))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        slot.isLate = true
        slot.db?.destroy()
        reject(new OperatingError('query_timeout'))
      }, QUERY_MS + LATE_MS)
    })
    try {
      return await Promise.race([result, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Cuts off what runs; what waits, and what comes later, is refused. Ends once no connection is open. */
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

  private async occupy<T> (slot: Slot, work: Work<T>, leftMs: TimeLeft): Promise<T> {
    try {
      return await this.attempt(slot, work, leftMs)
    } finally {
      const next = this.waiting.shift()
      // Handed over, not announced: another query could take it before the one that waits does.
      if (next === undefined) this.free.push(slot.db)
      else next(slot.db)
    }
  }

  private async attempt<T> (slot: Slot, work: Work<T>, leftMs: TimeLeft): Promise<T> {
    const known = slot.db?.alive === true ? slot.db : null
    slot.db = known
    try {
      if (this.closed) throw new OperatingError('database_unavailable')
      const db = known ?? await this.open()
      slot.db = db
      this.busy.add(db)
      const firstMs = known === null ? leftMs() : QUERY_MS
      // Most queries are one statement, and find the time-out as it was set when connecting.
      if (firstMs !== QUERY_MS || this.timed.has(db)) await db.query(`SET statement_timeout = ${firstMs}`)
      if (firstMs === QUERY_MS) this.timed.delete(db)
      else this.timed.add(db)
      return await work(db, () => {
        this.timed.add(db)
        return leftMs()
      })
    } catch (error) {
      if (isUnanswered(error)) throw new OperatingError('query_timeout', undefined, undefined, { cause: error })
      if (!isConnectionError(error)) throw error
      if (slot.db !== null) this.drop(slot.db)
      slot.db = null
      // The connection may have been lost long ago; queries only read, so they can be repeated.
      if (known !== null && !this.closed && !slot.isLate) return await this.attempt(slot, work, leftMs)
      throw new OperatingError('database_unavailable', undefined, undefined, { cause: error })
    } finally {
      if (slot.db !== null) this.busy.delete(slot.db)
    }
  }

  private async open (): Promise<Database> {
    const db = await this.connect(QUERY_MS)
    this.busy.add(db)
    try {
      if (this.closed) throw new OperatingError('database_unavailable')
      await db.query(QUERY_SETTINGS)
      return db
    } catch (error) {
      this.drop(db)
      throw error
    }
  }

  private drop (db: Database): void {
    this.busy.delete(db)
    db.destroy()
  }
}
