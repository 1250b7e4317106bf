/** Rows made by the database itself, in the order in which COPYs bring them: blocks sorted by satellite, then time. */
import type { Database } from '../../lib/store/db.js'

export interface Fill {
  readonly rows: number
  readonly satellites: number
  /** The rows spread over this time before now. */
  readonly spanSeconds: number
}

/** Rows of one sorted block, as one COPY under load holds. */
const BLOCK_ROWS = 40_000
const STATEMENT_ROWS = 2_000_000

export async function fillTable (db: Database, { rows, satellites, spanSeconds }: Fill): Promise<void> {
  // One end of time for all statements.
  const nowMicros = Date.now() * 1000
  const perSatellite = Math.max(1, Math.floor(BLOCK_ROWS / satellites))
  const microsPerRow = spanSeconds * 1e6 / rows
  for (let from = 0; from < rows; from += STATEMENT_ROWS) {
    const to = Math.min(rows, from + STATEMENT_ROWS) - 1
    await db.query(
      'INSERT INTO telemetry ("time", satellite_id, battery_charge_percent, storage_usage_mb, signal_strength_dbm) ' +
      "SELECT to_timestamp(($1::float8 - ($2::bigint - n / $3::bigint * $3::bigint - n % $4::bigint * $5::bigint) * $6::float8) / 1e6), 'SAT-' || lpad((n / $4::bigint % $5::bigint)::text, 5, '0'), 50, 1, -70 " +
      'FROM generate_series($7::bigint, $8::bigint) n',
      [nowMicros, rows, perSatellite * satellites, perSatellite, satellites, microsPerRow, from, to])
  }
  await db.query("SELECT brin_summarize_new_values(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'brin' AND c.relkind = 'i' AND c.relname LIKE '%telemetry%'")
  await db.query('CHECKPOINT')
}
