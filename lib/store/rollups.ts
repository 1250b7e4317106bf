/**
 * Keeps rollups and satellites_latest up to date: called by the primary's maintenance every few seconds.
 *
 * On plain PostgreSQL the functions of sql/0006 do it: each bucket once, soon after it is over, and buckets that got late
 * rows once more. On TimescaleDB the policies refresh the continuous aggregates as far back as ROLLUP_LATE_AFTER; spans
 * that got rows later than that are refreshed from here, each once.
 *
 * Work on late rows takes a tenth of the time at most, however many come: the views are right without it, only slower.
 */
import type { Database } from './db.js'

/** Rows that come later than this are beyond the refresh policies. As PostgreSQL writes an interval. */
export const ROLLUP_LATE_AFTER = '2 hours'

/** A minute of buckets in one transaction, and more of them where there is little in them: a day. */
const BUCKETS_MIN = 6
const BUCKETS_MAX = 8_640
/** An hour, looked for at once on TimescaleDB. */
const REFRESHED_BUCKETS_MAX = 360
const QUICK_MS = 100
const SLOW_MS = 1_000
/** A backlog is worked off in turns, so that other maintenance is not held up. */
const TURN_MS_MAX = 4_000
const LATE_TURN_MS_MAX = 1_000
/** Pause after work on late rows, in times of what it took. */
const LATE_PAUSE = 9

interface LateSpan { readonly from_time: Date, readonly to_time: Date, readonly ids: string[] }

export class RollUp {
  /** When late rows are worked on next, on the monotonic clock. */
  private lateDueMs = 0

  /** Rolls up what is due, for some seconds at most; what is left is taken up by the next call. */
  async run (database: Database): Promise<void> {
    const { rows } = await database.query<{ mine: boolean }>('SELECT public.orbitstream_begin_roll_up() AS mine')
    // Another host is at it.
    if (rows[0]?.mine !== true) return
    await inSteps(TURN_MS_MAX, async (buckets) => await step(database, 'orbitstream_roll_up', buckets))
    const startMs = performance.now()
    if (startMs < this.lateDueMs) return
    await rollUpAgain(database)
    const endMs = performance.now()
    this.lateDueMs = endMs + LATE_PAUSE * (endMs - startMs)
  }
}

/** Drops rollups of days of which telemetry has nothing any more, and forgets satellites of which it has nothing. */
export async function dropRollups (database: Database): Promise<void> {
  for (const width of ['10s', '1m']) await database.query('SELECT public.orbitstream_drop_rollups($1)', [width])
}

async function rollUpAgain (database: Database): Promise<void> {
  const { rows } = await database.query<{ plain: boolean, refreshed: boolean }>(
    "SELECT to_regprocedure('public.orbitstream_roll_up_again(integer)') IS NOT NULL AS plain, to_regprocedure('public.orbitstream_late_rollups(integer)') IS NOT NULL AS refreshed")
  if (rows[0]?.plain === true) await inSteps(LATE_TURN_MS_MAX, async (buckets) => await step(database, 'orbitstream_roll_up_again', buckets))
  if (rows[0]?.refreshed === true) await refreshLate(database, performance.now() + LATE_TURN_MS_MAX)
}

/** Until nothing is left or the time is over; steps grow while they are quick. @param take true: there is more */
async function inSteps (turnMs: number, take: (buckets: number) => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + turnMs
  let buckets = BUCKETS_MIN
  for (let nowMs = performance.now(); nowMs < endMs;) {
    if (!await take(buckets)) return
    const tookMs = performance.now() - nowMs
    nowMs += tookMs
    if (tookMs < QUICK_MS) buckets = Math.min(buckets * 2, BUCKETS_MAX)
    if (tookMs > SLOW_MS) buckets = Math.max(buckets >> 1, BUCKETS_MIN)
  }
}

async function step (database: Database, procedure: string, buckets: number): Promise<boolean> {
  const { rows } = await database.query<{ more: boolean }>(`SELECT public.${procedure}($1) AS more`, [buckets])
  return rows[0]?.more === true
}

/** The entries go last: what fails before is done again. */
async function refreshLate (database: Database, endMs: number): Promise<void> {
  const { rows } = await database.query<LateSpan>('SELECT * FROM public.orbitstream_late_rollups($1)', [REFRESHED_BUCKETS_MAX])
  for (const { from_time: from, to_time: to, ids } of rows) {
    for (const view of ['rollup_10s', 'rollup_1m']) {
      await database.query(`CALL refresh_continuous_aggregate('public.${view}', '${from.toISOString()}'::timestamptz, '${to.toISOString()}'::timestamptz)`)
    }
    await database.query('DELETE FROM public.rollup_dirty WHERE bucket >= $1 AND bucket < $2 AND id = ANY ($3)', [from, to, ids])
    if (performance.now() > endMs) return
  }
}
