/**
 * The table quarantined_rows, for operators: looks at it, tries its rows again, drops them.
 *
 * A row that is stored leaves the table in the same transaction, deleted before the COPY: two that retry at once, or a
 * COMMIT whose answer was lost, store no row twice.
 */
import { TELEMETRY } from '../../protocol/metrics.js'
import { ROW_COLUMNS, rowEnd, rowToPoint } from '../pipeline/rows/rows.js'
import { storeRows } from '../drain/commit.js'
import { CopySorter } from '../drain/copy-rows.js'
import type { Database } from '../database/connection.js'
import { separateRefused } from '../drain/missing-partition.js'
import { isDataError } from '../drain/poison.js'

/** Rows by id, or every row. Ids are bigints in decimal. */
export type QuarantineSelection = readonly string[] | 'all'

export interface QuarantinedRow {
  readonly id: string
  readonly quarantinedAt: Date
  readonly spoolId: string
  readonly epoch: string
  readonly sequence: string
  readonly sqlState: string
  /** The server's words. */
  readonly reason: string
  /** The row as far as it can be read. */
  readonly point: Readonly<Record<string, unknown>> | null
  /** In the format of rows.ts; null for rows that never had it. */
  readonly bytes: Buffer | null
}

export interface RetryOutcome {
  stored: number
  refused: number
  /** Why, with the number of rows; the first REASONS_MAX. */
  readonly reasons: Map<string, number>
  /** Ids that are not there. */
  readonly unknown: readonly string[]
}

interface WaitingRow {
  readonly id: string
  readonly bytes: Buffer
}

/** Rows of one transaction. */
const CHUNK_ROWS = 1_000
/** Different reasons that are told apart. */
const REASONS_MAX = 20
const OTHER_REASONS = 'other reasons'
const UNREADABLE = 'the row is not kept in a form that COPY takes; see its JSON'

/** The newest rows first, at most `limit`, and how many there are. */
export async function listQuarantined (db: Database, limit: number): Promise<{ rows: QuarantinedRow[], total: number }> {
  const { rows: [count] } = await db.query<{ total: string }>('SELECT count(*)::text AS total FROM quarantined_rows')
  const { rows } = await db.query<{ id: string, quarantined_at: Date, spool_id: string, epoch: string, sequence: string, sqlstate: string, reason: string, row: Record<string, unknown> | null, row_bytes: Buffer | null }>(
    'SELECT id::text, quarantined_at, spool_id, epoch::text, sequence::text, sqlstate, reason, row, row_bytes FROM quarantined_rows ORDER BY quarantined_rows.id DESC LIMIT $1', [limit])
  return {
    total: Number(count?.total),
    rows: rows.map((row) => ({
      id: row.id,
      quarantinedAt: row.quarantined_at,
      spoolId: row.spool_id,
      epoch: row.epoch,
      sequence: row.sequence,
      sqlState: row.sqlstate,
      reason: row.reason,
      point: row.row ?? (row.row_bytes !== null && readsAsRow(row.row_bytes) ? rowToPoint(row.row_bytes, TELEMETRY) : null),
      bytes: row.row_bytes
    }))
  }
}

/** Deletes rows for good. */
export async function dropQuarantined (db: Database, selection: QuarantineSelection): Promise<{ dropped: number, unknown: string[] }> {
  if (selection === 'all') return { dropped: (await db.query('DELETE FROM quarantined_rows')).rowCount, unknown: [] }
  const { rows } = await db.query<{ id: string }>('DELETE FROM quarantined_rows WHERE id = ANY($1::bigint[]) RETURNING id::text', [selection])
  return { dropped: rows.length, unknown: missing(selection, rows.map(({ id }) => id)) }
}

/**
 * Stores rows that PostgreSQL takes now; the others stay where they are.
 * @param onProgress after each transaction
 */
export async function retryQuarantined (db: Database, selection: QuarantineSelection, onProgress: (outcome: RetryOutcome) => void): Promise<RetryOutcome> {
  const ids = await choose(db, selection)
  const outcome: RetryOutcome = { stored: 0, refused: 0, reasons: new Map(), unknown: selection === 'all' ? [] : missing(selection, ids) }
  for (let from = 0; from < ids.length; from += CHUNK_ROWS) {
    await retryChunk(db, ids.slice(from, from + CHUNK_ROWS), outcome)
    onProgress(outcome)
  }
  return outcome
}

/** Ids that are there; those that come while rows are tried wait for the next time. */
async function choose (db: Database, selection: QuarantineSelection): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'SELECT id::text FROM quarantined_rows WHERE $1::bigint[] IS NULL OR id = ANY($1) ORDER BY quarantined_rows.id', [selection === 'all' ? null : selection])
  return rows.map(({ id }) => id)
}

async function retryChunk (db: Database, ids: readonly string[], outcome: RetryOutcome): Promise<void> {
  const { rows } = await db.query<{ id: string, row_bytes: Buffer | null }>(
    'SELECT id::text, row_bytes FROM quarantined_rows WHERE id = ANY($1::bigint[]) ORDER BY quarantined_rows.id', [ids])
  const waiting: WaitingRow[] = []
  for (const { id, row_bytes: bytes } of rows) {
    if (bytes !== null && readsAsRow(bytes)) waiting.push({ id, bytes })
    else refuse(outcome, UNREADABLE)
  }
  try {
    outcome.stored += await storeAndDelete(db, waiting)
  } catch (error) {
    if (!isDataError(error)) throw error
    await db.query('ROLLBACK')
    outcome.stored += await storeThoseThatPass(db, waiting, error, outcome)
  }
}

async function storeThoseThatPass (db: Database, waiting: readonly WaitingRow[], cause: unknown, outcome: RetryOutcome): Promise<number> {
  const { good, poison } = await separateRefused(db, waiting.map((row) => row.bytes), cause)
  for (const { reason } of poison) refuse(outcome, reason)
  const passed = new Set(good)
  return await storeAndDelete(db, waiting.filter((row) => passed.has(row.bytes)))
}

/** One transaction. Rows that another retry took meanwhile are left out. Gives how many were stored. */
async function storeAndDelete (db: Database, waiting: readonly WaitingRow[]): Promise<number> {
  if (waiting.length === 0) return 0
  await db.query('BEGIN')
  const { rows } = await db.query<{ id: string }>('DELETE FROM quarantined_rows WHERE id = ANY($1::bigint[]) RETURNING id::text', [waiting.map(({ id }) => id)])
  const taken = new Set(rows.map(({ id }) => id))
  const payloads = waiting.filter(({ id }) => taken.has(id)).map(({ bytes }) => bytes)
  if (payloads.length > 0) {
    const sorter = new CopySorter()
    const copy = sorter.sort(payloads, payloads.length)
    await storeRows(db, [], { copy, copyRows: payloads.length, times: sorter.times(payloads, payloads.length) })
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

/** Whether the bytes are one row of today's format: a metric that was added since changes it. */
function readsAsRow (bytes: Buffer): boolean {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    return view.getInt16(0) === ROW_COLUMNS.length && rowEnd(view, 0) === bytes.length
  } catch {
    return false
  }
}
