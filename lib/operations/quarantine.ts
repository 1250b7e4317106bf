/**
 * The table quarantined_rows, for operators: lists, retries and drops its rows.
 *
 * A retried row is deleted in the transaction that stores it, before the COPY. So neither two concurrent retries nor a
 * COMMIT whose answer was lost stores a row twice.
 */
import type { Catalogue, Stream } from '../../protocol/catalogue.js'
import { isAnomalyRow } from '../pipeline/rows/anomaly-rows.js'
import { rowEnd, rowToPoint } from '../pipeline/rows/rows.js'
import { storeRows } from '../drain/commit.js'
import type { Database } from '../database/database.js'
import { separateRefused } from '../drain/missing-partition.js'
import { isDataError } from '../drain/poison.js'
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
}

/** Rows in one transaction. */
const CHUNK_ROWS = 1_000
/** Reasons counted separately. */
const REASONS_MAX = 20
const OTHER_REASONS = 'other reasons'
const UNREADABLE = 'the row is not kept in a form that COPY accepts; see its JSON'
const ANOMALY = 'the row is an anomaly; only points are stored again'
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
  const { rows } = await db.query<{ id: string, stream: string, row_bytes: Buffer | null }>(
    'SELECT id::text, stream, row_bytes FROM quarantined_rows WHERE id = ANY($1::bigint[]) ' +
    'ORDER BY quarantined_rows.id', [ids])
  const waiting: WaitingRow[] = []
  for (const { id, stream: name, row_bytes: bytes } of rows) {
    const stream = streamOf(name, catalogue)
    if (bytes !== null && isAnomalyRow(bytes)) refuse(outcome, ANOMALY)
    else if (stream === null) refuse(outcome, STRANGE)
    else if (bytes !== null && readsAsRow(bytes)) waiting.push({ id, stream, bytes })
    else refuse(outcome, UNREADABLE)
  }
  for (const stream of new Set(waiting.map((row) => row.stream))) {
    const theirs = waiting.filter((row) => row.stream === stream)
    try {
      outcome.stored += await storeAndDelete(db, stream, theirs)
    } catch (error) {
      if (!isDataError(error)) throw error
      await db.query('ROLLBACK')
      outcome.stored += await storeAccepted(db, stream, theirs, error, outcome)
    }
  }
}

async function storeAccepted (
  db: Database, stream: Stream, waiting: readonly WaitingRow[], cause: unknown, outcome: RetryOutcome
): Promise<number> {
  const { good, poison } = await separateRefused(db, stream, waiting.map((row) => row.bytes), cause)
  for (const { reason } of poison) refuse(outcome, reason)
  const passed = new Set(good)
  return await storeAndDelete(db, stream, waiting.filter((row) => passed.has(row.bytes)))
}

/** One transaction, for rows of one stream. Skips rows that another retry has taken. Returns how many were stored. */
async function storeAndDelete (db: Database, stream: Stream, waiting: readonly WaitingRow[]): Promise<number> {
  if (waiting.length === 0) return 0
  await db.query('BEGIN')
  const taken = new Set(await deleteRows(db, waiting.map(({ id }) => id)))
  const payloads = waiting.filter(({ id }) => taken.has(id)).map(({ bytes }) => bytes)
  if (payloads.length > 0) {
    await storeRows(db, [], new StreamSorters().sort(stream, payloads, payloads.length))
  }
  await db.query('COMMIT')
  return payloads.length
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
