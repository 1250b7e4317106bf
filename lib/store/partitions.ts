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
  const from = nowMs - Math.min(settings.timeWindowPastMs, settings.retentionMs)
  const to = nowMs + settings.timeWindowFutureMs + AHEAD_MS
  return await names(database, 'SELECT orbitstream_ensure_partitions($1, $2) AS name', [iso(from), iso(to)])
}

/** Drops the partitions whose every row is older than retention; gives their names. */
export async function dropPartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string[]> {
  return await names(database, 'SELECT orbitstream_drop_partitions($1) AS name', [iso(nowMs - settings.retentionMs)])
}

async function names (database: Database, sql: string, values: readonly string[]): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(sql, values)
  return rows.map(row => row.name)
}

function iso (timeMs: number): string {
  return new Date(timeMs).toISOString()
}
