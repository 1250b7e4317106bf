import { sqlState } from './connection.js'
import type { Database } from './database.js'

/**
 * The timeline of the server, which grows with each promotion and restore: an old primary that came back has a lower
 * one than its successor. Null: the server does not tell (some hosted ones).
 * Source: PostgreSQL manual, "Timelines"; a WAL file's name begins with it, as eight hexadecimal digits.
 */
export async function readTimeline (db: Database): Promise<number | null> {
  try {
    const { rows: [row] } = await db.query<{ name: string }>(
      'SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) AS name')
    return row === undefined ? null : Number.parseInt(row.name.slice(0, 8), 16)
  } catch (error) {
    if (sqlState(error) === null || !db.alive) throw error
    return null
  }
}
