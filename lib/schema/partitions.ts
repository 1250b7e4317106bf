/**
 * Partitions by time on plain PostgreSQL: which are created ahead, which on demand, and which are dropped. See
 * orbitstream_make_partitions in sql/0011.
 *
 * The days around now have partitions, except days that retention would drop right away, so that a database without
 * maintenance keeps accepting points for a while. All others are created by the writer whose row lacks one
 * (missing-partition.ts), so startup takes no longer for a window of years than for one of days.
 *
 * Each transaction creates or drops few tables: a table takes about six locks, of which a server has 64 per connection
 * (max_locks_per_transaction), and COPY waits while a partition is dropped.
 */
import { DAY_MS } from '../config/setting-types.js'
import { sqlState } from '../database/connection.js'
import type { Session } from '../database/database.js'
import { identifier } from '../database/quote.js'
import { CHECK_VIOLATION, DEPENDENT_OBJECTS_STILL_EXIST, INSUFFICIENT_PRIVILEGE } from '../database/sqlstates.js'

export interface PartitionSettings {
  /** Age at which points are dropped. */
  readonly retentionMs: number
}

const DAYS_AHEAD = 3
/** Time spans per transaction: four tables each, some 420 locks. */
const SPANS_MAX = 20
/** Partitions dropped per transaction. */
const DROPPED_TABLES_MAX = 8
/** Somebody's view of one partition, or a partition of somebody else. */
const REFUSALS: ReadonlySet<string> = new Set([DEPENDENT_OBJECTS_STILL_EXIST, INSUFFICIENT_PRIVILEGE])
/** Far more than there can be partitions to create or drop. */
const STEPS_MAX = 10_000
/** The range of partitions, slightly inside that of PostgreSQL's timestamps: 4685 BC to 293500 AD. */
const TIME_SECONDS_MIN = -2.1e11
const TIME_SECONDS_MAX = 9.2e12
const MAKE = 'SELECT public.orbitstream_make_partitions(' +
  'ARRAY(SELECT to_timestamp(t) FROM unnest($1::double precision[]) t), $2) AS name'

export interface EnsuredPartitions {
  readonly made: readonly string[]
  /** Why a day has none: somebody added a DEFAULT partition, which has rows of that day. */
  readonly refused: readonly string[]
}

/** For the log, with the reason. */
export const REFUSED_PARTITION = 'A day has no partition of its own: its points go into the DEFAULT partition, which ' +
  'retention never drops. Move the rows of that day out of it'

/** Of rollups and anomalies alone. */
const MAKE_OTHERS = `
  SELECT name FROM unnest(ARRAY['rollup_10s', 'rollup_1m', 'anomalies']) parent,
    LATERAL public.orbitstream_fill_partitions(parent, date_trunc('day', to_timestamp($1), 'UTC'),
      date_trunc('day', to_timestamp($1), 'UTC') + interval '24 hours') AS name`

/** Creates missing partitions of the days around a time. A day that is refused does not affect the others. */
export async function ensurePartitions (
  database: Session, settings: PartitionSettings, nowMs: number
): Promise<EnsuredPartitions> {
  const times = timesAround(settings, nowMs)
  const all = await madeUnlessRefused(database, times)
  if ('made' in all) return { made: all.made, refused: [] }
  const [made, refused]: [string[], string[]] = [[], []]
  for (const time of times) {
    const one = await madeUnlessRefused(database, [time])
    if ('refused' in one) refused.push(one.refused)
    made.push(...'made' in one ? one.made : await makeOthers(database, time))
  }
  return { made, refused }
}

async function madeUnlessRefused (
  database: Session, times: readonly number[]
): Promise<{ readonly made: string[] } | { readonly refused: string }> {
  try {
    return { made: await makePartitions(database, times) }
  } catch (error) {
    if (sqlState(error) !== CHECK_VIOLATION) throw error
    return { refused: (error as Error).message }
  }
}

/** What a day needs whose points are in a DEFAULT partition: rollups of them, and anomalies. */
async function makeOthers (database: Session, timeMs: number): Promise<string[]> {
  await database.query('BEGIN')
  await database.query('LOCK TABLE ONLY public.anomalies, ONLY public.telemetry IN SHARE UPDATE EXCLUSIVE MODE')
  const made = await names(database, MAKE_OTHERS, [timeMs / 1000])
  await database.query('COMMIT')
  return made
}

/** Creates missing partitions for times in milliseconds since 1970; returns their names. Skips times out of range. */
export async function makePartitions (database: Session, timesMs: readonly number[]): Promise<string[]> {
  const seconds = timesMs.map(time => time / 1000).filter(time => time > TIME_SECONDS_MIN && time < TIME_SECONDS_MAX)
  return await untilNone(async () => await names(database, MAKE, [seconds, SPANS_MAX]))
}

/** What ensurePartitions would run; null if no partition is missing. Changes nothing. */
export async function planPartitions (
  database: Session, settings: PartitionSettings, nowMs: number
): Promise<string | null> {
  const times = `'{${timesAround(settings, nowMs).map(time => new Date(time).toISOString()).join(',')}}'`
  const statement = `SELECT orbitstream_make_partitions(${times}, ${SPANS_MAX})`
  if (!await makesPartitions(database)) return statement
  const { rowCount } = await database.query(`SELECT public.orbitstream_without_partition(${times})`)
  return rowCount === 0 ? null : statement
}

/**
 * What dropping expired partitions of these tables locks: partitions whose rows are all older than retention, and the
 * tables. Without settings: older than all of telemetry.
 */
export async function expired (
  database: Session, tables: readonly string[], settings?: PartitionSettings, nowMs = 0
): Promise<string[]> {
  const before = settings === undefined ? null : new Date(nowMs - settings.retentionMs)
  return await names(database, 'SELECT public.orbitstream_expired($1, $2) AS name', [tables, before])
}

/**
 * Drops partitions of a table whose rows are all older than retention; returns their names. If the server refuses to
 * drop some, rejects once the others are gone.
 *
 * Not by orbitstream_drop_partitions, which only servers of earlier versions call: it also drops those of anomalies,
 * which all streams share, while a stream may have a retention of its own.
 */
export async function dropPartitions (
  database: Session, table: string, settings: PartitionSettings, nowMs: number
): Promise<string[]> {
  const kept = new Set<string>()
  let countMax = DROPPED_TABLES_MAX
  const refusals: Error[] = []
  const some = async (): Promise<string[]> => {
    const found = await expired(database, [table], settings, nowMs)
    return found.filter((name) => name !== table && !kept.has(name)).sort().slice(0, countMax)
  }
  const dropped = await untilNone(async () => {
    // Without a lock first: there is rarely anything to drop.
    if ((await some()).length === 0) return []
    await database.query('BEGIN')
    // As those that make partitions, of this table or of anomalies together with its own: one at a time.
    await database.query(`LOCK TABLE ONLY public.anomalies, ONLY ${qualified(table)} IN SHARE UPDATE EXCLUSIVE MODE`)
    const found = await some()
    try {
      if (found.length > 0) await database.query(`DROP TABLE ${found.map(qualified).join(', ')}`)
    } catch (error) {
      if (!REFUSALS.has(sqlState(error) ?? '')) throw error
      await database.query('ROLLBACK')
      if (countMax === 1) {
        for (const name of found) kept.add(name)
        refusals.push(error as Error)
      }
      // One by one, to find the others.
      countMax = 1
      return found
    }
    await database.query('COMMIT')
    return found
  })
  const [refusal] = refusals
  if (refusal !== undefined) throw refusal
  return dropped
}

/**
 * Drops rollups of days that telemetry no longer covers, and forgets satellites without points. Like dropPartitions one
 * at a time with those that make partitions: points of an earlier day, and the notes that they are late, must not come
 * in between the look at what telemetry covers and the end.
 */
export async function dropRollups (database: Session, width: '10s' | '1m'): Promise<void> {
  const drop = (): Promise<string[]> =>
    names(database, 'SELECT public.orbitstream_drop_rollups($1, $2) AS name', [width, DROPPED_TABLES_MAX])
  if (!await makesPartitions(database)) {
    await untilNone(drop)
    return
  }
  await untilNone(async () => {
    // Without a lock first, as in dropPartitions.
    if (!await isBeyondPoints(database, width)) return []
    await database.query('BEGIN')
    await database.query('LOCK TABLE ONLY public.anomalies, ONLY public.telemetry IN SHARE UPDATE EXCLUSIVE MODE')
    const dropped = await drop()
    await database.query('COMMIT')
    return dropped
  })
}

/** Whether there is anything of days before all partitions of telemetry. */
async function isBeyondPoints (database: Session, width: '10s' | '1m'): Promise<boolean> {
  const { rows } = await database.query<{ some: boolean }>(`
    SELECT EXISTS (SELECT FROM public.orbitstream_expired(ARRAY['rollup_${width}'], NULL))
           OR EXISTS (SELECT FROM public.rollup_dirty WHERE bucket < kept_from)
           OR EXISTS (SELECT FROM public.rollup_failed WHERE bucket < kept_from)
           OR EXISTS (SELECT FROM public.satellites_late WHERE "time" < kept_from)
           OR EXISTS (SELECT FROM public.satellites_last WHERE "time" < kept_from) AS some
    FROM (SELECT min(lower_bound) AS kept_from FROM public.orbitstream_partitions()) points`)
  return rows[0]?.some === true
}

/** False: TimescaleDB does, or there is no schema yet. */
async function makesPartitions (database: Session): Promise<boolean> {
  const { rows } = await database.query<{ exists: boolean }>(
    "SELECT to_regproc('public.orbitstream_without_partition') IS NOT NULL AS exists")
  return rows[0]?.exists === true
}

function timesAround ({ retentionMs }: PartitionSettings, nowMs: number): number[] {
  const ahead = Array.from({ length: DAYS_AHEAD + 1 }, (_, days) => nowMs + days * DAY_MS)
  return [nowMs - Math.min(DAY_MS, retentionMs), ...ahead]
}

/** Repeats a step until it returns no names. */
async function untilNone (step: () => Promise<string[]>): Promise<string[]> {
  const all: string[] = []
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    const some = await step()
    all.push(...some)
    if (some.length === 0) break
  }
  return all
}

function qualified (table: string): string {
  return `public.${identifier(table)}`
}

async function names (database: Session, sql: string, values: readonly unknown[]): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(sql, values)
  return rows.map(row => row.name)
}
