/**
 * Progress of rollups: what is pending, how long it will take, and what failed. Queried as often as is cheap; logged if
 * much is pending, as after the adoption of a table with history.
 */
import { formatCount, formatDuration } from '../../config/setting-types.js'
import type { Session } from '../../database/database.js'
import type { StoreLog } from '../../support/store-log.js'

export interface RollupProgress {
  /** Pending minutes of rollups; null: not known yet. */
  readonly waitingMinutes: number | null
  /** Estimated time until they are done; null: not known. */
  readonly remainingSeconds: number | null
  /** Buckets that could not be rolled up, and are skipped. */
  readonly failedBuckets: number
  /** Why the latest one failed. */
  readonly failure: string | null
}

export const UNKNOWN_PROGRESS: RollupProgress = {
  waitingMinutes: null, remainingSeconds: null, failedBuckets: 0, failure: null
}

/** An hour of rollups; less is pending in normal operation. */
export const FILLING_MINUTES_MIN = 60
const LOOK_INTERVAL_MS = 10_000
/** Queries take at most 1/LOOK_SHARE of the time. */
const LOOK_SHARE = 100
const LOG_INTERVAL_MS = 300_000
/** Weight of the newest rate in the moving average. */
const RATE_SMOOTHING = 0.3

export async function readProgress (database: Session): Promise<Omit<RollupProgress, 'remainingSeconds'>> {
  const { rows } = await database.query<{ minutes: number, failed: number, failure: string | null }>(`
    SELECT (SELECT count(DISTINCT time_bucket('1 minute', bucket))::int
            FROM public.rollup_dirty WHERE bucket < public.orbitstream_done_until()) AS minutes,
           (SELECT count(*)::int FROM public.rollup_failed) AS failed,
           (SELECT format('%s of %s: %s', bucket, width, reason)
            FROM public.rollup_failed ORDER BY failed_at DESC, bucket DESC LIMIT 1) AS failure`)
  const { minutes = 0, failed = 0, failure = null } = rows[0] ?? {}
  return { waitingMinutes: minutes, failedBuckets: failed, failure }
}

/** Estimates the remaining time from a moving average of the progress. */
export class FillRate {
  private perMs: number | null = null
  private last: { readonly minutes: number, readonly atMs: number } | null = null

  /** Seconds left; null: not known, or no progress. */
  remaining (minutes: number, atMs: number): number | null {
    const { last } = this
    this.last = { minutes, atMs }
    if (last !== null && atMs > last.atMs) {
      const rate = (last.minutes - minutes) / (atMs - last.atMs)
      // Newly pending minutes say nothing about the rate.
      this.perMs = rate < 0 ? null : this.perMs === null ? rate : this.perMs + RATE_SMOOTHING * (rate - this.perMs)
    }
    if (minutes === 0) return 0
    return this.perMs !== null && this.perMs > 0 ? Math.ceil(minutes / this.perMs / 1000) : null
  }
}

/** "12,345 minutes of rollups, for about 2h" */
export function describeWaiting (
  { waitingMinutes, remainingSeconds }: Pick<RollupProgress, 'waitingMinutes' | 'remainingSeconds'>
): string {
  const left = remainingSeconds === null ? '' : `, for about ${roughly(remainingSeconds)}`
  return `${formatCount(waitingMinutes ?? 0)} minutes of rollups${left}`
}

/** Rounded up to whole days, hours, minutes or seconds. */
function roughly (seconds: number): string {
  const unit = seconds > 2 * 86_400 ? 86_400 : seconds > 2 * 3600 ? 3600 : seconds > 120 ? 60 : 1
  return formatDuration(Math.ceil(seconds / unit) * unit * 1000)
}

export class ProgressWatch {
  current: RollupProgress = UNKNOWN_PROGRESS
  private lookDueMs = 0
  private readonly rate = new FillRate()
  private filling = false
  private saidMs = 0

  constructor (private readonly log: StoreLog | null, private readonly nowMs = () => performance.now()) {}

  async look (database: Session): Promise<void> {
    const startMs = this.nowMs()
    if (startMs < this.lookDueMs) return
    const known = await readProgress(database)
    const endMs = this.nowMs()
    this.lookDueMs = endMs + Math.max(LOOK_INTERVAL_MS, LOOK_SHARE * (endMs - startMs))
    const failedBefore = this.current.failedBuckets
    this.current = { ...known, remainingSeconds: this.rate.remaining(known.waitingMinutes ?? 0, endMs) }
    if (known.failedBuckets > failedBefore) {
      this.log?.error({ buckets: known.failedBuckets, last: known.failure },
        'Some buckets cannot be rolled up and are skipped: aggregating their stored points fails. ' +
        'Fix the points, then run orbitstream-ingest rollups fill')
    }
    this.report(endMs)
  }

  private report (nowMs: number): void {
    const waiting = this.current.waitingMinutes ?? 0
    if (!this.filling && waiting < FILLING_MINUTES_MIN) return
    if (waiting === 0) {
      this.filling = false
      this.log?.info({}, 'All rollups are up to date')
    } else if (!this.filling || nowMs - this.saidMs >= LOG_INTERVAL_MS) {
      this.log?.info({ waitingMinutes: waiting },
        `${describeWaiting(this.current)} are pending; orbitstream-ingest rollups fill builds them at full speed`)
      this.filling = true
      this.saidMs = nowMs
    }
  }
}
