/**
 * Keeps rollups and satellites_latest up to date; called by the primary's maintenance every few seconds.
 *
 * On plain PostgreSQL the functions of sql/0006 roll up each bucket soon after it ends, and again after late rows. On
 * TimescaleDB policies refresh the continuous aggregates as far back as ROLLUP_LATE_AFTER; this module refreshes them
 * if the policies do not run, and for rows that arrived later than that.
 *
 * Late rows and the history of an adopted table get half of this connection's time while neither the newest rollups nor
 * the writers are behind, otherwise a tenth, however much is waiting.
 */
import type { Session } from '../database/database.js'
import { LateRollups } from './late-rollups.js'
import { FillLease } from './rollup/lease.js'
import { PolicyWatch, type OverduePolicy } from './rollup/policy-watch.js'
import { ProgressWatch, type RollupProgress } from './rollup/progress.js'
import { Steps } from './rollup/steps.js'
import type { StoreLog } from '../support/store-log.js'

/** The refresh policies may miss rows that arrive later than this. A PostgreSQL interval. */
export const ROLLUP_LATE_AFTER = '2 hours'
/** The policies no longer touch older buckets: they reach back REFRESH_FROM_MS from their start. */
export const ROLLUP_REFRESH_AFTER = '2 hours 40 minutes'

/** At most a day, starting small each time: points after a pause may be dense. */
const NEWEST_STEPS = { bucketsMax: 8_640, quickMs: 100, slowMs: 1_000 }
/** At most an hour: a step must fit into its maintenance turn even if points are dense. */
const LATE_STEPS = { bucketsMax: 360, quickMs: 250, slowMs: 1_000 }
/** A backlog is processed in turns, so that other maintenance is not delayed. */
const TURN_MS_MAX = 4_000
const LATE_TURN_MS_MAX = 1_000
/** Pause after work on late rows, as a multiple of its duration: while something else is behind, and otherwise. */
const LATE_PAUSE_BEHIND = 9
const LATE_PAUSE = 1

export interface RollUpOptions {
  readonly log?: StoreLog
  /** Whether points are waiting too long for the database. */
  readonly storingIsBehind?: () => boolean
  /** Monotonic clock, for tests; default: performance.now(). */
  readonly nowMs?: () => number
}

export interface RollupStatus extends RollupProgress {
  /** Overdue refresh policies of TimescaleDB. */
  readonly overdue: readonly OverduePolicy[]
}

export class RollUp {
  /** When late rows are processed next, on the monotonic clock. */
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

  /** Rolls up what is due, for at most some seconds; the next call continues. */
  async run (database: Session): Promise<void> {
    const { rows } = await database.query<{ mine: boolean }>('SELECT public.orbitstream_begin_roll_up() AS mine')
    // Another host is doing it.
    if (rows[0]?.mine !== true) return
    this.plain ??= await isPlain(database)
    const newest = new Steps(NEWEST_STEPS)
    const more = await newest.take(TURN_MS_MAX, (buckets) => step(database, 'orbitstream_roll_up', buckets))
    if (!this.plain) await this.policies.run(database, performance.now() + TURN_MS_MAX)
    await this.rollUpLate(database, more || this.policies.overdue.length > 0)
    await this.progress.look(database)
  }

  private async rollUpLate (database: Session, isBehind: boolean): Promise<void> {
    const startMs = this.nowMs()
    if (startMs < this.lateDueMs || !await somethingWaits(database) || !await this.lease.take(database)) return
    const turnEndMs = performance.now() + LATE_TURN_MS_MAX
    await this.late.take(LATE_TURN_MS_MAX, (buckets) => this.plain === true
      ? step(database, 'orbitstream_roll_up_again', buckets)
      : this.lateRollups.step(database, buckets, turnEndMs))
    await this.lease.giveBack(database)
    const endMs = this.nowMs()
    const pause = isBehind || this.options.storingIsBehind?.() === true ? LATE_PAUSE_BEHIND : LATE_PAUSE
    this.lateDueMs = endMs + pause * (endMs - startMs)
  }
}

/** Whether the schema is that of plain PostgreSQL: a schema keeps its kind. */
export async function isPlain (database: Session): Promise<boolean> {
  const { rows } = await database.query<{ plain: boolean }>(
    "SELECT to_regprocedure('public.orbitstream_roll_up_again(integer)') IS NOT NULL AS plain")
  return rows[0]?.plain === true
}

async function somethingWaits (database: Session): Promise<boolean> {
  const { rowCount } = await database.query(
    'SELECT FROM public.rollup_dirty WHERE bucket < (SELECT public.orbitstream_done_until()) LIMIT 1')
  return rowCount > 0
}

async function step (database: Session, procedure: string, buckets: number): Promise<boolean> {
  const { rows } = await database.query<{ more: boolean }>(`SELECT public.${procedure}($1) AS more`, [buckets])
  return rows[0]?.more === true
}
