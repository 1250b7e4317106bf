/**
 * Refreshes the continuous aggregates where rows came too late for the policies: the minutes of rollup_dirty, the newest
 * first, each once the policies do not reach it any more. Two refreshes of one span are never under way at once by our
 * doing: some versions of TimescaleDB refuse the second, some let it return with nothing done.
 *
 * Entries are removed when the rollups are seen to be those of telemetry, never because a refresh returned; and those of a
 * minute of which what is stored makes the refresh fail, which is noted in rollup_failed. A span that is not right, even
 * after a refresh that was forced, or that somebody else refreshes, is left for later; those before it are gone on with in
 * the meantime.
 */
import type { Database } from '../database/connection.js'
import { sqlState } from '../database/connection.js'
import { callRefresh, forgetFailed, isolating, type Span } from './rollup/spans.js'

interface LateSpan { readonly from_time: Date, readonly to_time: Date, readonly ids: string[] }

const LOCK_NOT_AVAILABLE = '55P03'
/** Until a span that was left is tried again; doubled while such spans are met. */
const PAUSE_MIN_MS = 60_000
const PAUSE_MAX_MS = 3_600_000

export class LateRollups {
  /** Spans from here on are left for later; null: none. */
  private before: Date | null = null
  /** When they are tried again, on the monotonic clock. */
  private againMs = 0
  private pauseMs = PAUSE_MIN_MS

  /** Refreshes some minutes, at most so many buckets of ten seconds; true: there may be more. @param endMs begins no span after it */
  async step (database: Database, buckets: number, endMs: number): Promise<boolean> {
    if (this.before !== null && performance.now() >= this.againMs) this.before = null
    const fromNewest = this.before === null
    const { rows } = await database.query<LateSpan>("SELECT * FROM public.orbitstream_late_rollups($1, coalesce($2, 'infinity'::timestamptz))", [buckets, this.before])
    for (const span of rows) {
      if (!await settle(database, span)) this.leave(span)
      if (performance.now() >= endMs) break
    }
    if (fromNewest && rows.length === 0) this.pauseMs = PAUSE_MIN_MS
    return rows.length > 0
  }

  private leave ({ from_time: from }: LateSpan): void {
    if (this.before === null) {
      this.againMs = performance.now() + this.pauseMs
      this.pauseMs = Math.min(this.pauseMs * 2, PAUSE_MAX_MS)
    }
    this.before = from
  }
}

/** False: not all of it is right, and something is left to do. */
async function settle (database: Database, { from_time: from, to_time: to, ids }: LateSpan): Promise<boolean> {
  const parts = await isolating(database, { from, to }, async (part) => {
    const right = await refresh(database, part)
    if (right) await forget(database, part, ids)
    return right
  })
  return parts.every((right) => right)
}

/** True: both rollups are right. */
async function refresh (database: Database, span: Span): Promise<boolean> {
  try {
    await refreshBoth(database, span, '')
    if (await isRolledUp(database, span)) return true
    const force = await canForce(database)
    if (force) await refreshBoth(database, span, ', force => true')
    return force && await isRolledUp(database, span)
  } catch (error) {
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return false
    throw error
  }
}

async function refreshBoth (database: Database, span: Span, how: string): Promise<void> {
  for (const view of ['rollup_10s', 'rollup_1m'] as const) await callRefresh(database, view, span, how)
}

async function isRolledUp (database: Database, { from, to }: Span): Promise<boolean> {
  const { rows } = await database.query<{ same: boolean }>('SELECT public.orbitstream_is_rolled_up($1, $2) AS same', [from, to])
  return rows[0]?.same === true
}

/** Older versions refresh only where they know of changes. */
async function canForce (database: Database): Promise<boolean> {
  return (await database.query("SELECT FROM pg_proc WHERE proname = 'refresh_continuous_aggregate' AND 'force' = ANY (proargnames)")).rowCount > 0
}

async function forget (database: Database, span: Span, ids: readonly string[]): Promise<void> {
  await database.query('DELETE FROM public.rollup_dirty WHERE bucket >= $1 AND bucket < $2 AND id = ANY ($3)', [span.from, span.to, ids])
  await forgetFailed(database, span)
}
