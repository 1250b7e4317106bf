/**
 * Refreshes spans of full minutes on TimescaleDB. Stored points may make a refresh fail: that costs only the affected
 * minute, which is recorded in rollup_failed, not the whole span.
 */
import { sqlState } from '../../database/connection.js'
import type { Session } from '../../database/database.js'

export interface Span { readonly from: Date, readonly to: Date }

export type RollupView = 'rollup_10s' | 'rollup_1m'

export const MINUTE_MS = 60_000
/** Like orbitstream_is_of_data on plain PostgreSQL: the stored data causes the error, so other spans may succeed. */
const OF_DATA = /^(?:22|23|XX00[12]$)/

/** @param how further arguments of the refresh, with a leading comma */
export async function callRefresh (database: Session, view: RollupView, span: Span, how = ''): Promise<void> {
  const [from, to] = [span.from, span.to].map((time) => `timestamptz '${time.toISOString()}'`)
  await database.query(`CALL refresh_continuous_aggregate('public.${view}', ${from}, ${to}${how})`)
}

/**
 * Runs the work for the span, or for its halves if stored data makes it fail; a single failing minute is recorded.
 * Returns the results of all parts that succeeded. Throws errors with other causes.
 */
export async function isolating<T> (
  database: Session, span: Span, work: (part: Span) => Promise<T>
): Promise<T[]> {
  try {
    return [await work(span)]
  } catch (error) {
    if (!database.alive || !OF_DATA.test(sqlState(error) ?? '')) throw error
    const minutes = (span.to.getTime() - span.from.getTime()) / MINUTE_MS
    if (minutes <= 1) {
      await noteFailed(database, span, error)
      return []
    }
    const half = new Date(span.from.getTime() + Math.floor(minutes / 2) * MINUTE_MS)
    const first = await isolating(database, { from: span.from, to: half }, work)
    return [...first, ...await isolating(database, { from: half, to: span.to }, work)]
  }
}

async function noteFailed (database: Session, { from }: Span, error: unknown): Promise<void> {
  await database.query(`
    INSERT INTO public.rollup_failed (width, bucket, sqlstate, reason)
    VALUES ('1m', date_trunc('minute', $1::timestamptz), $2, $3)
    ON CONFLICT (width, bucket) DO UPDATE
      SET sqlstate = excluded.sqlstate, reason = excluded.reason, failed_at = excluded.failed_at`,
  [from, sqlState(error), error instanceof Error ? error.message : ''])
  await database.query(
    "DELETE FROM public.rollup_dirty WHERE bucket >= $1 AND bucket < $1::timestamptz + interval '1 minute'", [from])
}

/** Removes failed minutes that have succeeded since. */
export async function forgetFailed (database: Session, { from, to }: Span): Promise<void> {
  await database.query(
    "DELETE FROM public.rollup_failed WHERE width = '1m' AND bucket >= $1 AND bucket < $2", [from, to])
}
