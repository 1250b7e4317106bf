/**
 * How far rollups are: what waits to be done again, how long that takes, and what cannot be done. Looked at now and then, as
 * often as it is cheap; said in the log where much waits, as after the adoption of a table with history.
 */
import { formatDuration } from '../../config/value-types.js'
import type { Database } from '../../database/connection.js'
import type { StoreLog } from '../../support/store-log.js'

export interface RollupProgress {
  /** Minutes of rollups that wait to be done, or done again; null: not looked at yet. */
  readonly waitingMinutes: number | null
  /** Until they are done, as it went on lately; null: not known. */
  readonly remainingSeconds: number | null
  /** Buckets that cannot be rolled up, and are left out. */
  readonly failedBuckets: number
  /** Why, of the one that failed last. */
  readonly failure: string | null
}

export const UNKNOWN_PROGRESS: RollupProgress = { waitingMinutes: null, remainingSeconds: null, failedBuckets: 0, failure: null }

/** An hour of rollups: what waits in ordinary operation is less. */
export const FILLING_MINUTES_MIN = 60
const LOOK_INTERVAL_MS = 10_000
/** Looking takes a hundredth of the time at most. */
const LOOK_SHARE = 100
const LOG_INTERVAL_MS = 300_000
/** Weight of the newest rate among those before. */
const RATE_SMOOTHING = 0.3

export async function readProgress (database: Database): Promise<Omit<RollupProgress, 'remainingSeconds'>> {
  const { rows } = await database.query<{ minutes: number, failed: number, failure: string | null }>(`
    SELECT (SELECT count(DISTINCT time_bucket('1 minute', bucket))::int FROM public.rollup_dirty WHERE bucket < public.orbitstream_done_until()) AS minutes,
           (SELECT count(*)::int FROM public.rollup_failed) AS failed,
           (SELECT format('%s of %s: %s', bucket, width, reason) FROM public.rollup_failed ORDER BY failed_at DESC, bucket DESC LIMIT 1) AS failure`)
  const { minutes = 0, failed = 0, failure = null } = rows[0] ?? {}
  return { waitingMinutes: minutes, failedBuckets: failed, failure }
}

/** Time that so many minutes take, from how many there were some time ago; smoothed. */
export class FillRate {
  private perMs: number | null = null
  private last: { readonly minutes: number, readonly atMs: number } | null = null

  /** Seconds that are left; null: not known, or it does not get less. */
  remaining (minutes: number, atMs: number): number | null {
    const { last } = this
    this.last = { minutes, atMs }
    if (last !== null && atMs > last.atMs) {
      const rate = (last.minutes - minutes) / (atMs - last.atMs)
      // What came on top tells nothing of the pace.
      this.perMs = rate < 0 ? null : this.perMs === null ? rate : this.perMs + RATE_SMOOTHING * (rate - this.perMs)
    }
    if (minutes === 0) return 0
    return this.perMs !== null && this.perMs > 0 ? Math.ceil(minutes / this.perMs / 1000) : null
  }
}

/** "12,345 minutes of rollups, for about 2h" */
export function describeWaiting ({ waitingMinutes, remainingSeconds }: Pick<RollupProgress, 'waitingMinutes' | 'remainingSeconds'>): string {
  const left = remainingSeconds === null ? '' : `, for about ${roughly(remainingSeconds)}`
  return `${(waitingMinutes ?? 0).toLocaleString('en-US')} minutes of rollups${left}`
}

/** Of its two largest units the first, rounded up. */
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

  constructor (private readonly log: StoreLog | null, private readonly nowMs: () => number = () => performance.now()) {}

  async look (database: Database): Promise<void> {
    const startMs = this.nowMs()
    if (startMs < this.lookDueMs) return
    const known = await readProgress(database)
    const endMs = this.nowMs()
    this.lookDueMs = endMs + Math.max(LOOK_INTERVAL_MS, LOOK_SHARE * (endMs - startMs))
    const failedBefore = this.current.failedBuckets
    this.current = { ...known, remainingSeconds: this.rate.remaining(known.waitingMinutes ?? 0, endMs) }
    if (known.failedBuckets > failedBefore) this.log?.error({ buckets: known.failedBuckets, last: known.failure }, 'Rollups of these buckets cannot be made and are left out; what is stored there makes the aggregation fail. Mend it, then run orbitstream-ingest rollups fill')
    this.say(endMs)
  }

  private say (nowMs: number): void {
    const waiting = this.current.waitingMinutes ?? 0
    if (!this.filling && waiting < FILLING_MINUTES_MIN) return
    if (waiting === 0) {
      this.filling = false
      this.log?.info({}, 'All rollups are made')
    } else if (!this.filling || nowMs - this.saidMs >= LOG_INTERVAL_MS) {
      this.log?.info({ waitingMinutes: waiting }, `${describeWaiting(this.current)} are to be made yet; orbitstream-ingest rollups fill makes them at full speed`)
      this.filling = true
      this.saidMs = nowMs
    }
  }
}
