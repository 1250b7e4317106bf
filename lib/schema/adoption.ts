/**
 * Protects existing points from a default: without an explicit decision they are not dropped.
 *
 * If RETENTION is not set and the database keeps points for longer than its default, startup is refused until it is
 * set: an adopted table may hold years of points, and the variable may have been lost.
 */
import { TELEMETRY, type Catalogue } from '../../protocol/catalogue.js'
import { DAY_MS, formatDuration } from '../config/setting-types.js'
import type { Database } from '../database/database.js'
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
  const oldest = plan.adopts && stream.name === TELEMETRY ? await oldestBefore(database, retentionMs) : null
  if (oldest === null) return
  // With a margin, so that it stays sufficient for a while.
  const neededMs = Math.min(Math.ceil((Date.now() - oldest.getTime()) / DAY_MS + 1) * DAY_MS, RETENTION_MS_MAX)
  throw unset(`The table telemetry has points back to ${oldest.toISOString()}`, neededMs, retentionMs)
}

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
