/**
 * Stores points at a fixed rate, as a worker does, in a database of its own with TimescaleDB: with the product's schema, or
 * with its continuous aggregates dropped. An open loop: transaction n is due at its time, whatever became of those before.
 *
 *   begin ──── lead: everything warms up ────┬──── span: what is measured ────┬─ last COMMIT
 *              refreshes come to their pace  │  whole intervals of refreshes  │
 *
 * Beside it runs what the primary does for the database: the product's own maintenance. On a server that has a connection
 * of its own, and background workers refresh the aggregates. In WebAssembly there is one session: maintenance and the jobs
 * of the refresh policies, which are run when they are due, each take their turn in it, and transactions wait meanwhile.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { loadConfig, type Config } from '../../lib/config/config.js'
import { commitRun, enterLedger, type CommitRows } from '../../lib/drain/commit.js'
import { connect, type Database } from '../../lib/database/connection.js'
import { startMaintenance, type Maintenance } from '../../lib/upkeep/maintenance.js'
import { migrate } from '../../lib/schema/migrate.js'
import type { ByProcess, Latency } from '../result.js'
import { latencyOf } from '../statistics.js'
import { Chores, refreshChores, SUMMARIES } from './chores.js'
import { openTimescaleDatabase, type TimescaleDatabase } from './database.js'
import { PointSource } from './point-source.js'
import { MAINTENANCE, REFRESHES, STORING } from './purposes.js'
import { sharedConnection, takenBetween, Turns, type Taken } from './turns.js'

export interface StoreJob {
  /** Of a server with TimescaleDB; null: in WebAssembly, in this process. */
  readonly url: string | null
  /** For the files of WebAssembly, empty; null: in memory, which is for tests. */
  readonly directory: string | null
  /** False: they are dropped, and with them what notes changes for them. */
  readonly aggregates: boolean
  readonly satellites: number
  readonly transactionsPerSecond: number
  readonly transactionPoints: number
  /** Stored like all else, and not measured. */
  readonly leadSeconds: number
  readonly seconds: number
  /** In place of the policies' own intervals, for tests. */
  readonly refreshEveryMs?: number
  /** How old the points are, for tests: refreshes leave out the newest. */
  readonly ageMs?: number
}

export interface StoreResult {
  /** Points of the span: due, committed, and found afterwards. */
  readonly sent: number
  readonly acknowledged: number
  readonly stored: number
  /** From the begin of the span until its last point was committed. */
  readonly seconds: number
  /** From the moment that a transaction was due until it was committed. */
  readonly latency: Latency
  /** Seconds in statements during that time, by what they were for. */
  readonly busySeconds: ByProcess
  /** Processor time of the same; null on a server, where it is not known. */
  readonly cpuSeconds: ByProcess | null
  /** Points that refreshes took into the aggregates during that time. */
  readonly refreshed: number
  readonly problems: readonly string[]
}

/** What the benchmark itself asks; not counted. */
const WATCHING = 'watching'
const SPOOL = 'benchmark'
const OPTIONS = { applicationName: 'orbitstream benchmark', connectTimeoutMs: 5_000 }
/** Buckets end at whole multiples of this; each run begins in the middle of one, so that refreshes find equally many. */
const BUCKET_MS = 10_000
/** Less than refreshes leave out of the newest points. */
const LATE_MS = 15_000
/** A run that takes longer than this many times its length is given up. */
const OVERTIME = 3
const log = pino({ level: 'silent' })

const REFRESHED = 'SELECT coalesce(sum(points), 0)::float8 AS value FROM rollup_10s'
/** What the aggregates lack of the points before the end of their last bucket. */
const MISSING = `
  SELECT (SELECT count(*) FROM telemetry WHERE "time" < (SELECT max(bucket) + interval '10 seconds' FROM rollup_10s))::float8
       - (SELECT coalesce(sum(points), 0) FROM rollup_10s)::float8 AS value`
/** Of background workers, seconds since the database was made. */
const REFRESH_SECONDS = `
  SELECT coalesce(extract(epoch FROM sum(total_duration)), 0)::float8 AS value
  FROM _timescaledb_internal.bgw_job_stat JOIN timescaledb_information.jobs USING (job_id) WHERE proc_name = 'policy_refresh_continuous_aggregate'`

/** Moments of a run. */
interface Mark {
  readonly taken: Taken
  readonly refreshed: number
}

export class PacedStore {
  private readonly turns: Turns
  private readonly source: PointSource
  private sequence = 0
  /** Time of the first point. */
  private beginMs = 0

  private constructor (private readonly job: StoreJob, private readonly opened: TimescaleDatabase, private readonly config: Config) {
    this.turns = new Turns(opened.database)
    this.source = new PointSource(job.transactionPoints, job.satellites, 1000 / job.transactionsPerSecond)
  }

  /** Makes the database. */
  static async prepare (job: StoreJob): Promise<PacedStore> {
    const loaded = loadConfig({ env: {} })
    if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('; '))
    const opened = await openTimescaleDatabase(job.url, job.directory)
    try {
      const { database } = opened
      await migrate(database, { ...loaded.config, log })
      if (!job.aggregates) await dropAggregates(database)
      await enterLedger(database, SPOOL)
      // As a server's background workers do at once: later refreshes then begin where this one ended.
      if (job.url === null) for (const refresh of await refreshChores(database)) await refresh.run(database)
      return new PacedStore(job, opened, loaded.config)
    } catch (error) {
      await opened.close()
      throw error
    }
  }

  /** Once; removes the database at the end. */
  async run (): Promise<StoreResult> {
    try {
      return await this.measure()
    } finally {
      await this.opened.close()
    }
  }

  private async measure (): Promise<StoreResult> {
    const { job: { leadSeconds, transactionPoints }, leadTransactions } = this
    const maintenance = this.startMaintenance()
    // The middle of a bucket, but where a test cannot wait for it.
    if (leadSeconds > 0) await delay(BUCKET_MS - (Date.now() + BUCKET_MS / 2) % BUCKET_MS)
    const startMs = performance.now()
    const chores = await this.startChores(startMs)
    let stored: Awaited<ReturnType<PacedStore['storeAll']>>
    try {
      stored = await this.storeAll(startMs)
    } finally {
      await chores?.end()
      await maintenance.close()
    }
    const { begin, end, endMs, latencies } = stored
    const { busySeconds, cpuSeconds } = takenBetween(begin.taken, end.taken)
    const { found, problems } = await this.check(latencies)
    return {
      sent: (this.transactions - leadTransactions) * transactionPoints,
      acknowledged: Math.max(0, latencies.length - leadTransactions) * transactionPoints,
      stored: found,
      seconds: (endMs - startMs) / 1000 - leadSeconds,
      latency: latencyOf(latencies.slice(leadTransactions)),
      busySeconds: counted(busySeconds),
      cpuSeconds: this.opened.url === null ? counted(cpuSeconds) : null,
      refreshed: end.refreshed - begin.refreshed,
      problems: [...problems, ...maintenance.lastError === null ? [] : [`maintenance failed: ${maintenance.lastError}`]]
    }
  }

  private get leadTransactions (): number {
    return Math.round(this.job.leadSeconds * this.job.transactionsPerSecond)
  }

  private get transactions (): number {
    return this.leadTransactions + Math.round(this.job.seconds * this.job.transactionsPerSecond)
  }

  private startMaintenance (): Maintenance {
    const { opened: { url }, config: settings } = this
    const open = async (): Promise<Database> => url === null ? sharedConnection(this.turns, MAINTENANCE) : await connect(url, OPTIONS)
    return startMaintenance({ connect: open, settings, log })
  }

  /** Null: the server has others for it. */
  private async startChores (startMs: number): Promise<Chores | null> {
    if (this.opened.url !== null) return null
    const refreshes = await this.turns.take(WATCHING, (database) => refreshChores(database, this.job.refreshEveryMs))
    return new Chores(this.turns, [...refreshes, SUMMARIES], startMs)
  }

  private async storeAll (startMs: number): Promise<{ begin: Mark, end: Mark, endMs: number, latencies: number[] }> {
    const { job: { leadSeconds, seconds, transactionsPerSecond, ageMs = 0 }, leadTransactions, transactions } = this
    const everyMs = 1000 / transactionsPerSecond
    this.beginMs = Date.now() - ageMs
    const limitMs = startMs + (leadSeconds + seconds) * 1000 * OVERTIME
    const latencies: number[] = []
    let begin: Mark | null = null
    for (let number = 0; number < transactions && performance.now() < limitMs; number++) {
      if (number === leadTransactions) begin = await this.mark()
      const rows = this.source.transaction(number, this.beginMs + number * everyMs)
      // All of its points have happened.
      const dueMs = startMs + (number + 1) * everyMs
      // Also when it is late: chores whose timers are over come first.
      await delay(Math.max(0, Math.ceil(dueMs - performance.now())))
      await this.turns.take(STORING, (database) => this.store(database, rows))
      latencies.push(performance.now() - dueMs)
    }
    const endMs = performance.now()
    const end = await this.mark()
    return { begin: begin ?? end, end, endMs, latencies }
  }

  private async store (database: Database, rows: CommitRows): Promise<void> {
    const sequence = ++this.sequence
    const run = { epoch: 1, firstSequence: sequence, lastSequence: sequence, rows: rows.copyRows, bytes: rows.copy.length, payloads: [] }
    const from = sequence === 1 ? { epoch: 0, sequence: 0 } : { epoch: 1, sequence: sequence - 1 }
    if (!await commitRun(database, SPOOL, from, run, rows)) throw new Error('the ledger is elsewhere')
  }

  private async mark (): Promise<Mark> {
    const { job: { aggregates }, opened: { url } } = this
    const taken = this.turns.taken()
    const refreshed = aggregates ? await this.ask(REFRESHED) : 0
    if (url === null || !aggregates) return { taken, refreshed }
    return { taken: { ...taken, busySeconds: { ...taken.busySeconds, [REFRESHES]: await this.ask(REFRESH_SECONDS) } }, refreshed }
  }

  /** Everything that was committed is there, and in the aggregates as far as they go. */
  private async check (latencies: readonly number[]): Promise<{ found: number, problems: string[] }> {
    const { job: { transactionPoints, leadSeconds, aggregates } } = this
    const transactions = latencies.length
    const { rows: [row] } = await this.opened.database.query<{ all: number, found: number, sum: number }>(
      'SELECT count(*)::float8 AS all, count(*) FILTER (WHERE "time" >= to_timestamp($1::float8 / 1000))::float8 AS found, sum(storage_usage_mb) AS sum FROM telemetry',
      // Times have whole microseconds: a half of one keeps the first point in.
      [this.beginMs + leadSeconds * 1000 - 0.0005])
    const { all = 0, found = 0, sum = 0 } = row ?? {}
    const committed = transactions * transactionPoints
    const missing = aggregates ? await this.missing(Math.max(...latencies)) : 0
    return {
      found,
      problems: [
        ...transactions === this.transactions ? [] : [`only ${transactions} of ${this.transactions} transactions could be stored in time`],
        ...all === committed ? [] : [`${committed} points were committed and ${all} are there`],
        ...sum === this.source.storageSum(transactions) ? [] : ['values differ from those that were sent'],
        ...missing === 0 ? [] : [`the aggregates lack ${missing} points`]
      ]
    }
  }

  /** Late points may wait for the next refresh: that is run, or, on a server, not waited for, and nothing is known. */
  private async missing (latestMs: number): Promise<number> {
    const { opened: { database, url } } = this
    if (url !== null && latestMs > LATE_MS) return 0
    if (url === null) for (const refresh of await refreshChores(database)) await refresh.run(database)
    return await this.ask(MISSING)
  }

  private async ask (sql: string): Promise<number> {
    return await this.turns.take(WATCHING, async (database) => (await database.query<{ value: number }>(sql)).rows[0]?.value ?? NaN)
  }
}

/** With the views that are made of them. What notes changes for them goes too. */
export async function dropAggregates (database: Database): Promise<void> {
  // The minutes are made of the ten seconds.
  for (const name of ['rollup_1m', 'rollup_10s']) await database.query(`DROP MATERIALIZED VIEW ${name} CASCADE`)
}

function counted ({ [WATCHING]: _, ...seconds }: ByProcess): ByProcess {
  return seconds
}
