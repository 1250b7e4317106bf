/**
 * Refreshes the continuous aggregates in place of TimescaleDB's policies when these have not run although they were due.
 *
 *   on time ──a run is missing──▶ overdue: the span of the policies is refreshed from here, again and again ──it ran──▶ on time
 *
 * After a crash of the database in the middle of a refresh TimescaleDB itself waits five to eleven minutes, and a server with
 * too few background workers may never get to it. A policy that is running is left to it, however long it takes; one that
 * somebody paused stays paused.
 */
import { sqlState, type Database } from '../../database/connection.js'
import type { StoreLog } from '../../support/store-log.js'
import { REFRESH_FROM_MS, REFRESH_UNTIL_MS } from '../../schema/timescale-policies.js'
import { callRefresh, forgetFailed, isolating, type RollupView } from './spans.js'

export interface OverduePolicy {
  readonly view: RollupView
  /** Since its last run that succeeded, or since this server knows it. */
  readonly seconds: number
}

interface PolicyRow {
  readonly view: RollupView
  /** Null: it never ran. */
  readonly age: number | null
  readonly every: number
  readonly running: boolean
}

/** A look costs some milliseconds; the policies run every 20 s and every minute. */
const LOOK_INTERVAL_MS = 10_000
/** A run takes a moment, and workers are started with a delay: later than that after its time it is missing. */
const GRACE_SECONDS = 40
/** Of one refresh: other maintenance must not be held up. */
const PART_MS = 600_000
const LOCK_NOT_AVAILABLE = '55P03'
const VIEWS = ['rollup_10s', 'rollup_1m'] as const

export class PolicyWatch {
  /** Policies that have not run although they were due. */
  overdue: readonly OverduePolicy[] = []
  private lookDueMs = 0
  /** Of those that never ran: when they were seen first, on the monotonic clock. */
  private readonly firstSeenMs = new Map<RollupView, number>()
  /** Begin of what is to be refreshed still in each of the views; none: nothing is under way. */
  private readonly cursors = new Map<RollupView, number>()

  constructor (private readonly log: StoreLog | null, private readonly nowMs: () => number = () => performance.now()) {}

  /** Refreshes for some time at most, if it is due to. @param endMs on the monotonic clock: no refresh begins after it */
  async run (database: Database, endMs: number): Promise<void> {
    if (this.nowMs() >= this.lookDueMs) await this.look(database)
    for (const [view, fromMs] of this.cursors) {
      if (!await this.refresh(database, view, fromMs, endMs)) return
    }
  }

  private async look (database: Database): Promise<void> {
    this.lookDueMs = this.nowMs() + LOOK_INTERVAL_MS
    const rows = await readPolicies(database)
    const overdue = rows.flatMap((row) => {
      const seconds = this.secondsSince(row)
      return seconds > row.every + GRACE_SECONDS ? [{ view: row.view, seconds, running: row.running }] : []
    })
    this.report(overdue)
    if (this.cursors.size > 0 || overdue.length === 0 || rows.some(({ running }) => running)) return
    // Minutes are made of ten seconds: those come first, whichever of the two is missing.
    const beginMs = Math.floor((await serverTimeMs(database) - REFRESH_FROM_MS) / PART_MS) * PART_MS
    for (const view of VIEWS) this.cursors.set(view, beginMs)
  }

  private secondsSince ({ view, age }: PolicyRow): number {
    if (age !== null) return age
    const seenMs = this.firstSeenMs.get(view) ?? this.nowMs()
    this.firstSeenMs.set(view, seenMs)
    return (this.nowMs() - seenMs) / 1000
  }

  private report (overdue: readonly OverduePolicy[]): void {
    for (const { view, seconds } of overdue) {
      if (this.overdue.every((known) => known.view !== view)) this.log?.warn({ view, seconds: Math.round(seconds) }, `The refresh policy of ${view} has not run although it was due; this server refreshes in its place until it runs again`)
    }
    for (const { view } of this.overdue) {
      if (overdue.every((known) => known.view !== view)) this.log?.info({ view }, `The refresh policy of ${view} runs again`)
    }
    this.overdue = overdue.map(({ view, seconds }) => ({ view, seconds: Math.round(seconds) }))
  }

  /** From the oldest on: what is newer than a part that was refreshed is read from telemetry. False: the time is over. */
  private async refresh (database: Database, view: RollupView, beginMs: number, endMs: number): Promise<boolean> {
    const untilMs = Math.floor((await serverTimeMs(database) - REFRESH_UNTIL_MS[view]) / MINUTE_MS) * MINUTE_MS
    for (let fromMs = beginMs; fromMs < untilMs; fromMs += PART_MS) {
      if (this.nowMs() >= endMs) {
        this.cursors.set(view, fromMs)
        return false
      }
      const span = { from: new Date(fromMs), to: new Date(Math.min(fromMs + PART_MS, untilMs)) }
      try {
        await isolating(database, span, async (part) => {
          await callRefresh(database, view, part)
          await forgetFailed(database, part)
        })
      } catch (error) {
        // The policy is at it after all, or somebody holds it up: the next look decides.
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
        this.cursors.clear()
        return false
      }
    }
    this.cursors.delete(view)
    return true
  }
}

const MINUTE_MS = 60_000

/** Some versions name a rollup's job by the view, others by the hypertable behind it. */
async function readPolicies (database: Database): Promise<PolicyRow[]> {
  const { rows } = await database.query<PolicyRow>(`
    SELECT * FROM (
      SELECT coalesce(c.view_name, j.hypertable_name)::text AS view,
             extract(epoch FROM now() - nullif(s.last_successful_finish, '-infinity'))::double precision AS age,
             extract(epoch FROM j.schedule_interval)::double precision AS every,
             coalesce(s.job_status = 'Running', false) AS running
      FROM timescaledb_information.jobs j
      LEFT JOIN timescaledb_information.job_stats s USING (job_id)
      LEFT JOIN timescaledb_information.continuous_aggregates c
        ON c.materialization_hypertable_schema = j.hypertable_schema AND c.materialization_hypertable_name = j.hypertable_name
      WHERE j.proc_name = 'policy_refresh_continuous_aggregate' AND j.scheduled AND 'public' IN (j.hypertable_schema, c.view_schema)
    ) policies WHERE view = ANY ($1)`, [VIEWS])
  return rows
}

async function serverTimeMs (database: Database): Promise<number> {
  const { rows } = await database.query<{ now: Date }>('SELECT now() AS now')
  return rows[0]?.now.getTime() ?? NaN
}
