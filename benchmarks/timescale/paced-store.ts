/**
 * Stores points at a fixed rate, as a worker does, in its own TimescaleDB database: with the product's schema, or with
 * its continuous aggregates dropped. An open loop: transaction n is due at its time, regardless of earlier ones.
 *
 *   begin ──── lead: everything warms up ────┬──── span: measured ────────────┬─ last COMMIT
 *              refreshes become steady       │  whole intervals of refreshes  │
 *
 * The primary's work on the database, the product's own maintenance, runs alongside. On a server it has its own
 * connection, and background workers refresh the aggregates. In WebAssembly there is one session: maintenance and due
 * jobs of the refresh policies take turns in it, and transactions wait meanwhile.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { loadConfig } from '../../lib/config/config.js'
import type { Config } from '../../lib/config/settings.js'
import { commitRun, enterLedger, type StreamRows } from '../../lib/drain/commit.js'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
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
  /** URL of a server with TimescaleDB; null: in WebAssembly, in this process. */
  readonly url: string | null
  /** Empty directory for the files of WebAssembly; null: in memory, for tests. */
  readonly directory: string | null
  /** False: they are dropped, with the triggers that track changes for them. */
  readonly aggregates: boolean
  readonly satellites: number
  readonly transactionsPerSecond: number
  readonly transactionPoints: number
  /** Stored, but not measured. */
  readonly leadSeconds: number
  readonly seconds: number
  /** Overrides the policies' intervals, for tests. */
  readonly refreshEveryMs?: number
  /** Age of the points, for tests: refreshes exclude the newest. */
  readonly ageMs?: number
}

export interface StoreResult {
  /** Points of the span: due, committed, and found afterwards. */
  readonly sent: number
  readonly acknowledged: number
  readonly stored: number
  /** From the start of the span until its last point was committed. */
  readonly seconds: number
  /** From when a transaction was due until it was committed. */
  readonly latency: Latency
  /** Seconds in statements during that time, by purpose. */
  readonly busySeconds: ByProcess
  /** CPU time likewise; null on a server, where it is unknown. */
  readonly cpuSeconds: ByProcess | null
  /** Points that refreshes added to the aggregates during that time. */
  readonly refreshed: number
  readonly problems: readonly string[]
}

/** The benchmark's own queries; not counted. */
const WATCHING = 'watching'
const SPOOL = 'benchmark'
const OPTIONS = { applicationName: 'orbitstream benchmark', connectTimeoutMs: 5_000 }
/** Buckets end at multiples of this; each run starts in the middle of one, so that refreshes process equal amounts. */
const BUCKET_MS = 10_000
/** Less than refreshes exclude at the end. */
const LATE_MS = 15_000
/** A run longer than this many times its length is aborted. */
const OVERTIME = 3
const log = pino({ level: 'silent' })

const REFRESHED = 'SELECT coalesce(sum(points), 0)::float8 AS value FROM rollup_10s'
/** Points missing in the aggregates before the end of their last bucket. */
const MISSING = `
  SELECT (SELECT count(*) FROM telemetry
          WHERE "time" < (SELECT max(bucket) + interval '10 seconds' FROM rollup_10s))::float8
       - (SELECT coalesce(sum(points), 0) FROM rollup_10s)::float8 AS value`
/** Seconds of background workers since the database was created. */
const REFRESH_SECONDS = `
  SELECT coalesce(extract(epoch FROM sum(total_duration)), 0)::float8 AS value
  FROM _timescaledb_internal.bgw_job_stat JOIN timescaledb_information.jobs USING (job_id)
  WHERE proc_name = 'policy_refresh_continuous_aggregate'`

/** State at one moment of a run. */
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

  private constructor (
    private readonly job: StoreJob,
    private readonly opened: TimescaleDatabase,
    private readonly config: Config
  ) {
    this.turns = new Turns(opened.database)
    this.source = new PointSource(job.transactionPoints, job.satellites, 1000 / job.transactionsPerSecond)
  }

  /** Creates the database. */
  static async prepare (job: StoreJob): Promise<PacedStore> {
    const loaded = loadConfig({ env: {} })
    if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('; '))
    const opened = await openTimescaleDatabase(job.url, job.directory)
    try {
      const { database } = opened
      await migrate(database, { ...loaded.config, log })
      if (!job.aggregates) await dropAggregates(database)
      await enterLedger(database, SPOOL)
      // As a server's background workers do immediately: later refreshes then start where this one ended.
      if (job.url === null) for (const refresh of await refreshChores(database)) await refresh.run(database)
      return new PacedStore(job, opened, loaded.config)
    } catch (error) {
      await opened.close()
      throw error
    }
  }

  /** Call once; removes the database at the end. */
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
    // Start in the middle of a bucket, except in tests.
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
    const open = async (): Promise<Database> => url === null
      ? sharedConnection(this.turns, MAINTENANCE)
      : await connect(url, OPTIONS)
    return startMaintenance({ connect: open, settings, log })
  }

  /** Null: the server has background workers for them. */
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
      // When all of its points have happened.
      const dueMs = startMs + (number + 1) * everyMs
      // Even if late: due chores come first.
      await delay(Math.max(0, Math.ceil(dueMs - performance.now())))
      await this.turns.take(STORING, (database) => this.store(database, rows))
      latencies.push(performance.now() - dueMs)
    }
    const endMs = performance.now()
    const end = await this.mark()
    return { begin: begin ?? end, end, endMs, latencies }
  }

  private async store (database: Database, rows: StreamRows): Promise<void> {
    const sequence = ++this.sequence
    const { copyRows, copy: { length: bytes } } = rows
    const frame = { epoch: 1, epochId: null, firstSequence: sequence, lastSequence: sequence }
    const run = { ...frame, rows: copyRows, bytes, payloads: [] }
    const from = { epoch: sequence === 1 ? 0 : 1, sequence: sequence - 1, epochId: null }
    const stored = await commitRun(database, { spoolId: SPOOL, from, run }, { streams: [rows], poison: [] })
    if (!stored) throw new Error('the ledger is at another position')
  }

  private async mark (): Promise<Mark> {
    const { job: { aggregates }, opened: { url } } = this
    const taken = this.turns.taken()
    const refreshed = aggregates ? await this.ask(REFRESHED) : 0
    if (url === null || !aggregates) return { taken, refreshed }
    return {
      taken: { ...taken, busySeconds: { ...taken.busySeconds, [REFRESHES]: await this.ask(REFRESH_SECONDS) } },
      refreshed
    }
  }

  /** Verifies that everything committed is stored, and in the aggregates as far as they go. */
  private async check (latencies: readonly number[]): Promise<{ found: number, problems: string[] }> {
    const { job: { transactionPoints, leadSeconds, aggregates } } = this
    const transactions = latencies.length
    const { rows: [row] } = await this.opened.database.query<{ all: number, found: number, sum: number }>(
      'SELECT count(*)::float8 AS all, count(*) FILTER (WHERE "time" >= to_timestamp($1::float8 / 1000))::float8 AS ' +
        'found, sum(storage_usage_mb) AS sum FROM telemetry',
      // Times are whole microseconds: subtracting half of one includes the first point.
      [this.beginMs + leadSeconds * 1000 - 0.0005])
    const { all = 0, found = 0, sum = 0 } = row ?? {}
    const committed = transactions * transactionPoints
    const missing = aggregates ? await this.missing(Math.max(...latencies)) : 0
    return {
      found,
      problems: [
        ...transactions === this.transactions
          ? []
          : [`only ${transactions} of ${this.transactions} transactions could be stored in time`],
        ...all === committed ? [] : [`${committed} points were committed but ${all} are stored`],
        ...sum === this.source.storageSum(transactions) ? [] : ['values differ from those sent'],
        ...missing === 0 ? [] : [`the aggregates lack ${missing} points`]
      ]
    }
  }

  /**
   * Late points may be pending until the next refresh, which is run here; on a server it is not awaited, and unknown.
   */
  private async missing (latestMs: number): Promise<number> {
    const { opened: { database, url } } = this
    if (url !== null && latestMs > LATE_MS) return 0
    if (url === null) for (const refresh of await refreshChores(database)) await refresh.run(database)
    return await this.ask(MISSING)
  }

  private async ask (sql: string): Promise<number> {
    return await this.turns.take(WATCHING, async (database) =>
      (await database.query<{ value: number }>(sql)).rows[0]?.value ?? NaN)
  }
}

/** With the views that depend on them, and the triggers that track changes for them. */
export async function dropAggregates (database: Database): Promise<void> {
  // The minutes are derived from the ten seconds.
  for (const name of ['rollup_1m', 'rollup_10s']) await database.query(`DROP MATERIALIZED VIEW ${name} CASCADE`)
}

function counted ({ [WATCHING]: _, ...seconds }: ByProcess): ByProcess {
  return seconds
}
