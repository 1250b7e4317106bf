/**
 * The limits of this host: read from the database, kept current, changed on request.
 *
 *   the database ──NOTIFY, else a poll──▶ keeper ──onChange──▶ workers
 *        ▲                                  │
 *        └────────── compare and set ───────┘
 *
 * One connection of its own, which it makes again when it is lost. Meanwhile the limits that it has stay in force, and
 * a change is refused as database_unavailable. Statements follow one another, so what is read never goes back behind
 * a change that was made here.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { Backoff } from '../support/backoff.js'
import { OperatingError } from '../support/errors.js'
import type { LimitSet } from '../limits/limit-set.js'
import type { Log } from '../support/log.js'
import { isConnectionError, isPassing, type DatabaseConnection } from '../database/connection.js'
import { LIMITS_CHANNEL, readLimits, readOtherLimits, replaceLimits, seedLimits, type StoredLimits } from '../queries/limits-store.js'

export interface LimitsKeeperOptions {
  readonly connect: () => Promise<DatabaseConnection>
  /** Limits of the configuration: stored where the database has none. */
  readonly configured: LimitSet
  readonly log: Log
  /** Other limits count from now on. */
  readonly onChange: (limits: StoredLimits) => void
  /** Without it: five seconds. */
  readonly pollMs?: number
}

/** A notice may be lost with its connection: this often the database is asked. */
const POLL_MS = 5_000
const RECONNECT_MS_MIN = 100
const RECONNECT_MS_MAX = 5_000
/** From one change to the next: each makes every worker look up all its satellites again. */
const CHANGE_INTERVAL_MS = 100
/** What waits for the connection, before callers are refused: as many changes take some three seconds. */
const WORK_MAX = 32

export class LimitsKeeper {
  private limits: StoredLimits | null = null
  private db: DatabaseConnection | null = null
  private readonly backoff = new Backoff(RECONNECT_MS_MIN, RECONNECT_MS_MAX)
  private timer: NodeJS.Timeout | null = null
  private work: Promise<unknown> = Promise.resolve()
  private workCount = 0
  private reconnecting: Promise<void> = Promise.resolve()
  private closed = false
  private complained = ''
  /** On the monotonic clock. */
  private changedMs = -Infinity

  constructor (private readonly options: LimitsKeeperOptions) {}

  /** What counts now. */
  get current (): StoredLimits {
    if (this.limits === null) throw new Error('the limits are read before anything else starts')
    return this.limits
  }

  /** Reads the limits, or stores the configured ones. Rejects if the database cannot be used. */
  async start (): Promise<void> {
    const { configured, log } = this.options
    const db = await this.open()
    if (await readLimits(db) === null) await seedLimits(db, configured, 'configuration')
    await this.refresh(db)
    if (!isDeepStrictEqual(this.current.set, configured)) {
      log.warn({ version: this.current.version, changedBy: this.current.changedBy },
        'the limits in the database differ from those of the configuration (ANOMALY_THRESHOLD_*); the database counts')
    }
    this.timer = setInterval(() => { this.refreshSoon() }, this.options.pollMs ?? POLL_MS)
  }

  /**
   * Stores other limits; they count on this host when it resolves. The same limits make no version.
   * @returns null if the limits are no longer those of `expectedVersion`
   */
  async replace (expectedVersion: number, set: LimitSet, changedBy: string): Promise<StoredLimits | null> {
    return await this.exclusively(async (db) => {
      const pauseMs = this.changedMs + CHANGE_INTERVAL_MS - performance.now()
      if (pauseMs > 0) await wait(pauseMs)
      const before = this.limits?.version
      const changed = await replaceLimits(db, expectedVersion, set, changedBy)
      if (changed === null) await this.refresh(db)
      else this.take(changed)
      if (this.limits?.version !== before) this.changedMs = performance.now()
      return changed
    })
  }

  /** The limits as the database has them at this moment. */
  async latest (): Promise<StoredLimits> {
    return await this.exclusively(async (db) => {
      await this.refresh(db)
      return this.current
    })
  }

  async close (): Promise<void> {
    this.closed = true
    if (this.timer !== null) clearInterval(this.timer)
    this.backoff.cancel()
    await this.work
    await this.reconnecting
    await this.db?.close()
  }

  private async open (): Promise<DatabaseConnection> {
    const db = await this.options.connect()
    try {
      await db.listen(LIMITS_CHANNEL, () => { this.refreshSoon() })
    } catch (error) {
      db.destroy()
      throw error
    }
    this.db = db
    db.onLost = () => this.lost()
    return db
  }

  private lost (): void {
    this.db = null
    this.reconnecting = this.reconnect()
  }

  private async reconnect (): Promise<void> {
    this.options.log.warn('the connection for the limits is lost; they stay as they are')
    while (!this.closed && this.db === null) {
      await this.backoff.wait()
      try {
        if (!this.isClosed()) await this.open()
        this.backoff.reset()
      } catch {
        // Tried again after a while; that the database is away is on /health.
      }
    }
    if (!this.closed) this.refreshSoon()
  }

  /** As a call, since close() may come during any await. */
  private isClosed (): boolean {
    return this.closed
  }

  private refreshSoon (): void {
    if (this.db === null || this.closed) return
    this.exclusively(async (db) => await this.refresh(db)).then(
      () => { this.complained = '' },
      (error: unknown) => this.complain(error))
  }

  /** Once for each cause: the poll would repeat it for ever. */
  private complain (error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    if (message !== this.complained && !isConnectionError(error)) this.options.log.error({ error: message }, 'the limits cannot be read; those that count stay in force')
    this.complained = message
  }

  private async refresh (db: DatabaseConnection): Promise<void> {
    const limits = this.limits === null ? await readLimits(db) : await readOtherLimits(db, this.limits)
    if (limits !== null) this.take(limits)
  }

  /** Not "later" but "other": a database that was restored counts too. */
  private take (limits: StoredLimits): void {
    const before = this.limits
    if (before?.version === limits.version && before.changedAt === limits.changedAt) return
    this.limits = limits
    if (before === null) return
    this.options.log.info({ version: limits.version, changedBy: limits.changedBy }, 'other limits count')
    this.options.onChange(limits)
  }

  /** Statements follow one another. */
  private async exclusively<T> (work: (db: DatabaseConnection) => Promise<T>): Promise<T> {
    if (this.workCount >= WORK_MAX) throw new OperatingError('too_busy', 'Too many requests for the limits at once; send again later.')
    this.workCount++
    const result = this.work.then(async () => {
      const { db } = this
      if (db === null) throw new OperatingError('database_unavailable')
      return await work(db).catch((error: unknown) => { throw this.refusal(db, error) })
    })
    this.work = result.catch(() => undefined).finally(() => { this.workCount-- })
    return await result
  }

  /** What callers are told; a session that does not write, or is ending, makes room for the next one. */
  private refusal (db: DatabaseConnection, error: unknown): unknown {
    if (!isPassing(error)) return error
    if (db.alive) {
      db.destroy()
      this.lost()
    }
    return error instanceof OperatingError ? error : new OperatingError('database_unavailable', `The database does not take changes now: ${(error as Error).message}`, undefined, { cause: error })
  }
}
