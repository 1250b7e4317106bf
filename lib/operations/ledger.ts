/** The ledger for operators: read without locks, so that nothing waits for them. */
import type { LedgerPosition } from '../journal/journal.js'
import type { Database } from '../database/database.js'

/** The row of one spool. */
export interface LedgerEntry {
  readonly position: LedgerPosition
  /** Rows of this spool stored so far. */
  readonly storedRows: number
  readonly updatedAt: Date
}

interface LedgerRow {
  readonly epoch: string
  readonly last_sequence: string
  readonly epoch_id: string | null
  readonly rows_total: string
  readonly updated_at: Date
}

/** Null: the database has no row for this spool. */
export async function lookUpLedger (db: Database, spoolId: string): Promise<LedgerEntry | null> {
  const { rows } = await db.query<LedgerRow>(
    'SELECT epoch::text, last_sequence::text, epoch_id, rows_total::text, updated_at FROM ingest_ledger ' +
    'WHERE spool_id = $1', [spoolId])
  const row = rows[0]
  if (row === undefined) return null
  const position = { epoch: Number(row.epoch), sequence: Number(row.last_sequence), epochId: row.epoch_id }
  return { position, storedRows: Number(row.rows_total), updatedAt: row.updated_at }
}

/**
 * Sets the position of a spool.
 * @param seen where the ledger was last seen; null: it had no row
 * @returns false: the ledger has moved since; nothing was changed
 */
export async function setLedger (
  db: Database, spoolId: string, seen: LedgerPosition | null, { epoch, sequence, epochId }: LedgerPosition
): Promise<boolean> {
  const values = [spoolId, epoch, sequence, epochId]
  const { rowCount } = seen === null
    ? await db.query(
      'INSERT INTO ingest_ledger (spool_id, epoch, last_sequence, epoch_id) VALUES ($1, $2, $3, $4) ' +
      'ON CONFLICT DO NOTHING', values)
    : await db.query(
      'UPDATE ingest_ledger SET epoch = $2, last_sequence = $3, epoch_id = $4, updated_at = now() ' +
      'WHERE spool_id = $1 AND epoch = $5 AND last_sequence = $6 AND epoch_id IS NOT DISTINCT FROM $7',
      [...values, seen.epoch, seen.sequence, seen.epochId])
  return rowCount === 1
}
