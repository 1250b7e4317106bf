/** The table of lanes, and who may drain which. All times are the database's. */
import type { Database } from '../database/database.js'

/** How long a lane that is closed keeps its streams: a writer that was paused finds its seal there. */
const KEEP = "interval '1 hour'"
/** More than listing the streams takes. */
const LISTED = "interval '1 hour'"
/** How long a lane that has no streams any more is remembered. */
const REMEMBER = "interval '30 days'"

export interface KnownLane {
  readonly lane: string
  readonly slot: number
}

/** A lane of a worker of this server. */
export interface OwnLane extends KnownLane {
  /** Its stream was created. */
  readonly isOpen: boolean
}

/** A lane to be drained. */
export interface ClaimedLane extends KnownLane {
  readonly instance: string
  /** Its writer has had a stream. */
  readonly wasOpened: boolean
  /** It was closed long ago: its streams may go. */
  readonly isOld: boolean
}

/** The id that streams of this database carry. */
export async function readDeployment (db: Database): Promise<string> {
  const { rows } = await db.query<{ id: string }>('SELECT id FROM ingest_deployment')
  return rows[0]?.id ?? ''
}

/** These lanes have writers on this server. Opens them again if they were closed. */
export async function noteWriters (db: Database, instance: string, lanes: readonly OwnLane[]): Promise<void> {
  await db.query(`
    INSERT INTO ingest_lanes (lane, instance, slot, opened_at)
    SELECT lane, $1, slot, CASE WHEN is_open THEN now() END
    FROM unnest($2::text[], $3::int[], $4::bool[]) l (lane, slot, is_open)
    ON CONFLICT (lane) DO UPDATE SET
      seen_at = now(), drainer = NULL, closed_at = NULL, removed_at = NULL,
      opened_at = coalesce(ingest_lanes.opened_at, excluded.opened_at)`,
  [instance, lanes.map(({ lane }) => lane), lanes.map(({ slot }) => slot), lanes.map(({ isOpen }) => isOpen)])
}

/** This server drains these lanes. Returns those that are no longer its: their writers, or other servers, have them. */
export async function noteDrainer (
  db: Database, instance: string, lanes: readonly string[]
): Promise<readonly string[]> {
  const { rows } = await db.query<{ lane: string }>(
    'UPDATE ingest_lanes SET seen_at = now() WHERE drainer = $1 AND lane = ANY ($2) RETURNING lane', [instance, lanes])
  const own = new Set(rows.map(({ lane }) => lane))
  return lanes.filter((lane) => !own.has(lane))
}

/**
 * Streams that were found; those of lanes without a row get one. A lane whose streams were removed is open again: its
 * writer was cut off from the database, but not from the log, and has begun another one since.
 */
export async function noteFound (
  db: Database, lanes: ReadonlyArray<KnownLane & { readonly instance: string }>
): Promise<void> {
  await db.query(`
    INSERT INTO ingest_lanes (lane, instance, slot)
    SELECT DISTINCT ON (lane) lane, instance, slot
    FROM unnest($1::text[], $2::text[], $3::int[]) l (lane, instance, slot) ON CONFLICT DO NOTHING`,
  [lanes.map(({ lane }) => lane), lanes.map(({ instance }) => instance), lanes.map(({ slot }) => slot)])
  // Not at once, which would lock all rows. The streams may have been listed before they were removed.
  await db.query(`
    UPDATE ingest_lanes SET drainer = NULL, closed_at = NULL, removed_at = NULL
    WHERE lane = ANY ($1) AND removed_at < now() - ${LISTED}`, [lanes.map(({ lane }) => lane)])
}

/**
 * A lane that was last seen in the future was seen before the database's clock was set back, or by a server that has
 * been replaced by one whose clock is behind: it counts as seen now, and may be taken over after the usual time.
 */
export async function noteClock (db: Database): Promise<void> {
  // Of two statements at once, either may have begun first.
  await db.query(
    "UPDATE ingest_lanes SET seen_at = now() WHERE removed_at IS NULL AND seen_at > now() + interval '5 seconds'")
}

/**
 * Claims lanes without a writer: this server's own, and those of servers that were last seen too long ago. Of several
 * servers one gets each.
 * @param busy lanes that this server writes or drains
 * @param takeOverMs null: no lanes of other servers
 */
export async function claimLanes (
  db: Database, instance: string, busy: readonly string[], takeOverMs: number | null, count: number
): Promise<readonly ClaimedLane[]> {
  const { rows } = await db.query<ClaimedRow>(`
    UPDATE ingest_lanes SET drainer = $1, seen_at = now()
    WHERE lane IN (
      SELECT lane FROM ingest_lanes
      WHERE removed_at IS NULL AND (closed_at IS NULL OR closed_at < now() - ${KEEP}) AND lane <> ALL ($2)
        AND (coalesce(drainer, instance) = $1 OR seen_at < now() - $3::float8 * interval '1 ms')
      ORDER BY closed_at IS NOT NULL, seen_at LIMIT $4 FOR UPDATE SKIP LOCKED)
    RETURNING lane, slot, instance, opened_at IS NOT NULL AS was_opened, closed_at IS NOT NULL AS is_old`,
  [instance, busy, takeOverMs, count])
  return rows.map(({ lane, slot, instance: of, was_opened: wasOpened, is_old: isOld }) =>
    ({ lane, slot, instance: of, wasOpened, isOld }))
}

interface ClaimedRow {
  readonly lane: string
  readonly slot: number
  readonly instance: string
  readonly was_opened: boolean
  readonly is_old: boolean
}

/** A lane as people see it. */
export interface ListedLane extends KnownLane {
  /** The server of its writer. */
  readonly instance: string
  /** The server that drains it in place of its own; null: none. */
  readonly drainer: string | null
  readonly seenAgoMs: number
  /** Seen less than LOG_TAKEOVER ago. */
  readonly isSeen: boolean
  /** Sealed and drained. */
  readonly closed: boolean
}

/** All lanes that have streams, those that are not drained first. */
export async function listLanes (db: Database, takeOverMs: number): Promise<readonly ListedLane[]> {
  const { rows } = await db.query<Omit<ListedLane, 'isSeen' | 'seenAgoMs'> & { ago: number }>(`
    SELECT lane, slot, instance, drainer, closed_at IS NOT NULL AS closed,
      round(extract(epoch FROM now() - seen_at) * 1000)::float8 AS ago
    FROM ingest_lanes WHERE removed_at IS NULL ORDER BY closed_at IS NOT NULL, instance, slot, lane`)
  return rows.map(({ ago, ...lane }) => ({ ...lane, seenAgoMs: ago, isSeen: ago < takeOverMs }))
}

/**
 * A lane is sealed and drained. Nothing happens if it is no longer this server's: a writer that was only away may have
 * appended since, and a lane that is closed is drained by nobody for as long as KEEP.
 * @param isRemoved its streams are gone
 */
export async function noteClosed (db: Database, instance: string, lane: string, isRemoved: boolean): Promise<void> {
  await db.query(`
    UPDATE ingest_lanes SET closed_at = coalesce(closed_at, now()), removed_at = CASE WHEN $3 THEN now() END
    WHERE lane = $2 AND coalesce(drainer, instance) = $1`, [instance, lane, isRemoved])
}

/** Forgets lanes that were removed long ago, and their rows in the ledger. */
export async function forgetLanes (db: Database): Promise<void> {
  await db.query(`
    WITH gone AS (DELETE FROM ingest_lanes WHERE removed_at < now() - ${REMEMBER} RETURNING lane)
    DELETE FROM ingest_ledger USING gone WHERE spool_id = lane`)
}
