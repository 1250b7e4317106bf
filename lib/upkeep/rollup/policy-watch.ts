/**
 * Refreshes continuous aggregates in place of TimescaleDB's policies when these are overdue.
 *
 *   on time ──a run is missing──▶ overdue: the span of the policies is refreshed here repeatedly ──it ran──▶ on time
 *
 * After a database crash during a refresh TimescaleDB waits five to eleven minutes, and a server with too few
 * background workers may never run the policy. A running policy is never interfered with, however long it takes; a
 * paused one stays paused. What policies do not reach when they run again is noted, as if it had come late.
 */
import { sqlState } from '../../database/connection.js'
import type { Session } from '../../database/database.js'
import { serverTimeMs } from '../../database/server-time.js'
import { LOCK_NOT_AVAILABLE } from '../../database/sqlstates.js'
import type { StoreLog } from '../../support/store-log.js'
import { REFRESH_FROM_MS, REFRESH_UNTIL_MS } from '../../schema/timescale-policies.js'
import { callRefresh, forgetFailed, isolating, MINUTE_MS, type RollupView } from './spans.js'

export interface OverduePolicy {
  readonly view: string
  /** Since its last successful run, or since this server first saw that there was none. */
  readonly seconds: number
}

interface PolicyRow {
  readonly view: string
  /** Null: it never ran. Below 0: the clock of the server was set back since, and TimescaleDB waits for that time. */
  readonly age: number | null
  readonly every: number
  readonly running: boolean
  /** Whether it is not paused. */
  readonly scheduled: boolean
  /** When its last run began, if that has succeeded; milliseconds since 1970. */
  readonly startedMs: number | null
}

/** A check costs some milliseconds; the policies run every 20 s and every minute. */
const LOOK_INTERVAL_MS = 10_000
/** Runs take a moment, and workers start with a delay: a run later than this is overdue. */
const GRACE_SECONDS = 40
/** Per refresh, so that other maintenance is not delayed. */
const PART_MS = 600_000
const VIEWS = ['rollup_10s', 'rollup_1m'] as const
/** Between two runs. After longer, the second does not reach rows that came late just after the first. */
const RUNS_APART_MS_MAX = 1_800_000

export class PolicyWatch {
  /** Overdue policies. */
  overdue: readonly OverduePolicy[] = []
  private lookDueMs = 0
  /** When policies that never ran were first seen, on the monotonic clock, or those that ran in the future. */
  private readonly firstSeenMs = new Map<string, number>()
  /** By view, when the last known run of its policy began. */
  private readonly startedMs = new Map<string, number>()
  /** By view, where its refresh continues; empty: none is in progress. */
  private readonly cursors = new Map<RollupView, number>()

  constructor (private readonly log: StoreLog | null, private readonly nowMs = () => performance.now()) {}

  /** Refreshes what is overdue. @param endMs on the monotonic clock: no refresh starts after it */
  async run (database: Session, endMs: number): Promise<void> {
    if (this.nowMs() >= this.lookDueMs) await this.look(database)
    for (const [view, fromMs] of this.cursors) {
      if (!await this.refresh(database, view, fromMs, endMs)) return
    }
  }

  private async look (database: Session): Promise<void> {
    this.lookDueMs = this.nowMs() + LOOK_INTERVAL_MS
    const policies = await readPolicies(database)
    for (const policy of policies) await this.noteUnreached(database, policy)
    const rows = policies.filter(({ scheduled }) => scheduled)
    const overdue = rows.flatMap((row) => {
      const seconds = this.secondsSince(row)
      return seconds > row.every + GRACE_SECONDS ? [{ view: row.view, seconds, running: row.running }] : []
    })
    this.report(overdue)
    if (this.cursors.size > 0 || overdue.length === 0 || rows.some(({ running }) => running)) return
    // Minutes are built from ten-second rollups: always refresh those first.
    const beginMs = Math.floor((await serverTimeMs(database) - REFRESH_FROM_MS) / PART_MS) * PART_MS
    for (const view of VIEWS) this.cursors.set(view, beginMs)
  }

  private async noteUnreached (database: Session, { view, startedMs }: PolicyRow): Promise<void> {
    if (startedMs === null) return
    const beforeMs = this.startedMs.get(view) ?? startedMs
    if (startedMs - beforeMs > RUNS_APART_MS_MAX) {
      await database.query('SELECT public.orbitstream_enter_span($1, $2)',
        [new Date(beforeMs - REFRESH_FROM_MS), new Date(startedMs)])
    }
    this.startedMs.set(view, startedMs)
  }

  private secondsSince ({ view, age }: PolicyRow): number {
    if (age !== null && age >= 0) {
      this.firstSeenMs.delete(view)
      return age
    }
    const seenMs = this.firstSeenMs.get(view) ?? this.nowMs()
    this.firstSeenMs.set(view, seenMs)
    return (this.nowMs() - seenMs) / 1000
  }

  private report (overdue: readonly OverduePolicy[]): void {
    for (const { view, seconds } of overdue) {
      if (this.overdue.some((known) => known.view === view)) continue
      this.log?.warn({ view, seconds: Math.round(seconds) },
        `The refresh policy of ${view} is overdue; this server refreshes in its place until it runs again`)
    }
    for (const { view } of this.overdue) {
      if (overdue.every((known) => known.view !== view)) {
        this.log?.info({ view }, `The refresh policy of ${view} runs again`)
      }
    }
    this.overdue = overdue.map(({ view, seconds }) => ({ view, seconds: Math.round(seconds) }))
  }

  /** Oldest first: points newer than the refreshed part are read from telemetry. False: time is up. */
  private async refresh (database: Session, view: RollupView, beginMs: number, endMs: number): Promise<boolean> {
    const serverMs = await serverTimeMs(database)
    const untilMs = Math.floor((serverMs - REFRESH_UNTIL_MS[view]) / MINUTE_MS) * MINUTE_MS
    for (let fromMs = beginMs; fromMs < untilMs; fromMs += PART_MS) {
      if (this.nowMs() >= endMs) {
        this.cursors.set(view, fromMs)
        return false
      }
      const span = { from: new Date(fromMs), to: new Date(Math.min(fromMs + PART_MS, untilMs)) }
      try {
        await isolating(database, span, async (part) => {
          await callRefresh(database, view, part)
          // Minutes succeed in spite of ten seconds that failed just before.
          if (view === 'rollup_10s') await forgetFailed(database, part)
        })
      } catch (error) {
        // The policy is running after all, or another session blocks it: check again next time.
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
        this.cursors.clear()
        return false
      }
    }
    this.cursors.delete(view)
    return true
  }
}

/** Depending on the version, a rollup's job names the view or the hypertable behind it. */
async function readPolicies (database: Session): Promise<PolicyRow[]> {
  // Literals, which stand for the views of the session's stream.
  const { rows } = await database.query<Omit<PolicyRow, 'view'> & { readonly width: string }>(`
    SELECT CASE view WHEN 'rollup_10s' THEN '10s' ELSE '1m' END AS width, age, every, running, scheduled, "startedMs"
    FROM (
      SELECT coalesce(c.view_name, j.hypertable_name)::text AS view,
             extract(epoch FROM now() - nullif(s.last_successful_finish, '-infinity'))::double precision AS age,
             extract(epoch FROM j.schedule_interval)::double precision AS every,
             coalesce(s.job_status = 'Running', false) AS running, j.scheduled,
             CASE WHEN s.job_status <> 'Running' AND s.last_run_status = 'Success' AND isfinite(s.last_run_started_at)
               THEN (extract(epoch FROM s.last_run_started_at) * 1000)::double precision END AS "startedMs"
      FROM timescaledb_information.jobs j
      LEFT JOIN timescaledb_information.job_stats s USING (job_id)
      LEFT JOIN timescaledb_information.continuous_aggregates c
        ON c.materialization_hypertable_schema = j.hypertable_schema
        AND c.materialization_hypertable_name = j.hypertable_name
      WHERE j.proc_name = 'policy_refresh_continuous_aggregate'
        AND 'public' IN (j.hypertable_schema, c.view_schema)
    ) policies WHERE view IN ('rollup_10s', 'rollup_1m')`)
  return rows.map(({ width, ...row }) => ({ ...row, view: `rollup_${width}` }))
}
