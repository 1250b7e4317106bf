/**
 * Maintenance of the database, run by the primary at start and then on timers.
 *
 *   partitions   those ahead are made, those past retention are dropped
 *   rollups      buckets that are over are rolled up, and the last point of each satellite is noted
 *   statistics   what the server counted is stored, see ingest-stats.ts
 *   summaries    new pages of the BRIN indexes get their entries: pages without one are read by every query
 *   readers      sessions of orbitstream_reader that hold others up are ended
 *
 * It promises to outlive the database: what fails stays due and is tried again with a growing pause, and an outage is
 * logged once when it begins and once when it ends. It has one connection, kept between runs; one over which something
 * failed is given up, and so is one over which no answer comes, so that neither a server that refuses everything nor one
 * that vanished without a word holds it up for ever.
 *
 * The clock that accepts points is this host's; the one that may drop rows is the earlier of this host's and the
 * server's, so that a clock that jumped ahead costs some empty partitions and no data.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { OperatingError } from '../support/errors.js'
import { sqlState } from '../database/connection.js'
import type { Database } from '../database/connection.js'
import { dropIngestSteps, storeIngestSteps } from './ingest-stats.js'
import type { IngestSteps } from './ingest-stats.js'
import { endBlockingReaders, LockHolders } from '../schema/lock-holders.js'
import { DAY_MS, dropPartitions, dropRollups, ensurePartitions, expired } from '../schema/partitions.js'
import type { PartitionSettings } from '../schema/partitions.js'
import { RollUp, type RollupStatus } from './rollups.js'
import type { StoreLog } from '../support/store-log.js'

export interface MaintenanceIntervals {
  readonly partitionsMs: number
  readonly summariesMs: number
  readonly rollupsMs: number
  readonly statisticsMs: number
  readonly readersMs: number
}

export interface MaintenanceOptions {
  readonly connect: () => Promise<Database>
  readonly settings: PartitionSettings
  readonly log: StoreLog
  /** What the server counts; without it nothing is stored of that. */
  readonly steps?: IngestSteps
  /** Whether points wait for the database longer than they should: late rows and history then wait longer, too. */
  readonly storingIsBehind?: () => boolean
  /** Without it: partitions every ten minutes, summaries every ten seconds, readers every five, rollups every two, statistics every half second. */
  readonly intervals?: Partial<MaintenanceIntervals>
  /** After which a server that does not answer is given up, for tests; without it ANSWER_MS, for statistics STATISTICS_ANSWER_MS. */
  readonly answerMs?: number
  /** For tests; without it READER_PATIENCE_MS. */
  readonly readerPatienceMs?: number
  /** Milliseconds since 1970, for tests; without it the host's clock. */
  readonly now?: () => number
}

export interface Maintenance {
  /** Does everything now, and resolves when it is done or has failed: see lastError. */
  runNow (): Promise<void>
  /** Stores what the server has counted to the end, if the database is there and answers within boundMs, and closes. */
  finish (boundMs: number): Promise<void>
  /** Stops at once; what is under way is rolled back by the server. */
  close (): Promise<void>
  /** Why the last run failed; null if it went well. */
  readonly lastError: string | null
  readonly rollups: RollupStatus
}

interface Task {
  readonly intervalMs: number
  readonly answerMs: number
  /** On the monotonic clock. */
  dueMs: number
  /** Why it failed the last time. */
  error: string | null
  /** Until it is tried again, should it fail. */
  retryMs: number
  run (database: Database): Promise<void>
}

const INTERVALS: MaintenanceIntervals = { partitionsMs: 600_000, summariesMs: 10_000, rollupsMs: 2_000, statisticsMs: 500, readersMs: 5_000 }
const RETRY_MIN_MS = 500
const RETRY_MAX_MS = 60_000
/** Longer than any of the tasks takes: a span of late rows refreshed, the index of a whole day summarised. */
const ANSWER_MS = 300_000
/** Stored twice a second, so that a silent server is mostly noticed here. */
const STATISTICS_ANSWER_MS = 30_000
const ALL_IS_WELL = { dueMs: 0, error: null, retryMs: RETRY_MIN_MS }
/** Dropping waits for those who use a partition for a moment, and whoever comes then waits behind it; see lock-holders.ts. */
const LOCK_TIMEOUT = '2s'

/** Less than deadlock_timeout (1 s), after which whoever waits for an autovacuum has it cancelled. */
const SUMMARY_LOCK_TIMEOUT = '500ms'
const LOCK_NOT_AVAILABLE = '55P03'

/** Starts at once, in the background. */
export function startMaintenance (options: MaintenanceOptions): Maintenance {
  return new Keeper(options)
}

class Keeper implements Maintenance {
  lastError: string | null = null
  private readonly tasks: readonly Task[]
  private readonly statistics: Task
  private readonly closing = new AbortController()
  private readonly loop: Promise<void>
  /** The run under way; runs follow one another. */
  private running: Promise<void> = Promise.resolve()
  private database: Database | null = null
  private readonly rollUp: RollUp
  private readonly holders: LockHolders
  /** Why there was no connection, or why it was lost; null: there was one to the end. */
  private cutOff: string | null = null
  /** Rows ever inserted into a partition when its index was last summarised. */
  private readonly summarised = new Map<string, string>()

  constructor (private readonly options: MaintenanceOptions) {
    const { partitionsMs, summariesMs, rollupsMs, statisticsMs, readersMs } = { ...INTERVALS, ...options.intervals }
    const { answerMs = ANSWER_MS, log } = options
    this.rollUp = new RollUp({ log, ...options.storingIsBehind === undefined ? {} : { storingIsBehind: options.storingIsBehind } })
    this.holders = new LockHolders(log, options.readerPatienceMs)
    this.statistics = { ...ALL_IS_WELL, intervalMs: statisticsMs, answerMs: Math.min(answerMs, STATISTICS_ANSWER_MS), run: database => this.storeSteps(database) }
    this.tasks = [
      { ...ALL_IS_WELL, intervalMs: partitionsMs, answerMs, run: database => this.keepPartitions(database) },
      { ...ALL_IS_WELL, intervalMs: rollupsMs, answerMs, run: database => this.rollUp.run(database) },
      this.statistics,
      { ...ALL_IS_WELL, intervalMs: summariesMs, answerMs, run: database => this.summarise(database) },
      { ...ALL_IS_WELL, intervalMs: readersMs, answerMs, run: database => endBlockingReaders(database, log, options.readerPatienceMs) }
    ]
    this.loop = this.repeat()
  }

  get rollups (): RollupStatus {
    return this.rollUp.status
  }

  async runNow (): Promise<void> {
    for (const task of this.tasks) task.dueMs = 0
    await this.run()
  }

  async finish (boundMs: number): Promise<void> {
    const cut = setTimeout(() => { void this.close() }, boundMs)
    // A database that was away the last time is not waited for.
    if (this.cutOff === null) await this.run([this.statistics])
    clearTimeout(cut)
    await this.close()
  }

  async close (): Promise<void> {
    this.closing.abort()
    this.database?.destroy()
    await this.loop
    await this.running
  }

  private closed (): boolean {
    return this.closing.signal.aborted
  }

  private async repeat (): Promise<void> {
    let retryMs = RETRY_MIN_MS
    while (!this.closed()) {
      await this.run()
      const failed = this.cutOff !== null
      const pauseMs = failed ? retryMs : Math.min(...this.tasks.map(task => task.dueMs)) - performance.now()
      retryMs = failed ? Math.min(retryMs * 2, RETRY_MAX_MS) : RETRY_MIN_MS
      await delay(Math.max(pauseMs, 0), undefined, { signal: this.closing.signal }).catch(() => undefined)
    }
  }

  /** @param tasks without it those that are due then */
  private run (tasks?: readonly Task[]): Promise<void> {
    this.running = this.running.then(() => this.perform(tasks ?? this.tasks.filter(task => task.dueMs <= performance.now())))
    return this.running
  }

  /** Never rejects. */
  private async perform (tasks: readonly Task[]): Promise<void> {
    if (tasks.length === 0 || this.closed()) return
    try {
      const database = await this.connection()
      for (const task of tasks) if (!this.closed()) await attempt(task, database)
      this.cutOff = null
      // A server may refuse everything and keep the session, as one that became a standby does: another may serve now.
      if (tasks.some(({ error }) => error !== null)) this.disconnect()
    } catch (error) {
      this.cutOff = reasonOf(error)
      this.disconnect()
    }
    if (!this.closed()) this.report(this.cutOff ?? this.tasks.find(({ error }) => error !== null)?.error ?? null)
  }

  /** Kept between runs: with a task twice a second, connecting would cost more than the work. */
  private async connection (): Promise<Database> {
    if (this.database?.alive === true) return this.database
    const database = await this.options.connect()
    this.database = database
    // close() came meanwhile, and found none to cut.
    if (this.closed()) database.destroy()
    else await answered(database, this.statistics.answerMs, () => database.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`))
    return database
  }

  private disconnect (): void {
    this.database?.destroy()
    this.database = null
  }

  private report (reason: string | null): void {
    const { log } = this.options
    if (reason === null && this.lastError !== null) log.info({}, 'Maintenance of the database works again')
    if (reason !== null && this.lastError === null) log.warn({ reason }, 'Maintenance of the database failed; it is tried again until it works')
    this.lastError = reason
  }

  private async keepPartitions (database: Database): Promise<void> {
    const { settings, log, now = Date.now } = this.options
    const hostMs = now()
    const serverMs = await serverTime(database)
    if (Math.abs(hostMs - serverMs) > DAY_MS) log.warn({ hostMs, serverMs }, 'The clocks of this host and of the database differ by more than a day')
    const made = await ensurePartitions(database, settings, hostMs)
    if (made.length > 0) log.info({ partitions: made }, `${made.length} partitions were made`)
    if (this.options.steps !== undefined) await dropIngestSteps(database, settings.retentionMs)
    await this.drop(database, Math.min(hostMs, serverMs))
  }

  /** What is held for long is left, and tried again with the task. */
  private async drop (database: Database, nowMs: number): Promise<void> {
    const { settings, log } = this.options
    await this.holders.awaitFree(database, await expired(database, ['telemetry', 'anomalies'], settings, nowMs))
    const dropped = await dropPartitions(database, settings, nowMs)
    if (dropped.length > 0) log.info({ partitions: dropped }, `${dropped.length} partitions past RETENTION were dropped`)
    for (const width of ['10s', '1m'] as const) {
      await this.holders.awaitFree(database, await expired(database, [`rollup_${width}`]))
      await dropRollups(database, width)
    }
  }

  private async storeSteps (database: Database): Promise<void> {
    if (this.options.steps !== undefined) await storeIngestSteps(database, this.options.steps)
  }

  /** Only where rows came in since the last time: each call reads the whole map of its index. */
  private async summarise (database: Database): Promise<void> {
    const { rows } = await database.query<{ index: string, inserted: string }>(INDEXES)
    for (const { index, inserted } of rows) {
      if (this.summarised.get(index) === inserted) continue
      if (await summariseIndex(database, index)) this.summarised.set(index, inserted)
    }
    const present = new Set(rows.map(row => row.index))
    for (const index of this.summarised.keys()) {
      if (!present.has(index)) this.summarised.delete(index)
    }
  }
}

/** One that fails is tried again by itself and does not hold up the others. Throws if the connection is gone. */
async function attempt (task: Task, database: Database): Promise<void> {
  try {
    await answered(database, task.answerMs, () => runWhole(task, database))
    Object.assign(task, { error: null, retryMs: RETRY_MIN_MS, dueMs: performance.now() + task.intervalMs })
  } catch (error) {
    // What was lost by the way stays due. What had no answer may be the cause of that: the others come first.
    if (database.alive || error instanceof NoAnswer) {
      Object.assign(task, { error: reasonOf(error), retryMs: Math.min(task.retryMs * 2, RETRY_MAX_MS), dueMs: performance.now() + Math.max(task.retryMs, task.intervalMs) })
    }
    if (!database.alive) throw error
  }
}

/** Leaves no transaction open. */
async function runWhole (task: Task, database: Database): Promise<void> {
  try {
    await task.run(database)
  } catch (error) {
    if (database.alive) await database.query('ROLLBACK')
    throw error
  }
}

class NoAnswer extends OperatingError {}

/** Cuts the connection if the work is not done in time: the system would wait a quarter of an hour for a host that vanished. */
async function answered (database: Database, boundMs: number, work: () => Promise<unknown>): Promise<void> {
  const wait = { over: false }
  const timer = setTimeout(() => {
    wait.over = true
    database.destroy()
  }, boundMs)
  try {
    await work()
  } catch (cause) {
    throw wait.over ? new NoAnswer('database_unavailable', `The database gave no answer within ${boundMs / 1000} s.`, undefined, { cause }) : cause
  } finally {
    clearTimeout(timer)
  }
}

function reasonOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** False: somebody has the table locked; its turn comes again. */
async function summariseIndex (database: Database, index: string): Promise<boolean> {
  try {
    // The setting is for this statement alone, and made first.
    await database.query("SELECT set_config('lock_timeout', $2, true), brin_summarize_new_values($1::regclass)", [index, SUMMARY_LOCK_TIMEOUT])
    return true
  } catch (error) {
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return false
    throw error
  }
}

/** BRIN indexes of the partitions or chunks that ever got a row, the newest first; not of those that are being vacuumed. */
const INDEXES = `
  SELECT i.indexrelid::regclass::text AS index, s.n_tup_ins::text AS inserted
  FROM pg_inherits h
  JOIN pg_stat_user_tables s ON s.relid = h.inhrelid
  JOIN pg_index i ON i.indrelid = h.inhrelid
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam
  WHERE h.inhparent = 'public.telemetry'::regclass AND a.amname = 'brin' AND s.n_tup_ins > 0
    AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.relid = h.inhrelid)
  ORDER BY h.inhrelid DESC`

async function serverTime (database: Database): Promise<number> {
  const { rows } = await database.query<{ now: Date }>('SELECT now() AS now')
  const [row] = rows
  if (row === undefined) throw new TypeError('SELECT gave no row')
  return row.now.getTime()
}
