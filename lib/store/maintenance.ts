/**
 * Maintenance of the database, run by the primary at start and then on timers.
 *
 *   partitions   those ahead are made, those past retention are dropped
 *   rollups      buckets that are over are rolled up, and the last point of each satellite is noted
 *   statistics   what the server counted is stored, see ingest-stats.ts
 *   summaries    new pages of the BRIN indexes get their entries: pages without one are read by every query
 *
 * It promises to outlive the database: what fails stays due and is tried again with a growing pause, and an outage is
 * logged once when it begins and once when it ends. One connection at a time, open only while something is done.
 *
 * The clock that accepts points is this host's; the one that may drop rows is the earlier of this host's and the
 * server's, so that a clock that jumped ahead costs some empty partitions and no data.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from './db.js'
import { storeIngestSteps } from './ingest-stats.js'
import type { IngestSteps } from './ingest-stats.js'
import { DAY_MS, dropPartitions, ensurePartitions } from './partitions.js'
import type { PartitionSettings } from './partitions.js'
import { dropRollups, RollUp } from './rollups.js'
import type { StoreLog } from './store-log.js'

export interface MaintenanceIntervals {
  readonly partitionsMs: number
  readonly summariesMs: number
  readonly rollupsMs: number
  readonly statisticsMs: number
}

export interface MaintenanceOptions {
  readonly connect: () => Promise<Database>
  readonly settings: PartitionSettings
  readonly log: StoreLog
  /** What the server counts; without it nothing is stored of that. */
  readonly steps?: IngestSteps
  /** Without it: partitions every ten minutes, summaries every ten seconds, rollups every two seconds, statistics every second. */
  readonly intervals?: Partial<MaintenanceIntervals>
  /** Milliseconds since 1970, for tests; without it the host's clock. */
  readonly now?: () => number
}

export interface Maintenance {
  /** Does everything now, and resolves when it is done or has failed: see lastError. */
  runNow (): Promise<void>
  /** Stops at once; what is under way is rolled back by the server. */
  close (): Promise<void>
  /** Why the last run failed; null if it went well. */
  readonly lastError: string | null
}

interface Task {
  readonly intervalMs: number
  /** On the monotonic clock. */
  dueMs: number
  /** Why it failed the last time. */
  error: string | null
  /** Until it is tried again, should it fail. */
  retryMs: number
  run (database: Database): Promise<void>
}

const INTERVALS: MaintenanceIntervals = { partitionsMs: 600_000, summariesMs: 10_000, rollupsMs: 2_000, statisticsMs: 1_000 }
const RETRY_MIN_MS = 500
const RETRY_MAX_MS = 60_000
const ALL_IS_WELL = { dueMs: 0, error: null, retryMs: RETRY_MIN_MS }
/** Dropping waits for readers of a partition, and whoever comes then waits behind it: rather later than long. */
const LOCK_TIMEOUT = '2s'

/** Starts at once, in the background. */
export function startMaintenance (options: MaintenanceOptions): Maintenance {
  return new Keeper(options)
}

class Keeper implements Maintenance {
  lastError: string | null = null
  private readonly tasks: readonly Task[]
  private readonly closing = new AbortController()
  private readonly loop: Promise<void>
  /** The run under way; runs follow one another. */
  private running: Promise<void> = Promise.resolve()
  private database: Database | null = null
  private readonly rollUp = new RollUp()
  /** Why there was no connection, or why it was lost; null: there was one to the end. */
  private cutOff: string | null = null
  /** Rows ever inserted into a partition when its index was last summarised. */
  private readonly summarised = new Map<string, string>()

  constructor (private readonly options: MaintenanceOptions) {
    const { partitionsMs, summariesMs, rollupsMs, statisticsMs } = { ...INTERVALS, ...options.intervals }
    this.tasks = [
      { ...ALL_IS_WELL, intervalMs: partitionsMs, run: database => this.keepPartitions(database) },
      { ...ALL_IS_WELL, intervalMs: rollupsMs, run: database => this.rollUp.run(database) },
      { ...ALL_IS_WELL, intervalMs: statisticsMs, run: database => this.storeSteps(database) },
      { ...ALL_IS_WELL, intervalMs: summariesMs, run: database => this.summarise(database) }
    ]
    this.loop = this.repeat()
  }

  async runNow (): Promise<void> {
    for (const task of this.tasks) task.dueMs = 0
    await this.run()
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

  private run (): Promise<void> {
    this.running = this.running.then(() => this.runDue())
    return this.running
  }

  /** Never rejects. */
  private async runDue (): Promise<void> {
    const due = this.tasks.filter(task => task.dueMs <= performance.now())
    if (due.length === 0 || this.closed()) return
    try {
      const database = await this.options.connect()
      this.database = database
      // Closed while it connected: nobody else would cut this connection.
      if (this.closed()) return
      await database.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`)
      for (const task of due) await this.perform(task, database)
      this.cutOff = null
    } catch (error) {
      this.cutOff = reasonOf(error)
    } finally {
      await this.database?.close()
      this.database = null
    }
    if (!this.closed()) this.report(this.cutOff ?? this.tasks.find(({ error }) => error !== null)?.error ?? null)
  }

  /** One that fails is tried again by itself and does not hold up the others. Throws if the connection is gone. */
  private async perform (task: Task, database: Database): Promise<void> {
    try {
      await task.run(database)
      Object.assign(task, { error: null, retryMs: RETRY_MIN_MS, dueMs: performance.now() + task.intervalMs })
    } catch (error) {
      if (!database.alive) throw error
      await database.query('ROLLBACK')
      Object.assign(task, { error: reasonOf(error), retryMs: Math.min(task.retryMs * 2, RETRY_MAX_MS), dueMs: performance.now() + Math.max(task.retryMs, task.intervalMs) })
    }
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
    const dropped = await dropPartitions(database, settings, Math.min(hostMs, serverMs))
    if (dropped.length > 0) log.info({ partitions: dropped }, `${dropped.length} partitions past RETENTION were dropped`)
    await dropRollups(database)
  }

  private async storeSteps (database: Database): Promise<void> {
    const { steps, settings } = this.options
    if (steps !== undefined) await storeIngestSteps(database, steps, settings.retentionMs)
  }

  /** Only where rows came in since the last time: each call reads the whole map of its index. */
  private async summarise (database: Database): Promise<void> {
    const { rows } = await database.query<{ index: string, inserted: string }>(INDEXES)
    for (const { index, inserted } of rows) {
      if (this.summarised.get(index) === inserted) continue
      await database.query('SELECT brin_summarize_new_values($1::regclass)', [index])
      this.summarised.set(index, inserted)
    }
    const present = new Set(rows.map(row => row.index))
    for (const index of this.summarised.keys()) {
      if (!present.has(index)) this.summarised.delete(index)
    }
  }
}

function reasonOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** BRIN indexes of the partitions or chunks that ever got a row. */
const INDEXES = `
  SELECT i.indexrelid::regclass::text AS index, s.n_tup_ins::text AS inserted
  FROM pg_inherits h
  JOIN pg_stat_user_tables s ON s.relid = h.inhrelid
  JOIN pg_index i ON i.indrelid = h.inhrelid
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam
  WHERE h.inhparent = 'public.telemetry'::regclass AND a.amname = 'brin' AND s.n_tup_ins > 0`

async function serverTime (database: Database): Promise<number> {
  const { rows } = await database.query<{ now: Date }>('SELECT now() AS now')
  const [row] = rows
  if (row === undefined) throw new TypeError('SELECT gave no row')
  return row.now.getTime()
}
