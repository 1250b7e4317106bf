/**
 * The table quarantined_rows, for operators: lists, retries and drops its rows.
 *
 * A retried row is deleted in the transaction that stores it, before the COPY. So neither two concurrent retries nor a
 * COMMIT whose answer was lost stores a row twice. An anomaly is stored once its point is no longer in quarantine.
 */
import type { Catalogue, Stream } from '../../protocol/catalogue.js'
import { anomalyRowEnd, isAnomalyRow } from '../pipeline/rows/anomaly-rows.js'
import { ROW_ID_LENGTH_OFFSET, ROW_ID_OFFSET, rowEnd, rowToPoint } from '../pipeline/rows/rows.js'
import { ANOMALIES_TARGET, copyRows, storeRows } from '../drain/commit.js'
import { CopySorter } from '../drain/copy-rows.js'
import type { Database } from '../database/database.js'
import { separateRefused } from '../drain/missing-partition.js'
import { isDataError, separateAnomalies, type Separated } from '../drain/poison.js'
import { StreamSorters } from '../drain/stream-runs.js'

/** Rows by id, or all rows. Ids are bigints in decimal. */
export type QuarantineSelection = readonly string[] | 'all'

export interface QuarantinedRow {
  readonly id: string
  readonly quarantinedAt: Date
  readonly spoolId: string
  readonly epoch: string
  readonly sequence: string
  /** Its name; of one that the catalogue did not have: its id, such as #7. */
  readonly stream: string
  readonly sqlState: string
  /** The server's message. */
  readonly reason: string
  /** Null: the row cannot be decoded. */
  readonly point: Readonly<Record<string, unknown>> | null
  /** In the format of rows.ts; null: the row never had it. */
  readonly bytes: Buffer | null
}

export interface RetryOutcome {
  stored: number
  refused: number
  /** The first REASONS_MAX reasons, each with its number of rows. */
  readonly reasons: Map<string, number>
  /** Ids that do not exist. */
  readonly unknown: readonly string[]
}

interface WaitingRow {
  readonly id: string
  readonly stream: Stream
  readonly bytes: Buffer
  /** Of the transaction that quarantined it, and the stream as it is there. */
  readonly origin: readonly [spoolId: string, epoch: string, sequence: string, stream: string]
}

/** What points and anomalies of a stream have in common. */
interface RowKind {
  /** In the open transaction. */
  readonly store: (db: Database, rows: readonly Buffer[]) => Promise<unknown>
  readonly separate: (db: Database, rows: readonly Buffer[], cause: unknown) => Promise<Separated>
}

function pointsOf (stream: Stream): RowKind {
  return {
    store: async (db, rows) => await storeRows(db, [], new StreamSorters().sort(stream, rows, rows.length)),
    separate: async (db, rows, cause) => await separateRefused(db, stream, rows, cause)
  }
}

function anomaliesOf (stream: Stream): RowKind {
  return {
    store: async (db, rows) => {
      const copy = new CopySorter(anomalyRowEnd).sort(rows, rows.length)
      await copyRows(db, ANOMALIES_TARGET, { copy, copyRows: rows.length })
    },
    separate: async (db, rows, cause) =>
      await separateRefused(db, stream, rows, cause, async (rows) => await separateAnomalies(db, rows))
  }
}

/** Rows in one transaction. */
const CHUNK_ROWS = 1_000
/** Reasons counted separately. */
const REASONS_MAX = 20
const OTHER_REASONS = 'other reasons'
const UNREADABLE = 'the row is not kept in a form that COPY accepts; see its JSON'
const POINTLESS = 'the row is an anomaly, and its point is still in quarantine'
const STRANGE = 'the catalogue in force does not have the stream of the row'

interface SelectedRow {
  readonly id: string
  readonly quarantined_at: Date
  readonly spool_id: string
  readonly epoch: string
  readonly sequence: string
  readonly stream: string
  readonly sqlstate: string
  readonly reason: string
  readonly row: Readonly<Record<string, unknown>> | null
  readonly row_bytes: Buffer | null
}

/** The newest rows first, at most `limit`, and the total. */
export async function listQuarantined (
  db: Database, catalogue: Catalogue, limit: number
): Promise<{ rows: QuarantinedRow[], total: number }> {
  const { rows: [count] } = await db.query<{ total: string }>('SELECT count(*)::text AS total FROM quarantined_rows')
  const { rows } = await db.query<SelectedRow>(
    'SELECT id::text, quarantined_at, spool_id, epoch::text, sequence::text, stream, sqlstate, reason, row, ' +
    'row_bytes FROM quarantined_rows ORDER BY quarantined_rows.id DESC LIMIT $1', [limit])
  return {
    total: Number(count?.total), rows: rows.map((row) => toQuarantinedRow(row, streamOf(row.stream, catalogue)))
  }
}

function toQuarantinedRow (row: SelectedRow, stream: Stream | null): QuarantinedRow {
  const { row_bytes: bytes } = row
  return {
    id: row.id,
    quarantinedAt: row.quarantined_at,
    spoolId: row.spool_id,
    epoch: row.epoch,
    sequence: row.sequence,
    stream: stream?.name ?? row.stream,
    sqlState: row.sqlstate,
    reason: row.reason,
    point: row.row ??
      (stream !== null && bytes !== null && readsAsRow(bytes) ? rowToPoint(bytes, stream.schema) : null),
    bytes
  }
}

/** By name, or by the id that stands for it. */
function streamOf (text: string, catalogue: Catalogue): Stream | null {
  return catalogue.streams.find(({ id, name }) => text === name || text === `#${id}`) ?? null
}

export async function dropQuarantined (
  db: Database, selection: QuarantineSelection
): Promise<{ dropped: number, unknown: string[] }> {
  if (selection === 'all') return { dropped: (await db.query('DELETE FROM quarantined_rows')).rowCount, unknown: [] }
  const dropped = await deleteRows(db, selection)
  return { dropped: dropped.length, unknown: missing(selection, dropped) }
}

/** Returns the ids of the deleted rows. */
async function deleteRows (db: Database, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'DELETE FROM quarantined_rows WHERE id = ANY($1::bigint[]) RETURNING id::text', [ids])
  return rows.map(({ id }) => id)
}

/**
 * Stores the rows that PostgreSQL now accepts; the others stay in quarantine.
 * @param onProgress called after each transaction
 */
export async function retryQuarantined (
  db: Database, catalogue: Catalogue, selection: QuarantineSelection, onProgress: (outcome: RetryOutcome) => void
): Promise<RetryOutcome> {
  const ids = await choose(db, selection)
  const unknown = selection === 'all' ? [] : missing(selection, ids)
  const outcome: RetryOutcome = { stored: 0, refused: 0, reasons: new Map(), unknown }
  for (let from = 0; from < ids.length; from += CHUNK_ROWS) {
    await retryChunk(db, catalogue, ids.slice(from, from + CHUNK_ROWS), outcome)
    onProgress(outcome)
  }
  return outcome
}

/** The existing ids of the selection. Rows quarantined later are not retried. */
async function choose (db: Database, selection: QuarantineSelection): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'SELECT id::text FROM quarantined_rows WHERE $1::bigint[] IS NULL OR id = ANY($1) ORDER BY quarantined_rows.id',
    [selection === 'all' ? null : selection])
  return rows.map(({ id }) => id)
}

async function retryChunk (
  db: Database, catalogue: Catalogue, ids: readonly string[], outcome: RetryOutcome
): Promise<void> {
  const { rows } = await db.query<SelectedRow>(
    'SELECT id::text, spool_id, epoch::text, sequence::text, stream, row_bytes FROM quarantined_rows ' +
    'WHERE id = ANY($1::bigint[]) ORDER BY quarantined_rows.id', [ids])
  const points: WaitingRow[] = []
  const anomalies: WaitingRow[] = []
  for (const { id, spool_id: spoolId, epoch, sequence, stream: name, row_bytes: bytes } of rows) {
    const origin = [spoolId, epoch, sequence, name] as const
    const stream = streamOf(name, catalogue)
    if (stream === null) refuse(outcome, STRANGE)
    else if (bytes === null || !readsAsRow(bytes)) refuse(outcome, UNREADABLE)
    else (isAnomalyRow(bytes) ? anomalies : points).push({ id, stream, bytes, origin })
  }
  await retryRows(db, points, pointsOf, outcome)
  const waiting = await pointsWaiting(db, anomalies)
  const free = anomalies.filter((anomaly) => !waiting.has(ownerOf(anomaly)))
  for (let kept = anomalies.length - free.length; kept > 0; kept--) refuse(outcome, POINTLESS)
  await retryRows(db, free, anomaliesOf, outcome)
}

async function retryRows (
  db: Database, waiting: readonly WaitingRow[], kindOf: (stream: Stream) => RowKind, outcome: RetryOutcome
): Promise<void> {
  for (const stream of new Set(waiting.map((row) => row.stream))) {
    const kind = kindOf(stream)
    const theirs = waiting.filter((row) => row.stream === stream)
    try {
      outcome.stored += await storeAndDelete(db, kind, theirs)
    } catch (error) {
      if (!isDataError(error)) throw error
      await db.query('ROLLBACK')
      outcome.stored += await storeAccepted(db, kind, theirs, error, outcome)
    }
  }
}

/** Time and satellite: the same bytes in a point and its anomalies. */
function headOf (bytes: Buffer): Buffer {
  return bytes.subarray(2, ROW_ID_OFFSET + bytes.readInt32BE(ROW_ID_LENGTH_OFFSET))
}

/** The point of an anomaly. */
function ownerOf ({ origin, bytes }: WaitingRow): string {
  return [...origin, headOf(bytes).toString('base64')].join(' ')
}

/** Points in quarantine with the time and satellite of these anomalies. */
async function pointsWaiting (db: Database, anomalies: readonly WaitingRow[]): Promise<ReadonlySet<string>> {
  if (anomalies.length === 0) return new Set()
  const unique = [...new Map(anomalies.map((anomaly) => [ownerOf(anomaly), anomaly])).values()]
  const { rows } = await db.query<{ at: string, row_bytes: Buffer }>(`
    SELECT wanted.at::text, p.row_bytes
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[])
         WITH ORDINALITY AS wanted (spool_id, epoch, sequence, stream, head, at)
      JOIN quarantined_rows p USING (spool_id, epoch, sequence, stream)
    WHERE substr(p.row_bytes, 3, length(wanted.head)) = wanted.head`,
  [...[0, 1, 2, 3].map((part) => unique.map(({ origin }) => origin[part])), unique.map((each) => headOf(each.bytes))])
  const points = rows.filter(({ row_bytes: bytes }) => !isAnomalyRow(bytes))
  return new Set(points.map(({ at }) => ownerOf(unique[Number(at) - 1] as WaitingRow)))
}

async function storeAccepted (
  db: Database, kind: RowKind, waiting: readonly WaitingRow[], cause: unknown, outcome: RetryOutcome
): Promise<number> {
  const { good, poison } = await kind.separate(db, waiting.map((row) => row.bytes), cause)
  for (const { reason } of poison) refuse(outcome, reason)
  const passed = new Set(good)
  return await storeAndDelete(db, kind, waiting.filter((row) => passed.has(row.bytes)))
}

/** One transaction, for rows of one stream. Skips rows that another retry has taken. Returns how many were stored. */
async function storeAndDelete (db: Database, kind: RowKind, waiting: readonly WaitingRow[]): Promise<number> {
  if (waiting.length === 0) return 0
  await db.query('BEGIN')
  const taken = new Set(await deleteRows(db, waiting.map(({ id }) => id)))
  const rows = waiting.filter(({ id }) => taken.has(id)).map(({ bytes }) => bytes)
  if (rows.length > 0) await kind.store(db, rows)
  await db.query('COMMIT')
  return rows.length
}

function refuse (outcome: RetryOutcome, reason: string): void {
  const { reasons } = outcome
  const known = reasons.has(reason) || reasons.size < REASONS_MAX ? reason : OTHER_REASONS
  reasons.set(known, (reasons.get(known) ?? 0) + 1)
  outcome.refused++
}

function missing (asked: readonly string[], found: readonly string[]): string[] {
  const there = new Set(found)
  return asked.filter((id) => !there.has(id))
}

/** Whether the bytes are one row, of whatever catalogue. */
function readsAsRow (bytes: Buffer): boolean {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    return rowEnd(view, 0) === bytes.length
  } catch {
    return false
  }
}
