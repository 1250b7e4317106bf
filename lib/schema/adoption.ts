/**
 * Retention of what was there before: points that nobody said may go are not dropped by a default.
 *
 * RETENTION counts where somebody set it. Where it has its default, and the database keeps points for longer, the start is
 * refused until it is said which: a table that is adopted may hold years, and a variable may have been lost.
 */
import { formatDuration } from '../config/value-types.js'
import type { Database } from '../database/connection.js'
import { isInstalled, readRetentionMs } from './timescale-policies.js'
import { StartupError } from '../support/startup-error.js'

export interface RetentionSettings {
  readonly retentionMs: number
  /** Nobody has set it. */
  readonly retentionIsDefault?: boolean
}

/** @param plan adopts: a table telemetry is there that the first migrations will take over */
export async function checkRetention (database: Database, plan: { readonly adopts: boolean }, { retentionMs, retentionIsDefault = false }: RetentionSettings): Promise<void> {
  if (!retentionIsDefault) return
  const ownMs = await isInstalled(database) ? await readRetentionMs(database, 'telemetry') : null
  if (ownMs !== null) {
    if (ownMs > retentionMs) throw new StartupError(`The database keeps points for ${formatDuration(ownMs)}, and RETENTION is not set; its default of ${formatDuration(retentionMs)} would drop the older ones. ${choice(ownMs, retentionMs)}`)
    return
  }
  const oldest = plan.adopts ? await oldestBefore(database, retentionMs) : null
  if (oldest === null) return
  // With some room, so that it stays true for a while.
  const neededMs = Math.min(Math.ceil((Date.now() - oldest.getTime()) / DAY_MS + 1) * DAY_MS, RETENTION_MS_MAX)
  throw new StartupError(`The table telemetry has points back to ${oldest.toISOString()}, and RETENTION is not set; its default of ${formatDuration(retentionMs)} would drop the older ones. ${choice(neededMs, retentionMs)}`)
}

const DAY_MS = 86_400_000
/** As RETENTION has it. */
const RETENTION_MS_MAX = 36_500 * DAY_MS

function choice (keepMs: number, defaultMs: number): string {
  return `Set RETENTION=${formatDuration(keepMs)} to keep them, or RETENTION=${formatDuration(defaultMs)} to let them go, then start again.`
}

/** The oldest point, if one is older than retention; null: none is. */
async function oldestBefore (database: Database, retentionMs: number): Promise<Date | null> {
  // A table of somebody else's making, which the migration refuses, need not have the column.
  const { rows } = await database.query<{ ready: boolean }>(`
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.telemetry') AND attname = 'time'
                   AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype) AND NOT attisdropped) AS ready`)
  if (rows[0]?.ready !== true) return null
  const answer = await database.query<{ oldest: Date | null }>(`
    SELECT min("time") AS oldest FROM public.telemetry WHERE isfinite("time") AND "time" < now() - $1::double precision * interval '1 ms'`, [retentionMs])
  return answer.rows[0]?.oldest ?? null
}
