/**
 * The limits in the database: one current set, numbered by a version that counts up, and every earlier one with who
 * changed it and when. A change is one statement: compare and set, history, NOTIFY; all of it or nothing.
 */
import type { LimitSet, NumberedLimits } from '../limits/limit-set.js'
import { parseStoredLimitSet } from '../limits/validate.js'
import type { Database } from './db.js'
import { StartupError } from './startup-error.js'

/** A set of limits as it is stored. */
export interface StoredLimits extends NumberedLimits {
  /** ISO 8601. */
  readonly changedAt: string
  readonly changedBy: string
}

/** Where changes are told to other hosts; the payload is the version. */
export const LIMITS_CHANNEL = 'orbitstream_limits'

interface Row {
  readonly version: string
  readonly changed_at: Date
  readonly changed_by: string
  readonly limits: unknown
}

const COLUMNS = 'version::text, changed_at, changed_by, limits'
const FIRST_VERSION = 1

/** The current limits; null if there are none yet. Throws a StartupError for a set that this program does not accept. */
export async function readLimits (db: Database): Promise<StoredLimits | null> {
  const { rows } = await db.query<Row>(`SELECT ${COLUMNS} FROM public.limits`)
  return rows[0] === undefined ? null : fromRow(rows[0])
}

/** The current version, whatever the set is like; 0 if there is none. */
export async function readLimitVersion (db: Database): Promise<number> {
  const { rows } = await db.query<{ version: string }>('SELECT version::text FROM public.limits')
  return Number(rows[0]?.version ?? 0)
}

/** Stores the first limits, unless another host was first. */
export async function seedLimits (db: Database, set: LimitSet, changedBy: string): Promise<void> {
  await db.query(`
    WITH seeded AS (
      INSERT INTO public.limits (version, changed_at, changed_by, limits) VALUES ($1, now(), $2, $3) ON CONFLICT DO NOTHING RETURNING ${COLUMNS}
    )
    INSERT INTO public.limits_history (version, changed_at, changed_by, limits) SELECT version::bigint, changed_at, changed_by, limits FROM seeded`,
  [FIRST_VERSION, changedBy, JSON.stringify(set)])
}

/** Replaces the limits if they are still those of `expectedVersion`. Null: they are not, and nothing was changed. */
export async function replaceLimits (db: Database, expectedVersion: number, set: LimitSet, changedBy: string): Promise<StoredLimits | null> {
  const { rows } = await db.query<Row>(`
    WITH changed AS (
      UPDATE public.limits SET version = version + 1, changed_at = clock_timestamp(), changed_by = $2, limits = $3 WHERE version = $1 RETURNING *
    ), noted AS (
      INSERT INTO public.limits_history (version, changed_at, changed_by, limits) SELECT version, changed_at, changed_by, limits FROM changed
    )
    SELECT ${COLUMNS}, pg_notify('${LIMITS_CHANNEL}', version::text) FROM changed`, [expectedVersion, changedBy, JSON.stringify(set)])
  return rows[0] === undefined ? null : fromRow(rows[0])
}

/**
 * Sets in the order of their versions, the latest first.
 * @param before only versions below this one; null: all
 */
export async function readLimitsHistory (db: Database, countMax: number, before: number | null): Promise<StoredLimits[]> {
  const { rows } = await db.query<Row>(
    `SELECT ${COLUMNS} FROM public.limits_history WHERE $2::bigint IS NULL OR version < $2 ORDER BY limits_history.version DESC LIMIT $1`, [countMax, before])
  // As they were stored, also if they would not be accepted today.
  return rows.map((row) => ({ ...headOf(row), set: row.limits as LimitSet }))
}

function headOf (row: Row): Omit<StoredLimits, 'set'> {
  return { version: Number(row.version), changedAt: row.changed_at.toISOString(), changedBy: row.changed_by }
}

function fromRow (row: Row): StoredLimits {
  const parsed = parseStoredLimitSet(row.limits)
  if (parsed.ok) return { ...headOf(row), set: parsed.set }
  const faults = parsed.faults.map(({ field, message }) => `${field} ${message}`).join('; ')
  throw new StartupError(`The table limits holds a set (version ${row.version}) that OrbitStream does not accept: ${faults}. Change it with "orbitstream-ingest limits set", which needs no running server.`)
}
