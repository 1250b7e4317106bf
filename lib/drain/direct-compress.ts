/**
 * TimescaleDB's direct compress: a large COPY is written as compressed batches right away, instead of as rows that a
 * policy compresses later. The server silently skips it where it is unsupported, so that is detected here.
 */
import type { Database } from '../database/database.js'
import { isOlder } from '../schema/server-kind.js'

/** With fewer rows a compressed batch has few per satellite, and takes more space than plain rows. */
const ROWS_MIN = 10_000

/** The decision for each COPY of one connection. */
export interface DirectCompress {
  /** Statement to run before a COPY of so many rows, in its transaction; null: none. */
  setting (rows: number): string | null
}

interface Row {
  readonly version: string | null
  readonly known: boolean
  readonly aggregates: boolean
  readonly blockers: string[]
}

/** For one connection; never compresses if the server does not support it. */
export async function inspectDirectCompress (db: Database): Promise<DirectCompress> {
  const works = await directCompressHindrance(db) === null
  return {
    setting: (rows) => works && rows >= ROWS_MIN ? 'SET LOCAL timescaledb.enable_direct_compress_copy = on' : null
  }
}

/** Why the server would not use direct compress for telemetry, as text; null: it would. Changes nothing. */
export async function directCompressHindrance (db: Database): Promise<string | null> {
  const { rows: [row] } = await db.query<Row>(`
    SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS version,
           EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.enable_direct_compress_copy') AS known,
           EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.rollup_10s') AND relkind = 'v') AS aggregates,
           ARRAY(SELECT indexrelid::regclass::text FROM pg_index
                 WHERE indrelid = to_regclass('public.telemetry') AND (indisunique OR indisexclusion)
                 UNION ALL
                 -- TimescaleDB's own triggers on a hypertable do not count.
                 SELECT tgname::text FROM pg_trigger
                 WHERE tgrelid = to_regclass('public.telemetry') AND NOT tgisinternal
                   AND tgname NOT IN ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')) AS blockers`)
  if (row?.version == null) return 'the database has no TimescaleDB'
  if (!row.known) return `TimescaleDB ${row.version} does not support it; 2.21 and newer do`
  // Source: release notes of TimescaleDB 2.24.
  if (row.aggregates && isOlder(row.version, 2, 24)) {
    return `TimescaleDB ${row.version} skips it for tables with continuous aggregates, such as telemetry; ` +
      '2.24 and newer do not'
  }
  if (row.blockers.length === 0) return null
  return `TimescaleDB skips it for tables with unique indexes or triggers, and telemetry has ${row.blockers.join(', ')}`
}
