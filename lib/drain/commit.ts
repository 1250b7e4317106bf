/**
 * One transaction for consecutive frames: ledger, COPY, row count, COMMIT.
 *
 *   BEGIN
 *   UPDATE ingest_ledger … WHERE spool_id = … AND epoch = … AND last_sequence = …   compare and set: one row, or ROLLBACK
 *   [SELECT orbitstream_note_rows(…)]                                               whether rows are late: sql/0005
 *   [COPY telemetry FROM STDIN (FORMAT binary)]                                     count must equal what was sent
 *   [COPY satellites_late FROM STDIN (FORMAT binary)]                               if they are
 *   [COPY anomalies FROM STDIN (FORMAT binary)]                                     here too
 *   [INSERT INTO quarantined_rows]
 *   COMMIT
 *
 * All as far as the COPY of telemetry is one round trip, and COMMIT another: with little load the round trips are what a
 * transaction costs. The ledger comes first: a backend that is still committing an earlier try holds the row's lock, so a
 * retry waits for it and then sees that the ledger has moved. So no frame is stored twice, whatever is
 * known of an earlier COMMIT.
 */
import type { FrameRun, Position } from '../journal/journal.js'
import { ANOMALY_COLUMNS } from '../pipeline/rows/anomaly-rows.js'
import { ROW_COLUMNS } from '../pipeline/rows/rows.js'
import type { CopyStream, RowTimes } from './copy-rows.js'
import type { Database } from '../database/connection.js'
import type { DirectCompress } from './direct-compress.js'
import type { PoisonRow } from './poison.js'

/** A little inside of 4713 BC and 294276 AD. */
const TIMESTAMP_SECONDS_MIN = -2.1e11
const TIMESTAMP_SECONDS_MAX = 9.2e12

/** Quarantined rows of one statement: some hundred kilobytes. */
const POISON_ROWS_MAX = 1_000

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

const COPY_SQL = {
  telemetry: `COPY telemetry (${ROW_COLUMNS.map(quoted).join(', ')}) FROM STDIN (FORMAT binary)`,
  satellites_late: `COPY satellites_late (${ROW_COLUMNS.map(quoted).join(', ')}) FROM STDIN (FORMAT binary)`,
  anomalies: `COPY anomalies (${ANOMALY_COLUMNS.map(quoted).join(', ')}) FROM STDIN (FORMAT binary)`
}

/** The position that the ledger shows; null if it has no row. Waits for a transaction that is still under way on it. */
export async function readLedger (db: Database, spoolId: string): Promise<Position | null> {
  const { rows } = await db.query<{ epoch: string, last_sequence: string }>(
    'SELECT epoch::text, last_sequence::text FROM ingest_ledger WHERE spool_id = $1 FOR UPDATE', [spoolId])
  const row = rows[0]
  return row === undefined ? null : { epoch: Number(row.epoch), sequence: Number(row.last_sequence) }
}

/** Enters a spool that the ledger does not know, at the position before its first frame. */
export async function enterLedger (db: Database, spoolId: string): Promise<Position> {
  await db.query('INSERT INTO ingest_ledger (spool_id, epoch, last_sequence) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING', [spoolId])
  return { epoch: 0, sequence: 0 }
}

/** Rows of a run as they are to be stored: those of telemetry, and what else the transaction holds. */
export interface CommitRows extends CopyStream {
  /** Without it: no anomaly. */
  readonly anomalies?: CopyStream | null
  readonly poison: readonly PoisonRow[]
  /** Without it late rows are not noted. */
  readonly times?: RowTimes
}

/**
 * Moves the ledger from `from` to the end of the run and stores the rows, all or nothing.
 * False: the ledger is not at `from`; nothing was stored, read it again. Throws what the database or the connection threw:
 * then the outcome is unknown and the connection must be thrown away.
 */
export async function commitRun (db: Database, spoolId: string, from: Position, run: FrameRun, rows: CommitRows, compress: DirectCompress | null = null): Promise<boolean> {
  const begin = [
    'BEGIN',
    `UPDATE ingest_ledger SET epoch = ${run.epoch}, last_sequence = ${run.lastSequence}, rows_total = rows_total + ${rows.copyRows}, updated_at = now() ` +
    `WHERE spool_id = '${spoolId.replaceAll("'", "''")}' AND epoch = ${from.epoch} AND last_sequence = ${from.sequence}`
  ]
  const moved = rows.copyRows > 0 ? (await storeRows(db, begin, rows, compress))[1] : (await db.query(begin.join('; '))).rowCount
  if (moved !== 1) {
    await db.query('ROLLBACK')
    return false
  }
  if (rows.anomalies != null && rows.anomalies.copyRows > 0) await copyRows(db, 'anomalies', rows.anomalies)
  for (let from = 0; from < rows.poison.length; from += POISON_ROWS_MAX) await insertPoison(db, spoolId, run, rows.poison.slice(from, from + POISON_ROWS_MAX))
  await db.query('COMMIT')
  return true
}

/**
 * Stores rows of telemetry, at least one, in the transaction that is open or that the statements before them begin. Late
 * rows are noted, so that rollups and satellites_latest miss none, however late it comes or commits.
 * Gives how many rows each of the statements returned or changed.
 */
export async function storeRows (db: Database, before: readonly string[], rows: Pick<CommitRows, 'copy' | 'copyRows' | 'times'>, compress: DirectCompress | null = null): Promise<readonly number[]> {
  const { times, copyRows: sent } = rows
  const setting = compress?.setting(sent) ?? null
  const statements = [...before, ...setting === null ? [] : [setting], ...times === undefined ? [] : [noteStatement(times)]]
  const { counts, copied } = await db.copyAfter(statements, COPY_SQL.telemetry, [rows.copy])
  assertTaken('telemetry', copied, sent)
  if (times !== undefined && counts.at(-1) === 1) await copyRows(db, 'satellites_late', times.newest())
  return counts.slice(0, before.length)
}

/** Gives a row if some of the rows are late. Asked before them, for the sake of the round trip: the lock that it takes is held until COMMIT. */
function noteStatement ({ lowestMicros, bucketsMicros }: RowTimes): string {
  // One constant, however many they are: a month of late rows has a quarter of a million.
  const buckets = `ARRAY(SELECT to_timestamp(b) FROM unnest('{${bucketsMicros.map(seconds).join(',')}}'::double precision[]) b)`
  // A millisecond less than the earliest: fractions of seconds are not exact here.
  return `SELECT 1 WHERE public.orbitstream_note_rows(to_timestamp(${seconds(lowestMicros) - 0.001}), ${buckets})`
}

/** As far as to_timestamp goes: what lies beyond is as late, or as early. */
function seconds (micros: number): number {
  return Math.min(Math.max(micros / 1e6, TIMESTAMP_SECONDS_MIN), TIMESTAMP_SECONDS_MAX)
}

/** COPYs a stream into a table, after some statements; fails unless the server took as many rows as are in it. */
export async function copyRows (db: Database, table: keyof typeof COPY_SQL, { copy, copyRows: rows }: CopyStream, before: readonly string[] = []): Promise<void> {
  const { copied } = await db.copyAfter(before, COPY_SQL[table], [copy])
  assertTaken(table, copied, rows)
}

/** A stream that was cut short, or rows that were mistaken for the trailer, would pass unseen otherwise. */
function assertTaken (table: keyof typeof COPY_SQL, copied: number, rows: number): void {
  if (copied !== rows) throw new Error(`COPY into ${table} took ${copied} rows of ${rows}`)
}

async function insertPoison (db: Database, spoolId: string, run: FrameRun, poison: readonly PoisonRow[]): Promise<void> {
  await db.query(
    'INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row, row_bytes) ' +
    'SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[], $6::jsonb[], $7::bytea[])',
    [spoolId, run.epoch, run.lastSequence, poison.map((row) => row.sqlState), poison.map((row) => row.reason), poison.map((row) => row.json), poison.map((row) => row.bytes)])
}
