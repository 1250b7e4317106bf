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
import { LateRollups } from './late-rollups.js'

/** Rows that come later than this may be beyond the refresh policies. As PostgreSQL writes an interval. */
export const ROLLUP_LATE_AFTER = '2 hours'
/** What is older than this they do not touch any more: they reach back REFRESH_FROM_MS, from when they begin. */
export const ROLLUP_REFRESH_AFTER = '2 hours 40 minutes'

/** A minute of buckets in one transaction, and more of them where there is little in them: a day. */
const BUCKETS_MIN = 6
const BUCKETS_MAX = 8_640
/** An hour, on TimescaleDB. */
const REFRESHED_BUCKETS_MAX = 360
const QUICK_MS = 100
const SLOW_MS = 1_000
/** A backlog is worked off in turns, so that other maintenance is not held up. */
const TURN_MS_MAX = 4_000
const LATE_TURN_MS_MAX = 1_000
/** Pause after work on late rows, in times of what it took. */
const LATE_PAUSE = 9

export class RollUp {
  /** When late rows are worked on next, on the monotonic clock. */
  private lateDueMs = 0
  private readonly lateRollups = new LateRollups()

  /** Rolls up what is due, for some seconds at most; what is left is taken up by the next call. */
  async run (database: Database): Promise<void> {
    const { rows } = await database.query<{ mine: boolean }>('SELECT public.orbitstream_begin_roll_up() AS mine')
    // Another host is at it.
    if (rows[0]?.mine !== true) return
    await inSteps(TURN_MS_MAX, BUCKETS_MAX, async (buckets) => await step(database, 'orbitstream_roll_up', buckets))
    const startMs = performance.now()
    if (startMs < this.lateDueMs) return
    await this.rollUpAgain(database)
    const endMs = performance.now()
    this.lateDueMs = endMs + LATE_PAUSE * (endMs - startMs)
  }

  private async rollUpAgain (database: Database): Promise<void> {
    const { rows } = await database.query<{ plain: boolean }>("SELECT to_regprocedure('public.orbitstream_roll_up_again(integer)') IS NOT NULL AS plain")
    if (rows[0]?.plain === true) {
      await inSteps(LATE_TURN_MS_MAX, BUCKETS_MAX, async (buckets) => await step(database, 'orbitstream_roll_up_again', buckets))
      return
    }
    const endMs = performance.now() + LATE_TURN_MS_MAX
    await inSteps(LATE_TURN_MS_MAX, REFRESHED_BUCKETS_MAX, async (buckets) => await this.lateRollups.step(database, buckets, endMs))
  }
}

/** Until nothing is left or the time is over; steps grow while they are quick. @param take true: there is more */
async function inSteps (turnMs: number, bucketsMax: number, take: (buckets: number) => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + turnMs
  let buckets = BUCKETS_MIN
  for (let nowMs = performance.now(); nowMs < endMs;) {
    if (!await take(buckets)) return
    const tookMs = performance.now() - nowMs
    nowMs += tookMs
    if (tookMs < QUICK_MS) buckets = Math.min(buckets * 2, bucketsMax)
    if (tookMs > SLOW_MS) buckets = Math.max(buckets >> 1, BUCKETS_MIN)
  }
}

async function step (database: Database, procedure: string, buckets: number): Promise<boolean> {
  const { rows } = await database.query<{ more: boolean }>(`SELECT public.${procedure}($1) AS more`, [buckets])
  return rows[0]?.more === true
}
