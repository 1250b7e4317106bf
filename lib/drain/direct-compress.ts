/**
 * Direct compress of TimescaleDB: a large COPY is written as compressed batches at once, instead of rows that a policy
 * compresses later. The server leaves it out without a word where it cannot, so that is found out here.
 */
import type { Database } from '../database/connection.js'

/** Below it a compressed batch holds few rows of each satellite, and takes more room than rows would. */
const ROWS_MIN = 10_000

/** Decides for each COPY of a connection. */
export interface DirectCompress {
  /** A statement to go before a COPY of so many rows, in its transaction; null: none. */
  setting (rows: number): string | null
}

interface Row {
  readonly version: string | null
  readonly known: boolean
  readonly aggregates: boolean
  readonly blockers: string[]
}

/** For one connection; nothing is compressed at once where the server cannot. */
export async function inspectDirectCompress (db: Database): Promise<DirectCompress> {
  const works = await directCompressHindrance(db) === null
  return {
    setting: (rows) => works && rows >= ROWS_MIN ? 'SET LOCAL timescaledb.enable_direct_compress_copy = on' : null
  }
}

/** Why the server would not compress a COPY into telemetry at once, for people; null: it would. Changes nothing. */
export async function directCompressHindrance (db: Database): Promise<string | null> {
  const { rows: [row] } = await db.query<Row>(`
    SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS version,
           EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.enable_direct_compress_copy') AS known,
           EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.rollup_10s') AND relkind = 'v') AS aggregates,
           ARRAY(SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = to_regclass('public.telemetry') AND (indisunique OR indisexclusion)
                 UNION ALL
                 -- Those that TimescaleDB itself puts on a hypertable do not count.
                 SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass('public.telemetry') AND NOT tgisinternal
                   AND tgname NOT IN ('ts_insert_blocker', 'ts_cagg_invalidation_trigger')) AS blockers`)
  if (row?.version == null) return 'the database has no TimescaleDB'
  if (!row.known) return `TimescaleDB ${row.version} does not know it, 2.21 and newer do`
  // Source: release notes of TimescaleDB 2.24.
  if (row.aggregates && isBefore(row.version, 2, 24)) return `TimescaleDB ${row.version} leaves it out on tables with continuous aggregates, such as telemetry; 2.24 and newer do not`
  if (row.blockers.length > 0) return `TimescaleDB leaves it out on tables with unique indexes or triggers, and telemetry has ${row.blockers.join(', ')}`
  return null
}

function isBefore (version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(part => parseInt(part, 10))
  return ownMajor < major || (ownMajor === major && ownMinor < minor)
}
