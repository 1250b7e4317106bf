/**
 * The partitions of the tables with times on plain PostgreSQL: which there are ahead, which are made when a row needs one, and
 * which may go. See sql/0018 and sql/0021.
 *
 * There is one for each of the days around now, so that a database that nobody maintains for a while goes on taking
 * points, and none that retention would drop at once. All others are made by whoever stores a row that lacks one
 * (missing-partition.ts), so that a start takes no longer for a window of years than for one of days.
 *
 * Each call makes or drops few tables in one transaction: every table is some six locks, of which a server has 64 for each
 * of its connections (max_locks_per_transaction), and COPY waits while a partition is dropped.
 */
import type { Database } from '../database/connection.js'

export interface PartitionSettings {
  /** Age at which telemetry is dropped. */
  readonly retentionMs: number
}

export const DAY_MS = 86_400_000
const DAYS_AHEAD = 3
/** Spans of time that get their partitions in one transaction: four tables each, some 420 locks. */
const SPANS_MAX = 20
/** Partitions that are dropped in one transaction. */
const DROPPED_TABLES_MAX = 8
/** Far more than there can be partitions to make or to drop; what would be left is for the next time. */
const STEPS_MAX = 10_000
/** As far as partitions go, a little inside of what PostgreSQL can tell: 4685 BC and 293500 AD. */
const TIME_SECONDS_MIN = -2.1e11
const TIME_SECONDS_MAX = 9.2e12
const MAKE = 'SELECT public.orbitstream_make_partitions(ARRAY(SELECT to_timestamp(t) FROM unnest($1::double precision[]) t), $2) AS name'

/** Makes those that are missing of the days around a time; gives their names. */
export async function ensurePartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string[]> {
  return await makePartitions(database, timesAround(settings, nowMs))
}

/** Makes those that are missing for some times, in milliseconds since 1970; gives their names. Leaves out times that no partition can hold. */
export async function makePartitions (database: Database, timesMs: readonly number[]): Promise<string[]> {
  const seconds = timesMs.map(time => time / 1000).filter(time => time > TIME_SECONDS_MIN && time < TIME_SECONDS_MAX)
  return await untilNone(async () => await names(database, MAKE, [seconds, SPANS_MAX]))
}

/** What ensurePartitions would do; null where all partitions are there. Changes nothing. */
export async function planPartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string | null> {
  const times = `'{${timesAround(settings, nowMs).map(time => new Date(time).toISOString()).join(',')}}'`
  const statement = `SELECT orbitstream_make_partitions(${times}, ${SPANS_MAX})`
  const { rows } = await database.query<{ made: boolean }>("SELECT to_regproc('public.orbitstream_without_partition') IS NOT NULL AS made")
  if (rows[0]?.made !== true) return statement
  return (await database.query(`SELECT public.orbitstream_without_partition(${times})`)).rowCount === 0 ? null : statement
}

/**
 * Partitions of these tables whose every row is older than retention, and the tables themselves: what is locked to drop them.
 * Without settings: older than all that telemetry has.
 */
export async function expired (database: Database, tables: readonly string[], settings?: PartitionSettings, nowMs = 0): Promise<string[]> {
  return await names(database, 'SELECT public.orbitstream_expired($1, $2) AS name', [tables, settings === undefined ? null : new Date(nowMs - settings.retentionMs)])
}

/** Drops those whose every row is older than retention; gives their names. */
export async function dropPartitions (database: Database, settings: PartitionSettings, nowMs: number): Promise<string[]> {
  const before = new Date(nowMs - settings.retentionMs)
  return await untilNone(async () => await names(database, 'SELECT public.orbitstream_drop_partitions($1, $2) AS name', [before, DROPPED_TABLES_MAX]))
}

/** Drops rollups of days of which telemetry has nothing any more, and forgets satellites of which it has nothing. */
export async function dropRollups (database: Database, width: '10s' | '1m'): Promise<void> {
  await untilNone(async () => await names(database, 'SELECT public.orbitstream_drop_rollups($1, $2) AS name', [width, DROPPED_TABLES_MAX]))
}

function timesAround ({ retentionMs }: PartitionSettings, nowMs: number): number[] {
  return [nowMs - Math.min(DAY_MS, retentionMs), ...Array.from({ length: DAYS_AHEAD + 1 }, (_, days) => nowMs + days * DAY_MS)]
}

/** Step by step, until there is nothing left to do: each step does something or is the last. */
async function untilNone (step: () => Promise<string[]>): Promise<string[]> {
  const all: string[] = []
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    const some = await step()
    all.push(...some)
    if (some.length === 0) break
  }
  return all
}

async function names (database: Database, sql: string, values: readonly unknown[]): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(sql, values)
  return rows.map(row => row.name)
}
