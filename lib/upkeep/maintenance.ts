/**
 * Database maintenance, run by the primary at startup and then on timers.
 *
 *   partitions   create upcoming ones, drop those past retention
 *   rollups      roll up completed buckets, and record the last point of each satellite
 *   statistics   store the server's counters, see ingest-stats.ts
 *   summaries    summarise new pages of BRIN indexes, see summaries.ts
 *   readers      terminate sessions of orbitstream_reader that block others
 *
 * It survives database outages: a failed task stays due and is retried with backoff, and an outage is logged once when
 * it begins and once when it ends. Its one connection is kept between runs, and discarded after a failure or a missing
 * answer, so that neither a server that refuses everything nor one that vanished blocks it forever.
 *
 * This host's clock decides which points are accepted; the earlier of this host's and the server's decides what is
 * dropped, so a clock that jumps ahead costs some empty partitions and no data. Should both be ahead, see
 * clock-doubt.ts.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { TELEMETRY } from '../../protocol/catalogue.js'
import { isInDoubt, type Retained } from './clock-doubt.js'
import { OperatingError } from '../support/errors.js'
import type { Database } from '../database/database.js'
import { dropIngestSteps, storeIngestSteps } from './ingest-stats.js'
import type { IngestSteps } from './ingest-stats.js'
import { dropLastChanges } from './last-changes.js'
import { LockHolders } from '../schema/locks/lock-holders.js'
import { DAY_MS } from '../config/setting-types.js'
import { REFUSED_PARTITION, dropPartitions, dropRollups, ensurePartitions, expired } from '../schema/partitions.js'
import type { PartitionSettings } from '../schema/partitions.js'
import type { RollupStatus } from './rollups.js'
import { StreamRollUps } from './stream-rollups.js'
import { Summaries } from './summaries.js'
import { serverTimeMs } from '../database/server-time.js'
import { inStream, streamSql } from '../database/stream-tables.js'
import { anomalyRetention, readStoredStreams, retentionOf } from '../schema/retention.js'
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
  /** Names. Default: the one that every catalogue has. */
  readonly streams?: readonly string[]
  readonly log: StoreLog
  /** The server's counters; default: none are stored. */
  readonly steps?: IngestSteps
  /** Whether points are waiting too long for the database: rollups of late rows and history then slow down. */
  readonly storingIsBehind?: () => boolean
  /** Default: INTERVALS. */
  readonly intervals?: Partial<MaintenanceIntervals>
  /** For tests; default: ANSWER_MS, for statistics STATISTICS_ANSWER_MS. */
  readonly answerMs?: number
  /** For tests; default: READER_PATIENCE_MS. */
  readonly readerPatienceMs?: number
  /** Milliseconds since 1970, for tests; default: the host's clock. */
  readonly now?: () => number
}

export interface Maintenance {
  /** Runs all tasks now, and resolves when they are done or failed: see lastError. */
  runNow (): Promise<void>
  /** Stores the server's final counters if the database answers within boundMs, then closes. */
  finish (boundMs: number): Promise<void>
  /** Stops at once; the server rolls back the current task. */
  close (): Promise<void>
  /** Why the last run failed; null: it succeeded. */
  readonly lastError: string | null
  readonly rollups: RollupStatus
}

interface Task {
  readonly intervalMs: number
  readonly answerMs: number
  /** On the monotonic clock. */
  dueMs: number
  /** Why its last run failed. */
  error: string | null
  /** Pause before the next retry. */
  retryMs: number
  run (database: Database): Promise<void>
}

const INTERVALS: MaintenanceIntervals = {
  partitionsMs: 600_000, summariesMs: 10_000, rollupsMs: 2_000, statisticsMs: 500, readersMs: 5_000
}
const RETRY_MIN_MS = 500
const RETRY_MAX_MS = 60_000
/** Longer than any task takes, such as refreshing a span of late rows or summarising the index of a whole day. */
const ANSWER_MS = 300_000
/** Statistics are stored twice a second, so this usually detects a silent server. */
const STATISTICS_ANSWER_MS = 30_000
const INITIAL = { dueMs: 0, error: null, retryMs: RETRY_MIN_MS }
/** Dropping a partition waits for its users, and later sessions queue behind; see lock-holders.ts. */
const LOCK_TIMEOUT = '2s'
/** Tables waited for in a round, for some seconds each: a dump holds all of them. */
const HELD_UP_MAX = 5

/** Starts immediately, in the background. */
export function startMaintenance (options: MaintenanceOptions): Maintenance {
  return new Keeper(options)
}

class Keeper implements Maintenance {
  lastError: string | null = null
  private readonly tasks: readonly Task[]
  private readonly statistics: Task
  private readonly closing = new AbortController()
  private readonly loop: Promise<void>
  /** The current run; runs are serialized. */
  private running: Promise<void> = Promise.resolve()
  private database: Database | null = null
  private readonly streams: readonly string[]
  private readonly rollUp: StreamRollUps
  private readonly holders: LockHolders
  /** Why the last run had no connection or lost it; null: it did not. */
  private cutOff: string | null = null

  constructor (private readonly options: MaintenanceOptions) {
    const { partitionsMs, summariesMs, rollupsMs, statisticsMs, readersMs } = { ...INTERVALS, ...options.intervals }
    const { answerMs = ANSWER_MS, log } = options
    const { storingIsBehind, streams = [TELEMETRY] } = options
    this.streams = streams
    this.rollUp = new StreamRollUps(streams, { log, ...storingIsBehind === undefined ? {} : { storingIsBehind } })
    const [byTime, bySatellite] = [new Summaries(streams, 'time'), new Summaries(streams, 'satellites')]
    this.holders = new LockHolders(log, options.readerPatienceMs)
    const task = (intervalMs: number, run: Task['run']): Task => ({ ...INITIAL, intervalMs, answerMs, run })
    this.statistics = {
      ...task(statisticsMs, database => this.storeSteps(database)),
      answerMs: Math.min(answerMs, STATISTICS_ANSWER_MS)
    }
    this.tasks = [
      task(partitionsMs, database => this.keepPartitions(database)),
      // Rollups, too, look for the newest rows.
      task(rollupsMs, database => byTime.run(database)),
      task(rollupsMs, database => this.rollUp.run(database)),
      this.statistics,
      task(summariesMs, database => bySatellite.run(database)),
      task(readersMs, database => this.holders.endBlockingReaders(database))
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
    // Do not wait for a database that was down.
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

  /** @param tasks default: those that are due by then */
  private run (tasks?: readonly Task[]): Promise<void> {
    const due = (): readonly Task[] => this.tasks.filter(task => task.dueMs <= performance.now())
    this.running = this.running.then(() => this.perform(tasks ?? due()))
    return this.running
  }

  /** Never rejects. */
  private async perform (tasks: readonly Task[]): Promise<void> {
    if (tasks.length === 0 || this.closed()) return
    try {
      const database = await this.connection()
      for (const task of tasks) if (!this.closed()) await attempt(task, database)
      this.cutOff = null
      // A server that became a standby refuses writes but keeps the session; another server may be the primary now.
      if (tasks.some(({ error }) => error !== null)) this.disconnect()
    } catch (error) {
      this.cutOff = reasonOf(error)
      this.disconnect()
    }
    const failed = this.tasks.find(({ error }) => error !== null)
    if (!this.closed()) this.report(this.cutOff ?? failed?.error ?? null)
  }

  /** Kept between runs: with a task twice a second, connecting would cost more than the tasks. */
  private async connection (): Promise<Database> {
    if (this.database?.alive === true) return this.database
    const database = await this.options.connect()
    this.database = database
    // close() was called in the meantime, and found no connection.
    if (this.closed()) database.destroy()
    else {
      const setTimeouts = async (): Promise<unknown> => await database.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`)
      await answered(database, this.statistics.answerMs, setTimeouts)
    }
    return database
  }

  private disconnect (): void {
    this.database?.destroy()
    this.database = null
  }

  private report (reason: string | null): void {
    const { log } = this.options
    if (reason === null && this.lastError !== null) log.info({}, 'Database maintenance works again')
    if (reason !== null && this.lastError === null) {
      log.warn({ reason }, 'Database maintenance failed, and will be retried until it works')
    }
    this.lastError = reason
  }

  private async keepPartitions (database: Database): Promise<void> {
    const { settings, log, now = Date.now } = this.options
    const hostMs = now()
    const serverMs = await serverTimeMs(database)
    if (Math.abs(hostMs - serverMs) > DAY_MS) {
      log.warn({ hostMs, serverMs }, 'The clocks of this host and of the database differ by more than a day')
    }
    const stored = await readStoredStreams(database)
    const retention = new Map(stored.map((stream) => [stream.name, retentionOf(stream, settings.retentionMs)]))
    const settingsOf = (stream: string): PartitionSettings => ({
      retentionMs: retention.get(stream) ?? settings.retentionMs
    })
    for (const stream of this.streams) {
      const { made, refused } = await ensurePartitions(inStream(database, stream), settingsOf(stream), hostMs)
      if (made.length > 0) log.info({ partitions: made }, `Partitions created: ${made.length}`)
      for (const reason of refused) log.warn({ reason }, REFUSED_PARTITION)
    }
    const nowMs = Math.min(hostMs, serverMs)
    const retained: Retained[] = this.streams.map((stream) => (
      { session: inStream(database, stream), table: stream, ...settingsOf(stream), hasPoints: true }))
    const anomalies: Retained = {
      session: database,
      table: 'anomalies',
      retentionMs: anomalyRetention(stored, settings.retentionMs),
      hasPoints: false
    }
    if (await isInDoubt([...retained, anomalies], nowMs)) {
      log.warn({ nowMs }, 'By the clock, days of points are past their retention at once, and none are from the days ' +
        'since: nothing is dropped until points are a day old. If the clock is ahead, set it before then')
      return
    }
    if (this.options.steps !== undefined) await dropIngestSteps(database, settings.retentionMs, nowMs)
    await dropLastChanges(database, this.streams)
    await eachByItself(database, [
      ...retained.flatMap((each) => [
        async () => { await this.drop(each, nowMs) }, async () => { await this.dropRollups(database, each.table) }
      ]),
      async () => { await this.drop(anomalies, nowMs) }
    ])
  }

  /** Throws if the table is held for long; the task is then retried. */
  private async drop (retained: Retained, nowMs: number): Promise<void> {
    const { session, table } = retained
    await this.holders.awaitFree(session, await expired(session, [table], retained, nowMs))
    const dropped = await dropPartitions(session, table, retained, nowMs)
    if (dropped.length > 0) {
      this.options.log.info({ partitions: dropped }, `${dropped.length} partitions past their retention were dropped`)
    }
  }

  /** As drop(). */
  private async dropRollups (database: Database, stream: string): Promise<void> {
    const session = inStream(database, stream)
    for (const width of ['10s', '1m'] as const) {
      await this.holders.awaitFree(database, await expired(session, [streamSql(`rollup_${width}`, stream)]))
      await dropRollups(session, width)
    }
  }

  private async storeSteps (database: Database): Promise<void> {
    const { steps } = this.options
    if (steps !== undefined) await storeIngestSteps(database, steps, this.streams)
  }
}

/** Takes steps of which one may fail without the others. Throws the first failure at the end. */
async function eachByItself (database: Database, steps: ReadonlyArray<() => Promise<void>>): Promise<void> {
  const failures: unknown[] = []
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      if (!database.alive) throw error
      failures.push(error)
      if (failures.length === HELD_UP_MAX) break
      await database.query('ROLLBACK')
    }
  }
  if (failures.length > 0) throw failures[0]
}

/** A failed task is retried on its own and does not delay the others. Throws if the connection is lost. */
async function attempt (task: Task, database: Database): Promise<void> {
  try {
    await answered(database, task.answerMs, () => runWhole(task, database))
    Object.assign(task, { error: null, retryMs: RETRY_MIN_MS, dueMs: performance.now() + task.intervalMs })
  } catch (error) {
    // A task that lost its connection stays due. One without an answer may be the cause: the others go first.
    if (database.alive || error instanceof NoAnswer) {
      const dueMs = performance.now() + Math.max(task.retryMs, task.intervalMs)
      Object.assign(task, { error: reasonOf(error), retryMs: Math.min(task.retryMs * 2, RETRY_MAX_MS), dueMs })
    }
    if (!database.alive) throw error
  }
}

/** Leaves no transaction open on failure. */
async function runWhole (task: Task, database: Database): Promise<void> {
  try {
    await task.run(database)
  } catch (error) {
    if (database.alive) await database.query('ROLLBACK')
    throw error
  }
}

class NoAnswer extends OperatingError {}

/** Cuts the connection if the work takes too long: TCP would wait a quarter of an hour for a vanished host. */
async function answered (database: Database, boundMs: number, work: () => Promise<unknown>): Promise<void> {
  const wait = { over: false }
  const timer = setTimeout(() => {
    wait.over = true
    database.destroy()
  }, boundMs)
  try {
    await work()
  } catch (cause) {
    if (!wait.over) throw cause
    const message = `The database did not answer within ${boundMs / 1000} s.`
    throw new NoAnswer('database_unavailable', message, undefined, { cause })
  } finally {
    clearTimeout(timer)
  }
}

function reasonOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
