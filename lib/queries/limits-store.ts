/**
 * The limits in the database: one current set with an increasing version number, and its predecessors with author and
 * time. A change is one atomic statement: compare and set, history, NOTIFY. Storing the current set again creates no
 * version. The history keeps HISTORY_VERSIONS_MAX versions, or as many as fit in HISTORY_BYTES_MAX.
 */
import type { LimitSet, LimitableMetrics, NumberedLimits } from '../limits/limit-set.js'
import { parseStoredLimitSet } from '../limits/validate.js'
import type { Database } from '../database/database.js'
import { StartupError } from '../support/startup-error.js'

/** A stored set of limits. */
export interface StoredLimits extends NumberedLimits {
  /** ISO 8601. */
  readonly changedAt: string
  readonly changedBy: string
}

/** Notifies other hosts of changes; the payload is the version. */
export const LIMITS_CHANNEL = 'orbitstream_limits'

interface Head {
  readonly version: string
  readonly changed_at: Date
  readonly changed_by: string
}

interface Row extends Head {
  readonly limits: unknown
}

const HEAD = 'version::text, changed_at, changed_by'
const COLUMNS = `${HEAD}, limits`
/** Years of manual changes, or hours of changes by a program every minute. */
export const HISTORY_VERSIONS_MAX = 1_000
/** Of sets as stored, compressed; may be exceeded by one set. */
const HISTORY_BYTES_MAX = 64 * 1024 * 1024
/** Of sets as text, per response; may be exceeded by the last one. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024
const FIRST_VERSION = 1

/** The current limits; null if there are none yet. Throws a StartupError for an invalid set. */
export async function readLimits (db: Database, metrics: LimitableMetrics): Promise<StoredLimits | null> {
  const { rows } = await db.query<Row>(`SELECT ${COLUMNS} FROM public.limits`)
  return rows[0] === undefined ? null : fromRow(rows[0], metrics)
}

/** The current limits if they differ from `known`, otherwise null. A set may have megabytes. */
export async function readOtherLimits (
  db: Database, metrics: LimitableMetrics, known: StoredLimits
): Promise<StoredLimits | null> {
  const { rows } = await db.query<Row>(
    `SELECT ${COLUMNS} FROM public.limits
     WHERE version <> $1 OR date_trunc('milliseconds', changed_at) <> $2::timestamptz`,
    [known.version, known.changedAt])
  return rows[0] === undefined ? null : fromRow(rows[0], metrics)
}

/** The current version, even of an invalid set; 0 if there is none. */
export async function readLimitVersion (db: Database): Promise<number> {
  const { rows } = await db.query<{ version: string }>('SELECT version::text FROM public.limits')
  return Number(rows[0]?.version ?? 0)
}

/** Stores the first limits, unless another host was first. */
export async function seedLimits (db: Database, set: LimitSet, changedBy: string): Promise<void> {
  await db.query(`
    WITH seeded AS (
      INSERT INTO public.limits (version, changed_at, changed_by, limits) VALUES ($1, now(), $2, $3)
      ON CONFLICT DO NOTHING RETURNING ${COLUMNS}
    )
    INSERT INTO public.limits_history (version, changed_at, changed_by, limits)
      SELECT version::bigint, changed_at, changed_by, limits FROM seeded`,
  [FIRST_VERSION, changedBy, JSON.stringify(set)])
}

/**
 * Replaces the limits if their version is still `expectedVersion`. Null: it is not, and nothing was changed. If the set
 * is already the current one, nothing is written and the version stays the same.
 */
export async function replaceLimits (
  db: Database, metrics: LimitableMetrics, expectedVersion: number, set: LimitSet, changedBy: string
): Promise<StoredLimits | null> {
  const { rows: [changed] } = await db.query<Head>(`
    WITH changed AS (
      UPDATE public.limits SET version = version + 1, changed_at = clock_timestamp(), changed_by = $2, limits = $3
      WHERE version = $1 AND limits <> $3::jsonb RETURNING *
    ), noted AS (
      INSERT INTO public.limits_history (version, changed_at, changed_by, limits)
        SELECT version, changed_at, changed_by, limits FROM changed
    ), pruned AS (
      DELETE FROM public.limits_history h
      USING changed, (
        SELECT version, sum(pg_column_size(limits)) OVER (ORDER BY version DESC) AS bytes FROM public.limits_history
      ) until
      WHERE h.version = until.version
        AND (h.version <= changed.version - ${HISTORY_VERSIONS_MAX} OR until.bytes > ${HISTORY_BYTES_MAX})
    )
    SELECT ${HEAD}, pg_notify('${LIMITS_CHANNEL}', version::text) FROM changed`,
  [expectedVersion, changedBy, JSON.stringify(set)])
  if (changed !== undefined) return { ...headOf(changed), set }
  const { rows: [same] } = await db.query<Row>(
    `SELECT ${COLUMNS} FROM public.limits WHERE version = $1`, [expectedVersion])
  return same === undefined ? null : fromRow(same, metrics)
}

/**
 * Past and current sets, newest first; fewer than `countMax` if they are large, but at least one.
 * @param before only lower versions; null: all
 */
export async function readLimitsHistory (
  db: Database, countMax: number, before: number | null
): Promise<StoredLimits[]> {
  // Row by row, so that no more is read than fits into a response.
  const { rows } = await db.query<Row>(`
    WITH RECURSIVE page AS (
      (SELECT *, octet_length(limits::text)::bigint AS bytes, 1 AS count
       FROM public.limits_history WHERE $2::bigint IS NULL OR version < $2 ORDER BY version DESC LIMIT 1)
      UNION ALL
      SELECT earlier.*, page.bytes + octet_length(earlier.limits::text), page.count + 1
      FROM page CROSS JOIN LATERAL (
        SELECT * FROM public.limits_history h WHERE h.version < page.version ORDER BY h.version DESC LIMIT 1
      ) earlier
      WHERE page.count < $1 AND page.bytes < ${PAGE_BYTES_MAX}
    )
    SELECT ${COLUMNS} FROM page ORDER BY page.version DESC`, [countMax, before])
  // As stored, even if no longer valid.
  return rows.map((row) => ({ ...headOf(row), set: row.limits as LimitSet }))
}

function headOf (row: Head): Omit<StoredLimits, 'set'> {
  return { version: Number(row.version), changedAt: row.changed_at.toISOString(), changedBy: row.changed_by }
}

function fromRow (row: Row, metrics: LimitableMetrics): StoredLimits {
  const parsed = parseStoredLimitSet(row.limits, metrics)
  if (parsed.ok) return { ...headOf(row), set: parsed.set }
  const faults = parsed.faults.map(({ field, message }) => `${field} ${message}`).join('; ')
  throw new StartupError(
    `The table limits contains an invalid set (version ${row.version}): ${faults}. ` +
    'Replace it with "orbitstream-ingest limits set", which needs no running server.')
}
