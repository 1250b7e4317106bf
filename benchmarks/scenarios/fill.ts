/** Rows made by the database itself, in the order in which COPYs bring them: blocks sorted by satellite, then time. */
import type { Database } from '../../lib/database/connection.js'
import { DAY_MS, makePartitions } from '../../lib/schema/partitions.js'

export interface Fill {
  readonly rows: number
  readonly satellites: number
  /** The rows spread over this time. */
  readonly spanSeconds: number
  /** The end of that time; without it: now. */
  readonly untilSecondsAgo?: number
}

/** Rows of one sorted block, as one COPY under load holds. */
const BLOCK_ROWS = 40_000
const STATEMENT_ROWS = 2_000_000

export async function fillTable (db: Database, { rows, satellites, spanSeconds, untilSecondsAgo = 0 }: Fill): Promise<void> {
  // One end of time for all statements.
  const nowMicros = (Date.now() - untilSecondsAgo * 1000) * 1000
  await makePartitions(db, Array.from({ length: Math.ceil(spanSeconds * 1000 / DAY_MS) + 1 }, (_, day) => nowMicros / 1000 - day * DAY_MS))
  const perSatellite = Math.max(1, Math.floor(BLOCK_ROWS / satellites))
  const block = perSatellite * satellites
  // Also the last block has its whole time, so that no row of it lies in the future.
  const places = Math.ceil(rows / block) * block
  const microsPerRow = spanSeconds * 1e6 / places
  for (let from = 0; from < rows; from += STATEMENT_ROWS) {
    const to = Math.min(rows, from + STATEMENT_ROWS) - 1
    await db.query(
      'INSERT INTO telemetry ("time", satellite_id, battery_charge_percent, storage_usage_mb, signal_strength_dbm) ' +
      "SELECT to_timestamp(($1::float8 - ($2::bigint - n / $3::bigint * $3::bigint - n % $4::bigint * $5::bigint) * $6::float8) / 1e6), 'SAT-' || lpad((n / $4::bigint % $5::bigint)::text, 5, '0'), 50, 1, -70 " +
      'FROM generate_series($7::bigint, $8::bigint) n',
      [nowMicros, places, block, perSatellite, satellites, microsPerRow, from, to])
  }
  await rollUp(db, untilSecondsAgo + spanSeconds)
  await db.query("SELECT brin_summarize_new_values(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'brin' AND c.relkind = 'i' AND c.relname LIKE '%telemetry%'")
  await db.query('CHECKPOINT')
}

/** Half an hour of buckets in one transaction. */
const BUCKETS = 180

/** These rows did not come by COPY: rollups are told, and made, before anything is measured. */
async function rollUp (db: Database, spanSeconds: number): Promise<void> {
  const { rows } = await db.query<{ there: boolean }>("SELECT to_regprocedure('orbitstream_roll_up_again(integer)') IS NOT NULL AS there")
  if (rows[0]?.there !== true) return
  await db.query("INSERT INTO rollup_dirty (bucket) SELECT generate_series(time_bucket('10 seconds', now() - ($1::float8 + 60) * interval '1 second'), now(), '10 seconds')", [spanSeconds])
  await db.query("SELECT orbitstream_note_latest(now() - ($1::float8 + 60) * interval '1 second', now())", [spanSeconds])
  // The primary may be at it too: then it is asked again.
  const left = async (): Promise<boolean> => (await db.query('SELECT FROM rollup_dirty WHERE bucket < (SELECT watermark FROM rollup_state) LIMIT 1')).rowCount > 0
  while (await left()) await db.query('SELECT orbitstream_roll_up_again($1)', [BUCKETS])
  // As autovacuum does within minutes.
  await db.query('VACUUM ANALYZE rollup_10s, rollup_1m, satellites_last, telemetry')
}
