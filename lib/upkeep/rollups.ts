/**
 * Keeps rollups and satellites_latest up to date: called by the primary's maintenance every few seconds.
 *
 * On plain PostgreSQL the functions of sql/0021 do it: each bucket once, soon after it is over, and buckets that got late
 * rows once more. On TimescaleDB the policies refresh the continuous aggregates as far back as ROLLUP_LATE_AFTER; where they do
 * not run, and for spans that got rows later than that, they are refreshed from here.
 *
 * Late rows, and the history of a table that was adopted, get half of this connection's time while nothing else is behind:
 * neither the newest rollups nor the storing of points. Else they get a tenth, however much waits.
 */
import type { Database } from '../database/connection.js'
import { LateRollups } from './late-rollups.js'
import { FillLease } from './rollup/lease.js'
import { PolicyWatch, type OverduePolicy } from './rollup/policy-watch.js'
import { ProgressWatch, type RollupProgress } from './rollup/progress.js'
import { Steps } from './rollup/steps.js'
import type { StoreLog } from '../support/store-log.js'

/** Rows that come later than this may be beyond the refresh policies. As PostgreSQL writes an interval. */
export const ROLLUP_LATE_AFTER = '2 hours'
/** What is older than this they do not touch any more: they reach back REFRESH_FROM_MS, from when they begin. */
export const ROLLUP_REFRESH_AFTER = '2 hours 40 minutes'

/** A day at most, and begun small each time: what comes after a pause may be dense. */
const NEWEST_STEPS = { bucketsMax: 8_640, quickMs: 100, slowMs: 1_000 }
/** An hour at most: a step must end within the time that maintenance gives it, also where points are dense. */
const LATE_STEPS = { bucketsMax: 360, quickMs: 250, slowMs: 1_000 }
/** A backlog is worked off in turns, so that other maintenance is not held up. */
const TURN_MS_MAX = 4_000
const LATE_TURN_MS_MAX = 1_000
/** Pause after work on late rows, in times of what it took: while something else is behind, and while nothing is. */
const LATE_PAUSE_BEHIND = 9
const LATE_PAUSE = 1

export interface RollUpOptions {
  readonly log?: StoreLog
  /** Whether points wait for the database longer than they should. */
  readonly storingIsBehind?: () => boolean
  /** On the monotonic clock, for tests; without it the host's. */
  readonly nowMs?: () => number
}

export interface RollupStatus extends RollupProgress {
  /** Refresh policies of TimescaleDB that have not run although they were due. */
  readonly overdue: readonly OverduePolicy[]
}

export class RollUp {
  /** When late rows are worked on next, on the monotonic clock. */
  private lateDueMs = 0
  private plain: boolean | null = null
  private readonly late = new Steps(LATE_STEPS)
  private readonly lateRollups = new LateRollups()
  private readonly lease = new FillLease()
  private readonly nowMs: () => number
  private readonly policies: PolicyWatch
  private readonly progress: ProgressWatch

  constructor (private readonly options: RollUpOptions = {}) {
    this.nowMs = options.nowMs ?? (() => performance.now())
    this.policies = new PolicyWatch(options.log ?? null)
    this.progress = new ProgressWatch(options.log ?? null)
  }

  get status (): RollupStatus {
    return { ...this.progress.current, overdue: this.policies.overdue }
  }

  /** Rolls up what is due, for some seconds at most; what is left is taken up by the next call. */
  async run (database: Database): Promise<void> {
    const { rows } = await database.query<{ mine: boolean }>('SELECT public.orbitstream_begin_roll_up() AS mine')
    // Another host is at it.
    if (rows[0]?.mine !== true) return
    this.plain ??= await isPlain(database)
    const more = await new Steps(NEWEST_STEPS).take(TURN_MS_MAX, async (buckets) => await step(database, 'orbitstream_roll_up', buckets))
    if (!this.plain) await this.policies.run(database, performance.now() + TURN_MS_MAX)
    await this.rollUpLate(database, more || this.policies.overdue.length > 0)
    await this.progress.look(database)
  }

  private async rollUpLate (database: Database, isBehind: boolean): Promise<void> {
    const startMs = this.nowMs()
    if (startMs < this.lateDueMs || !await somethingWaits(database) || !await this.lease.take(database)) return
    if (this.plain === true) await this.late.take(LATE_TURN_MS_MAX, async (buckets) => await step(database, 'orbitstream_roll_up_again', buckets))
    else await this.refreshLate(database)
    await this.lease.giveBack(database)
    const endMs = this.nowMs()
    const pause = isBehind || this.options.storingIsBehind?.() === true ? LATE_PAUSE_BEHIND : LATE_PAUSE
    this.lateDueMs = endMs + pause * (endMs - startMs)
  }

  private async refreshLate (database: Database): Promise<void> {
    const turnEndMs = performance.now() + LATE_TURN_MS_MAX
    await this.late.take(LATE_TURN_MS_MAX, async (buckets) => await this.lateRollups.step(database, buckets, turnEndMs))
  }
}

/** Whether the functions of plain PostgreSQL are there: a schema keeps the kind that it was made with. */
export async function isPlain (database: Database): Promise<boolean> {
  const { rows } = await database.query<{ plain: boolean }>("SELECT to_regprocedure('public.orbitstream_roll_up_again(integer)') IS NOT NULL AS plain")
  return rows[0]?.plain === true
}

async function somethingWaits (database: Database): Promise<boolean> {
  return (await database.query('SELECT FROM public.rollup_dirty WHERE bucket < (SELECT public.orbitstream_done_until()) LIMIT 1')).rowCount > 0
}

async function step (database: Database, procedure: string, buckets: number): Promise<boolean> {
  const { rows } = await database.query<{ more: boolean }>(`SELECT public.${procedure}($1) AS more`, [buckets])
  return rows[0]?.more === true
}
