/**
 * Spans of full minutes, refreshed on TimescaleDB. What is stored may be such that a refresh fails: that costs one minute,
 * which is noted in rollup_failed, and not the span that it lies in.
 */
import { sqlState, type Database } from '../../database/connection.js'

export interface Span { readonly from: Date, readonly to: Date }

export type RollupView = 'rollup_10s' | 'rollup_1m'

const MINUTE_MS = 60_000
/** As orbitstream_is_of_data on plain PostgreSQL: the error lies in what is stored, and other spans need not meet it. */
const OF_DATA = /^(?:22|23|XX00[12]$)/

/** @param how further arguments of the refresh, with a comma before them */
export async function callRefresh (database: Database, view: RollupView, { from, to }: Span, how = ''): Promise<void> {
  await database.query(`CALL refresh_continuous_aggregate('public.${view}', '${from.toISOString()}'::timestamptz, '${to.toISOString()}'::timestamptz${how})`)
}

/**
 * Does the work for the span, or for its halves where what is stored makes it fail; a minute that fails by itself is noted.
 * Gives the results of all parts that did not fail. Throws what has other causes.
 */
export async function isolating<T> (database: Database, span: Span, work: (part: Span) => Promise<T>): Promise<T[]> {
  try {
    return [await work(span)]
  } catch (error) {
    if (!database.alive || !OF_DATA.test(sqlState(error) ?? '')) throw error
    if (span.to.getTime() - span.from.getTime() <= MINUTE_MS) {
      await noteFailed(database, span, error)
      return []
    }
    const half = new Date(span.from.getTime() + Math.floor((span.to.getTime() - span.from.getTime()) / MINUTE_MS / 2) * MINUTE_MS)
    const first = await isolating(database, { from: span.from, to: half }, work)
    return [...first, ...await isolating(database, { from: half, to: span.to }, work)]
  }
}

async function noteFailed (database: Database, { from }: Span, error: unknown): Promise<void> {
  await database.query(`
    INSERT INTO public.rollup_failed (width, bucket, sqlstate, reason) VALUES ('1m', date_trunc('minute', $1::timestamptz), $2, $3)
    ON CONFLICT (width, bucket) DO UPDATE SET sqlstate = excluded.sqlstate, reason = excluded.reason, failed_at = excluded.failed_at`,
  [from, sqlState(error), error instanceof Error ? error.message : ''])
  await database.query("DELETE FROM public.rollup_dirty WHERE bucket >= $1 AND bucket < $1::timestamptz + interval '1 minute'", [from])
}

/** Minutes that had failed and were done since. */
export async function forgetFailed (database: Database, { from, to }: Span): Promise<void> {
  await database.query("DELETE FROM public.rollup_failed WHERE width = '1m' AND bucket >= $1 AND bucket < $2", [from, to])
}
