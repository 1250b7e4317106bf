/**
 * One connection for what clients ask of the database, apart from all that stores: read-only, each query cut off after
 * QUERY_MS, one after another, WAITING_MAX waiting. Made when it is first needed, and again after it was lost.
 */
import { OperatingError } from '../support/errors.js'
import { isConnectionError, isUnanswered, type Database } from './connection.js'

const QUERY_MS = 4_000
const WAITING_MAX = 16
/** Who waited longer has gone meanwhile. */
const WAIT_MS_MAX = 4_000

export class QueryConnection {
  private db: Database | null = null
  private last: Promise<unknown> = Promise.resolve()
  private waiting = 0

  /** @param connect statements end as ConnectOptions say */
  constructor (private readonly connect: (statementMsMax: number) => Promise<Database>) {}

  /** Rejects with an OperatingError for what a client can do something about. */
  async run<T> (work: (db: Database) => Promise<T>): Promise<T> {
    if (this.waiting >= WAITING_MAX) throw new OperatingError('too_busy', 'Too many queries wait for the database; ask again later.')
    this.waiting++
    const askedMs = performance.now()
    const result = this.last.then(async () => {
      if (performance.now() - askedMs > WAIT_MS_MAX) throw new OperatingError('too_busy', 'Earlier queries took too long; ask again later.')
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
      // It may have been lost long before; queries only read, so the same one may run again.
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
