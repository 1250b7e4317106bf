/** The ledger as operators look at it: read without locks, so that nothing waits for them. */
import type { Position } from '../journal/journal.js'
import type { Database } from '../database/connection.js'

/** The row of one spool. */
export interface LedgerEntry {
  readonly position: Position
  /** Rows of this spool that were stored, since it is. */
  readonly storedRows: number
  readonly updatedAt: Date
}

/** Null: the database does not know this spool. */
export async function lookUpLedger (db: Database, spoolId: string): Promise<LedgerEntry | null> {
  const { rows } = await db.query<{ epoch: string, last_sequence: string, rows_total: string, updated_at: Date }>(
    'SELECT epoch::text, last_sequence::text, rows_total::text, updated_at FROM ingest_ledger WHERE spool_id = $1', [spoolId])
  const row = rows[0]
  if (row === undefined) return null
  return { position: { epoch: Number(row.epoch), sequence: Number(row.last_sequence) }, storedRows: Number(row.rows_total), updatedAt: row.updated_at }
}

/**
 * Sets the row of a spool by the decision of a person.
 * False: the ledger does not stand where it was seen (null: no row); nothing is changed.
 * @param storedRows that a new row begins with
 */
export async function setLedger (db: Database, spoolId: string, seen: Position | null, position: Position, storedRows: number): Promise<boolean> {
  const { rowCount } = seen === null
    ? await db.query('INSERT INTO ingest_ledger (spool_id, epoch, last_sequence, rows_total) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [spoolId, position.epoch, position.sequence, storedRows])
    : await db.query('UPDATE ingest_ledger SET epoch = $4, last_sequence = $5, updated_at = now() WHERE spool_id = $1 AND epoch = $2 AND last_sequence = $3',
      [spoolId, seen.epoch, seen.sequence, position.epoch, position.sequence])
  return rowCount === 1
}
