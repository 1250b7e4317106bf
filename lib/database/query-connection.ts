/**
 * One read-only connection for client queries, separate from the writers: queries run one after another, time out after
 * QUERY_MS, and at most WAITING_MAX wait. Opened on first use, and reopened after a loss.
 */
import { OperatingError } from '../support/errors.js'
import { isConnectionError, isUnanswered, type Database } from './connection.js'

const QUERY_MS = 4_000
const WAITING_MAX = 16
/** Clients that waited longer have given up. */
const WAIT_MS_MAX = 4_000

export class QueryConnection {
  private db: Database | null = null
  private last: Promise<unknown> = Promise.resolve()
  private waiting = 0

  /** @param connect see ConnectOptions.statementMsMax */
  constructor (private readonly connect: (statementMsMax: number) => Promise<Database>) {}

  /** Rejects with an OperatingError for failures that a client can handle. */
  async run<T> (work: (db: Database) => Promise<T>): Promise<T> {
    if (this.waiting >= WAITING_MAX) {
      throw new OperatingError('too_busy', 'Too many queries are waiting for the database; retry later.')
    }
    this.waiting++
    const askedMs = performance.now()
    const result = this.last.then(async () => {
      if (performance.now() - askedMs > WAIT_MS_MAX) {
        throw new OperatingError('too_busy', 'Earlier queries took too long; retry later.')
      }
      return await this.attempt(work)
    })
    this.last = result.catch(() => undefined).finally(() => { this.waiting-- })
    return await result
  }

  async close (): Promise<void> {
    this.db?.destroy()
    await this.last
  }

  private async attempt<T> (work: (db: Database) => Promise<T>): Promise<T> {
    const wasThere = this.db?.alive === true
    try {
      return await work(await this.ready())
    } catch (error) {
      if (isUnanswered(error)) throw new OperatingError('query_timeout', undefined, undefined, { cause: error })
      if (!isConnectionError(error)) throw error
      this.db?.destroy()
      this.db = null
      // The connection may have been lost long ago; queries only read, so they can be repeated.
      if (wasThere) return await this.attempt(work)
      throw new OperatingError('database_unavailable', undefined, undefined, { cause: error })
    }
  }

  private async ready (): Promise<Database> {
    if (this.db?.alive === true) return this.db
    const db = await this.connect(QUERY_MS)
    this.db = db
    await db.query('SET default_transaction_read_only = on')
    return db
  }
}
