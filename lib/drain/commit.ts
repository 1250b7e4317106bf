/**
 * One transaction for consecutive frames: ledger, COPY, row count, COMMIT.
 *
 *   BEGIN
 *   UPDATE ingest_ledger … WHERE the position is the one read     compare-and-set: one row, or ROLLBACK
 *   for each stream with rows:
 *     SELECT orbitstream_note_rows(…)                             whether rows are late: sql/0006
 *     COPY telemetry FROM STDIN (FORMAT binary)                   the row count must match
 *     [COPY satellites_late FROM STDIN (FORMAT binary)]           if rows are late
 *   [COPY anomalies FROM STDIN (FORMAT binary)]                   the row count must match
 *   [INSERT INTO quarantined_rows]
 *   [SELECT orbitstream_note_changes(…), COPY anomalies]          if there are limits on change: changes.ts
 *   COMMIT
 *
 * Everything up to the COPY of the first stream is one round trip, COMMIT is another: under light load the round trips
 * are the cost of a transaction. Tables and functions are those of the stream `telemetry` here (stream-tables.ts). The
 * ledger comes first: a backend still committing an earlier attempt holds the row's lock, so a retry waits for it and
 * then sees that the ledger has moved. So no frame is stored twice, whatever is known about an earlier COMMIT.
 */
import type { FrameRun, LedgerPosition } from '../journal/journal.js'
import { ANOMALY_COLUMNS } from '../pipeline/rows/anomaly-rows.js'
import { rowColumns } from '../pipeline/rows/rows.js'
import type { CopyStream, RowTimes } from './copy-rows.js'
import type { Database } from '../database/database.js'
import { identifier, literal } from '../database/quote.js'
import { streamSql } from '../database/stream-tables.js'
import type { Stream } from '../../protocol/catalogue.js'
import type { DirectCompress } from './direct-compress.js'

/** A valid row that PostgreSQL refuses. */
export interface PoisonRow {
  /** The row in the format of rows.ts or anomaly-rows.ts. */
  readonly bytes: Buffer
  readonly sqlState: string
  /** The server's message. */
  readonly reason: string
  /** The row itself may be fine. */
  readonly lacksPartition: boolean
  /** The row as JSON, for operators. Null if jsonb cannot represent it (a NUL character). */
  readonly json: string | null
  /** The name of its stream; of one that the catalogue does not have: its id, such as #7. */
  readonly stream: string
}

/** Just inside PostgreSQL's range, 4713 BC to 294276 AD. */
const TIMESTAMP_SECONDS_MIN = -2.1e11
const TIMESTAMP_SECONDS_MAX = 9.2e12

/** Quarantined rows in one statement: a few hundred kilobytes. */
export const POISON_ROWS_MAX = 1_000

const literalOrNull = (text: string | null): string => text === null ? 'NULL' : literal(text)

/** A table that rows are copied into, with its columns. */
export interface CopyTarget {
  readonly table: string
  readonly sql: string
}

function copyTarget (table: string, columns: readonly string[]): CopyTarget {
  return { table, sql: `COPY ${table} (${columns.map(identifier).join(', ')}) FROM STDIN (FORMAT binary)` }
}

export const ANOMALIES_TARGET = copyTarget('anomalies', ANOMALY_COLUMNS)

interface StreamTargets {
  readonly points: CopyTarget
  readonly late: CopyTarget
  /** The function that takes note of late rows. */
  readonly noteRows: string
}

const streamTargets = new WeakMap<Stream, StreamTargets>()

/** Where the rows of a stream go. */
export function targetsOf (stream: Stream): StreamTargets {
  let known = streamTargets.get(stream)
  if (known === undefined) {
    const columns = rowColumns(stream.schema)
    known = {
      points: copyTarget(streamSql('telemetry', stream.name), columns),
      late: copyTarget(streamSql('satellites_late', stream.name), columns),
      noteRows: streamSql('public.orbitstream_note_rows', stream.name)
    }
    streamTargets.set(stream, known)
  }
  return known
}

/** The ledger's position; null: no row. Waits for a transaction that is still changing it. */
export async function readLedger (db: Database, spoolId: string): Promise<LedgerPosition | null> {
  const { rows } = await db.query<{ epoch: string, last_sequence: string, epoch_id: string | null }>(
    'SELECT epoch::text, last_sequence::text, epoch_id FROM ingest_ledger WHERE spool_id = $1 FOR UPDATE', [spoolId])
  const row = rows[0]
  if (row === undefined) return null
  return { epoch: Number(row.epoch), sequence: Number(row.last_sequence), epochId: row.epoch_id }
}

/** Inserts the row of a new spool, at the position before its first frame. Returns where the row is. */
export async function enterLedger (db: Database, spoolId: string): Promise<LedgerPosition> {
  const { rowCount } = await db.query(
    'INSERT INTO ingest_ledger (spool_id, epoch, last_sequence) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING', [spoolId])
  if (rowCount === 1) return { epoch: 0, sequence: 0, epochId: null }
  const position = await readLedger(db, spoolId)
  if (position !== null) return position
  // A spool that believed to have a row would take the next look for the loss of it.
  throw new Error(`the row of ${spoolId} in ingest_ledger cannot be inserted: a trigger or a rule of that table ` +
    'prevents it')
}

/** A change of the ledger: from a position to the end of a run. */
export interface LedgerMove {
  readonly spoolId: string
  readonly from: LedgerPosition
  readonly run: FrameRun
}

/** Points of one stream, at least one. */
export interface StreamRows extends CopyStream {
  readonly stream: Stream
  readonly times: RowTimes
}

/** What one transaction stores: points by stream, and the rows of other tables. */
export interface CommitRows {
  readonly streams: readonly StreamRows[]
  /** Default: none. */
  readonly anomalies?: CopyStream | null
  readonly poison: readonly PoisonRow[]
  /** Last in the transaction, as it may lock rows that others wait for. Default: there is no limit on change. */
  readonly changes?: { note (db: Database, moves: LedgerMove): Promise<void> } | null
}

/**
 * Moves the ledger to the end of the run and stores the rows, all or nothing.
 * False: the ledger is not at `from`; nothing was stored, read it again. Throws the error of the database or the
 * connection: then the outcome is unknown, and the connection must be closed.
 */
export async function commitRun (
  db: Database, moves: LedgerMove, rows: CommitRows, compress: DirectCompress | null = null
): Promise<boolean> {
  const { streams: [first, ...others], anomalies, poison } = rows
  const begin = ['BEGIN', moveStatement(moves, rowsOf(rows))]
  const moved = first === undefined
    ? (await db.query(begin.join('; '))).rowCount
    : (await storeRows(db, begin, first, compress))[1]
  if (moved !== 1) {
    await db.query('ROLLBACK')
    return false
  }
  for (const other of others) await storeRows(db, [], other, compress)
  if (anomalies != null) await copyRows(db, ANOMALIES_TARGET, anomalies)
  for (let row = 0; row < poison.length; row += POISON_ROWS_MAX) {
    await insertPoison(db, moves, poison.slice(row, row + POISON_ROWS_MAX))
  }
  await rows.changes?.note(db, moves)
  await db.query('COMMIT')
  return true
}

/** Points of all streams. */
export function rowsOf ({ streams }: Pick<CommitRows, 'streams'>): number {
  return streams.reduce((sum, { copyRows }) => sum + copyRows, 0)
}

function moveStatement ({ spoolId, from, run }: LedgerMove, storedRows: number): string {
  return `UPDATE ingest_ledger SET epoch = ${run.epoch}, last_sequence = ${run.lastSequence}, ` +
    `epoch_id = ${literalOrNull(run.epochId)}, rows_total = rows_total + ${storedRows}, updated_at = now() ` +
    `WHERE spool_id = ${literal(spoolId)} AND epoch = ${from.epoch} AND last_sequence = ${from.sequence} ` +
    `AND epoch_id IS NOT DISTINCT FROM ${literalOrNull(from.epochId)}`
}

/**
 * Stores the rows of a stream, at least one, in the open transaction or in the one that the statements before them
 * begin.
 * Late rows are recorded, so that rollups and satellites_latest include them however late they arrive or commit.
 * Returns how many rows each of the statements returned or changed.
 */
export async function storeRows (
  db: Database,
  before: readonly string[],
  rows: StreamRows,
  compress: DirectCompress | null = null
): Promise<readonly number[]> {
  const { stream, times, copyRows: sent } = rows
  const { points, late, noteRows } = targetsOf(stream)
  const setting = compress?.setting(sent) ?? null
  const statements = [...before]
  if (setting !== null) statements.push(setting)
  statements.push(noteStatement(noteRows, times))
  const { counts, copied } = await db.copyAfter(statements, points.sql, [rows.copy])
  assertTaken(points, copied, sent)
  if (counts.at(-1) === 1) await copyRows(db, late, times.newest())
  return counts.slice(0, before.length)
}

/** Returns a row if some rows are late. Runs before the COPY to save a round trip; its lock lasts until COMMIT. */
function noteStatement (noteRows: string, { lowestMicros, bucketsMicros }: RowTimes): string {
  // One constant for all of them: a month of late rows has a quarter of a million buckets.
  const list = `'{${bucketsMicros.map(seconds).join(',')}}'::double precision[]`
  const buckets = `ARRAY(SELECT to_timestamp(b) FROM unnest(${list}) b)`
  // A millisecond before the earliest time: fractions of seconds are not exact here.
  return `SELECT 1 WHERE ${noteRows}(to_timestamp(${seconds(lowestMicros) - 0.001}), ${buckets})`
}

/** Clamped to the range of to_timestamp: anything beyond is just as late, or as early. */
function seconds (micros: number): number {
  return Math.min(Math.max(micros / 1e6, TIMESTAMP_SECONDS_MIN), TIMESTAMP_SECONDS_MAX)
}

/** COPYs a stream into a table, after other statements; throws unless the server took all of its rows. */
export async function copyRows (
  db: Database, target: CopyTarget, { copy, copyRows: rows }: CopyStream, before: readonly string[] = []
): Promise<void> {
  const { copied } = await db.copyAfter(before, target.sql, [copy])
  assertTaken(target, copied, rows)
}

/** Detects a truncated stream, and rows mistaken for the trailer. */
function assertTaken ({ table }: CopyTarget, copied: number, rows: number): void {
  if (copied !== rows) {
    throw new Error(`COPY into ${table} took ${copied} rows of ${rows}: does a trigger of that table leave rows out?`)
  }
}

/** Throws unless the server took all: they would be nowhere. @param poison at most POISON_ROWS_MAX rows */
export async function insertPoison (
  db: Database, { spoolId, run }: LedgerMove, poison: readonly PoisonRow[]
): Promise<void> {
  const columns = [
    poison.map((row) => row.sqlState),
    poison.map((row) => row.reason),
    poison.map((row) => row.json),
    poison.map((row) => row.bytes),
    poison.map((row) => row.stream)
  ]
  const { rowCount } = await db.query(
    'INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row, row_bytes, stream) ' +
    'SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[], $6::jsonb[], $7::bytea[], $8::text[])',
    [spoolId, run.epoch, run.lastSequence, ...columns])
  if (rowCount === poison.length) return
  throw new Error(`quarantined_rows took ${rowCount} rows of ${poison.length}: ` +
    'does a trigger or a rule of that table leave rows out?')
}
