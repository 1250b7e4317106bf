/**
 * Refreshes continuous aggregates for rows that arrived too late for the policies: the minutes of rollup_dirty, newest
 * first, once the policies no longer refresh them. Never runs two refreshes of one span at once: some versions of
 * TimescaleDB refuse the second, others return without doing anything.
 *
 * Entries are deleted once the rollups are verified against telemetry, never just because a refresh returned; and for a
 * minute whose data makes the refresh fail, which is recorded in rollup_failed. A span that is still wrong after a
 * forced refresh, or that another session is refreshing, is postponed; earlier spans continue meanwhile.
 */
import { sqlState } from '../database/connection.js'
import type { Session } from '../database/database.js'
import { callRefresh, forgetFailed, isolating, type Span } from './rollup/spans.js'
import { LOCK_NOT_AVAILABLE } from '../database/sqlstates.js'

interface LateSpan { readonly from_time: Date, readonly to_time: Date, readonly ids: string[] }

/** Until a postponed span is retried; doubles with each further one. */
const PAUSE_MIN_MS = 60_000
const PAUSE_MAX_MS = 3_600_000

export class LateRollups {
  /** Spans from here on are postponed; null: none. */
  private before: Date | null = null
  /** When they are retried, on the monotonic clock. */
  private againMs = 0
  private pauseMs = PAUSE_MIN_MS

  /** Refreshes at most so many ten-second buckets; true: there may be more. @param endMs no span starts after it */
  async step (database: Session, buckets: number, endMs: number): Promise<boolean> {
    if (this.before !== null && performance.now() >= this.againMs) this.before = null
    const fromNewest = this.before === null
    const { rows } = await database.query<LateSpan>(
      "SELECT * FROM public.orbitstream_late_rollups($1, coalesce($2, timestamptz 'infinity'))", [buckets, this.before])
    for (const span of rows) {
      if (!await settle(database, span)) this.postpone(span)
      if (performance.now() >= endMs) break
    }
    if (fromNewest && rows.length === 0) this.pauseMs = PAUSE_MIN_MS
    return rows.length > 0
  }

  private postpone ({ from_time: from }: LateSpan): void {
    if (this.before === null) {
      this.againMs = performance.now() + this.pauseMs
      this.pauseMs = Math.min(this.pauseMs * 2, PAUSE_MAX_MS)
    }
    this.before = from
  }
}

/** False: part of the span is still wrong. */
async function settle (database: Session, { from_time: from, to_time: to, ids }: LateSpan): Promise<boolean> {
  const parts = await isolating(database, { from, to }, async (part) => {
    const right = await refresh(database, part)
    if (right) await forget(database, part, ids)
    return right
  })
  return parts.every((right) => right)
}

/** True: both rollups match telemetry. */
async function refresh (database: Session, span: Span): Promise<boolean> {
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

async function refreshBoth (database: Session, span: Span, how: string): Promise<void> {
  for (const view of ['rollup_10s', 'rollup_1m'] as const) await callRefresh(database, view, span, how)
}

async function isRolledUp (database: Session, { from, to }: Span): Promise<boolean> {
  const { rows } = await database.query<{ same: boolean }>(
    'SELECT public.orbitstream_is_rolled_up($1, $2) AS same', [from, to])
  return rows[0]?.same === true
}

/** Older versions refresh only ranges with recorded changes. */
async function canForce (database: Session): Promise<boolean> {
  const { rowCount } = await database.query(
    "SELECT FROM pg_proc WHERE proname = 'refresh_continuous_aggregate' AND 'force' = ANY (proargnames)")
  return rowCount > 0
}

async function forget (database: Session, span: Span, ids: readonly string[]): Promise<void> {
  await database.query(
    'DELETE FROM public.rollup_dirty WHERE bucket >= $1 AND bucket < $2 AND id = ANY ($3)', [span.from, span.to, ids])
  await forgetFailed(database, span)
}
