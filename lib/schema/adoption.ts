/**
 * Protects existing points from a default: without an explicit decision they are not dropped.
 *
 * If RETENTION is not set and the database keeps points for longer than its default, startup is refused until it is
 * set: an adopted table may hold years of points, and the variable may have been lost. TimescaleDB has the former
 * setting in its policy. On plain PostgreSQL, points tell that the last server kept for longer: those that were past
 * the default while it still ran. What has expired since it stopped tells nothing.
 */
import { TELEMETRY, type Catalogue } from '../../protocol/catalogue.js'
import { DAY_MS, formatDuration } from '../config/setting-types.js'
import type { Database } from '../database/database.js'
import { identifier } from '../database/quote.js'
import { inStream } from '../database/stream-tables.js'
import { isInstalled, readRetentionMs } from './timescale-policies.js'
import { StartupError } from '../support/startup-error.js'

export interface RetentionSettings {
  readonly retentionMs: number
  /** RETENTION is not set. */
  readonly retentionIsDefault?: boolean
}

/** @param plan adopts: the first migrations will adopt an existing telemetry table */
export async function checkRetention (
  database: Database, plan: { readonly adopts: boolean, readonly catalogue: Catalogue }, settings: RetentionSettings
): Promise<void> {
  const { retentionMs, retentionIsDefault = false } = settings
  // What a catalogue says of a stream is set explicitly, too.
  const stream = plan.catalogue.streams.find(({ storage }) => storage.retentionMs === null)
  if (!retentionIsDefault || stream === undefined) return
  const ownMs = await isInstalled(database) ? await readRetentionMs(database, stream.name) : null
  if (ownMs !== null) {
    if (ownMs <= retentionMs) return
    throw unset(`The database keeps points for ${formatDuration(ownMs)}`, ownMs, retentionMs)
  }
  for (const { name, storage } of plan.catalogue.streams) {
    if (storage.retentionMs !== null) continue
    const oldest = plan.adopts && name === TELEMETRY
      ? await oldestBefore(database, retentionMs)
      : await oldestKept(database, name, retentionMs)
    if (oldest === null) continue
    // With a margin, so that it stays sufficient for a while.
    const neededMs = Math.min(Math.ceil((Date.now() - oldest.getTime()) / DAY_MS + 1) * DAY_MS, RETENTION_MS_MAX)
    throw unset(`The table ${name} has points back to ${oldest.toISOString()}`, neededMs, retentionMs)
  }
}

/** How long a partition past its retention may wait to be dropped, such as for a session that uses it. */
const HELD_UP_MS = DAY_MS

/** The maximum of RETENTION. */
const RETENTION_MS_MAX = 36_500 * DAY_MS

function unset (finding: string, keepMs: number, defaultMs: number): StartupError {
  const [keep, byDefault] = [formatDuration(keepMs), formatDuration(defaultMs)]
  return new StartupError(
    `${finding}, and RETENTION is not set; its default of ${byDefault} would drop the older ones. ` +
    `Set RETENTION=${keep} to keep them, or RETENTION=${byDefault} to drop them, then start again.`)
}

/** The oldest point if it is older than retention; null: none is. */
async function oldestBefore (database: Database, retentionMs: number): Promise<Date | null> {
  // A foreign table, which the migration will refuse, may lack the column.
  const { rows } = await database.query<{ ready: boolean }>(`
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.telemetry') AND attname = 'time'
                   AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype) AND NOT attisdropped) AS ready`)
  if (rows[0]?.ready !== true) return null
  const answer = await database.query<{ oldest: Date | null }>(`
    SELECT min("time") AS oldest FROM public.telemetry
    WHERE isfinite("time") AND "time" < now() - $1::double precision * interval '1 ms'`, [retentionMs])
  return answer.rows[0]?.oldest ?? null
}

/** Where the points begin that the last server kept although they were past this retention; null: there are none. */
async function oldestKept (database: Database, stream: string, retentionMs: number): Promise<Date | null> {
  const session = inStream(database, stream)
  const { rows: [schema] } = await session.query<{ ready: boolean }>(`
    SELECT to_regproc('public.orbitstream_partitions') IS NOT NULL
           AND to_regclass('public.rollup_state') IS NOT NULL AS ready`)
  if (schema?.ready !== true) return null
  // A server that runs moves `closing` every few seconds. It may be ahead of a clock that was set back since.
  const { rows } = await session.query<{ name: string, fromMs: number }>(`
    SELECT name, (extract(epoch FROM lower_bound) * 1000)::double precision AS "fromMs"
    FROM public.orbitstream_partitions(), public.rollup_state
    WHERE upper_bound < least(closing, now()) - $1::double precision * interval '1 ms' ORDER BY lower_bound`,
  [retentionMs + HELD_UP_MS])
  for (const { name, fromMs } of rows) {
    // A clock that was far behind has made partitions without points.
    if ((await database.query(`SELECT 1 FROM public.${identifier(name)} LIMIT 1`)).rowCount === 0) continue
    return Number.isFinite(fromMs) ? new Date(fromMs) : await oldestBefore(database, retentionMs)
  }
  return null
}
