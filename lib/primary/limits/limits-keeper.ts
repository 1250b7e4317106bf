/**
 * The limits of this host: read from the database, kept current, changed on request.
 *
 *   database ──NOTIFY, or a poll──▶ keeper ──onChange──▶ workers
 *      ▲                              │
 *      └───────compare-and-set────────┘
 *
 *   unread ──start()──▶ connected ⇄ lost
 *      └──────────────────────┴─────┴──close()──▶ closed
 *
 * Any other transition is a programmer's error and throws. While lost, the keeper reconnects on its own; the limits
 * stay in force, and changes are refused as database_unavailable.
 *
 * It has a connection to itself and runs one statement at a time, so a read never overwrites a change made here with
 * older limits.
 */
import { strict as assert } from 'node:assert'
import { setTimeout as wait } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { Backoff } from '../../support/backoff.js'
import { OperatingError } from '../../support/errors.js'
import type { LimitSet, LimitableMetrics } from '../../limits/limit-set.js'
import type { Log } from '../../support/log.js'
import { StateMachine } from '../../support/state-machine.js'
import { isConnectionError, isPassing } from '../../database/connection.js'
import type { DatabaseConnection } from '../../database/database.js'
import { LIMITS_CHANNEL, readLimits, readOtherLimits, replaceLimits, seedLimits } from '../../queries/limits-store.js'
import type { StoredLimits } from '../../queries/limits-store.js'

export interface LimitsKeeperOptions {
  readonly metrics: LimitableMetrics
  /** @param statementMsMax see ConnectOptions */
  readonly connect: (statementMsMax: number) => Promise<DatabaseConnection>
  /** Limits from the catalogue and the configuration, stored if the database has none. */
  readonly configured: LimitSet
  /** Variables of the environment that `configured` follows, by the metrics that they are for. */
  readonly variables: ReadonlyArray<{ readonly env: string, readonly metric: string }>
  readonly log: Log
  /** The limits in force have changed. */
  readonly onChange: (limits: StoredLimits) => void
  /** Default: five seconds. */
  readonly pollMs?: number
}

type State = 'unread' | 'connected' | 'lost' | 'closed'

const TRANSITIONS: Readonly<Record<State, readonly State[]>> = {
  unread: ['connected', 'closed'],
  connected: ['lost', 'closed'],
  lost: ['connected', 'closed'],
  closed: []
}

/** A notification may be lost along with its connection, so the database is polled as well. */
const POLL_MS = 5_000
const RECONNECT_MS_MIN = 100
const RECONNECT_MS_MAX = 5_000
/** Statements about limits are small: one that takes longer has lost its server, and the connection is replaced. */
const STATEMENT_MS_MAX = 10_000
/** Between changes: each one makes every worker look up all its satellites again. */
const CHANGE_INTERVAL_MS = 100
/** Requests queued for the connection before callers are refused; that many changes take about three seconds. */
const WORK_MAX = 32

export class LimitsKeeper {
  private readonly state = new StateMachine<State>('limits', 'unread', TRANSITIONS)
  private limits: StoredLimits | null = null
  private db: DatabaseConnection | null = null
  private readonly backoff = new Backoff(RECONNECT_MS_MIN, RECONNECT_MS_MAX)
  private timer: NodeJS.Timeout | null = null
  private work: Promise<unknown> = Promise.resolve()
  private workCount = 0
  private reconnecting: Promise<void> = Promise.resolve()
  private lastComplaint = ''
  /** On the monotonic clock. */
  private changedMs = -Infinity

  constructor (private readonly options: LimitsKeeperOptions) {}

  /** The limits in force. */
  get current (): StoredLimits {
    assert(this.limits !== null, 'the limits are read before anything else starts')
    return this.limits
  }

  /** Reads the limits, or stores the configured ones. Rejects if the database cannot be used. */
  async start (): Promise<void> {
    const { metrics, configured, variables, log, pollMs } = this.options
    const db = await this.connect()
    if (await readLimits(db, metrics) === null) await seedLimits(db, configured, 'configuration')
    await this.refresh(db)
    const { version, changedBy, set } = this.current
    const idle = variables.filter(({ metric }) => !isDeepStrictEqual(set.default[metric], configured.default[metric]))
    if (idle.length > 0) {
      log.warn({ version, changedBy }, 'the limits in the database differ from the configuration ' +
        `(${idle.map(({ env }) => env).join(', ')}); the database takes precedence`)
    }
    this.timer = setInterval(() => { this.refreshSoon() }, pollMs ?? POLL_MS)
  }

  /**
   * Stores a set of limits, in force on this host once it resolves. An identical set does not create a version.
   * @returns null if the current version is not `expectedVersion`
   */
  async replace (expectedVersion: number, set: LimitSet, changedBy: string): Promise<StoredLimits | null> {
    return await this.exclusively(async (db) => {
      const pauseMs = this.changedMs + CHANGE_INTERVAL_MS - performance.now()
      if (pauseMs > 0) await wait(pauseMs)
      const before = this.limits?.version
      const changed = await replaceLimits(db, this.options.metrics, expectedVersion, set, changedBy)
      if (changed === null) await this.refresh(db)
      else this.apply(changed)
      if (this.limits?.version !== before) this.changedMs = performance.now()
      return changed
    })
  }

  /** Reads the limits from the database now. */
  async latest (): Promise<StoredLimits> {
    return await this.exclusively(async (db) => {
      await this.refresh(db)
      return this.current
    })
  }

  async close (): Promise<void> {
    if (!this.state.is('closed')) this.state.to('closed')
    if (this.timer !== null) clearInterval(this.timer)
    this.backoff.cancel()
    await this.work
    await this.reconnecting
    await this.db?.close()
  }

  private async connect (): Promise<DatabaseConnection> {
    const db = await this.options.connect(STATEMENT_MS_MAX)
    try {
      await db.listen(LIMITS_CHANNEL, () => { this.refreshSoon() })
    } catch (error) {
      db.destroy()
      throw error
    }
    // close() may have been called meanwhile; it waits and closes this connection, too.
    this.db = db
    if (!this.state.is('closed')) this.state.to('connected')
    db.onLost = () => this.lost()
    return db
  }

  private lost (): void {
    this.db = null
    if (this.state.is('closed')) return
    this.state.to('lost')
    this.options.log.warn('lost the database connection for limits; the current limits stay in force')
    this.reconnecting = this.reconnect()
  }

  private async reconnect (): Promise<void> {
    while (!this.state.is('closed')) {
      await this.backoff.wait()
      if (this.state.is('closed')) return
      try {
        await this.connect()
        this.backoff.reset()
        this.refreshSoon()
        return
      } catch {
        // Retried after a delay; /health shows that the database is down.
      }
    }
  }

  private refreshSoon (): void {
    if (!this.state.is('connected')) return
    this.exclusively(async (db) => await this.refresh(db)).then(
      () => { this.lastComplaint = '' },
      (error: unknown) => this.complain(error))
  }

  /** Logs each cause once: the poll would repeat it forever. */
  private complain (error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    if (message !== this.lastComplaint && !isConnectionError(error)) {
      this.options.log.error({ error: message }, 'the limits cannot be read; the current limits stay in force')
    }
    this.lastComplaint = message
  }

  private async refresh (db: DatabaseConnection): Promise<void> {
    const limits = this.limits === null
      ? await readLimits(db, this.options.metrics)
      : await readOtherLimits(
        db, this.options.metrics, this.limits)
    if (limits !== null) this.apply(limits)
  }

  /** Different limits count, not only newer ones: the database may have been restored. */
  private apply (limits: StoredLimits): void {
    const before = this.limits
    if (before?.version === limits.version && before.changedAt === limits.changedAt) return
    this.limits = limits
    if (before === null) return
    this.options.log.info({ version: limits.version, changedBy: limits.changedBy }, 'limits changed')
    this.options.onChange(limits)
  }

  /** Runs statements one after another. */
  private async exclusively<T> (work: (db: DatabaseConnection) => Promise<T>): Promise<T> {
    if (this.workCount >= WORK_MAX) {
      throw new OperatingError('too_busy', 'Too many concurrent requests for limits; retry later.')
    }
    this.workCount++
    const result = this.work.then(async () => {
      const { db } = this
      if (db === null) throw new OperatingError('database_unavailable')
      return await work(db).catch((error: unknown) => { throw this.refusal(db, error) })
    })
    this.work = result.catch(() => undefined).finally(() => { this.workCount-- })
    return await result
  }

  /** The error that callers get. A session that is read-only or shutting down is replaced with a new one. */
  private refusal (db: DatabaseConnection, error: unknown): unknown {
    if (!isPassing(error)) return error
    if (db.alive) {
      db.destroy()
      this.lost()
    }
    if (error instanceof OperatingError) return error
    const message = `The database cannot be changed at the moment: ${(error as Error).message}`
    return new OperatingError('database_unavailable', message, undefined, { cause: error })
  }
}
