/**
 * The daily partitions of the telemetry table on plain PostgreSQL: which there must be, and which may go.
 *
 * There must be one for every day that an acceptable point may lie in, and some days ahead, so that a database that
 * nobody maintains for a while goes on taking points. None is made that retention would drop at once.
 */
import type { Database } from './db.js'

export interface PartitionSettings {
  /** Age at which telemetry is dropped. */
  readonly retentionMs: number
  readonly timeWindowPastMs: number
  readonly timeWindowFutureMs: number
}

export const DAY_MS = 86_400_000
const AHEAD_MS = 3 * DAY_MS

/** Makes the partitions that are missing around a time; gives their names. */
export async function ensurePartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string[]> {
  return await names(database, 'SELECT orbitstream_ensure_partitions($1, $2) AS name', bounds(settings, nowMs))
}

/** What ensurePartitions would do; null where all partitions are there. Changes nothing. */
export async function planPartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string | null> {
  const [from, to] = bounds(settings, nowMs)
  const statement = `SELECT orbitstream_ensure_partitions('${from}', '${to}')`
  const { rows } = await database.query<{ made: boolean }>("SELECT to_regprocedure('public.orbitstream_partitions()') IS NOT NULL AS made")
  if (rows[0]?.made !== true) return statement
  const { rowCount } = await database.query(`
    SELECT FROM generate_series(date_trunc('day', $1::timestamptz, 'UTC'), $2::timestamptz, interval '24 hours') day
    WHERE NOT EXISTS (SELECT FROM public.orbitstream_partitions() p WHERE p.lower_bound < day + interval '24 hours' AND p.upper_bound > day) LIMIT 1`, [from, to])
  return rowCount === 0 ? null : statement
}

/** Drops the partitions whose every row is older than retention; gives their names. */
export async function dropPartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string[]> {
  return await names(database, 'SELECT orbitstream_drop_partitions($1) AS name', [iso(nowMs - settings.retentionMs)])
}

function bounds ({ timeWindowPastMs, timeWindowFutureMs, retentionMs }: PartitionSettings, nowMs: number): [from: string, to: string] {
  return [iso(nowMs - Math.min(timeWindowPastMs, retentionMs)), iso(nowMs + timeWindowFutureMs + AHEAD_MS)]
}

async function names (database: Database, sql: string, values: readonly string[]): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(sql, values)
  return rows.map(row => row.name)
}

function iso (timeMs: number): string {
  return new Date(timeMs).toISOString()
}
