/** Databases as the last build before 0.1.0 left them. */
import type { Database } from '../../../lib/database/database.js'
import type { ServerKind } from '../../../lib/schema/server-kind.js'

const COMMON = [
  '0001-ledger', '0004-limits', '0005-latest', '0007-reader', '0008-ingest-stats', '0009-limits-of',
  '0010-newest-points',
  '0014-limits-of', '0016-limits-of', '0017-newest-points', '0020-rollup-locks'
]
const OF_KIND = {
  plain: [
    '0002-telemetry', '0003-anomalies', '0006-rollups', '0011-roll-up', '0012-rollup-views', '0018-partitions',
    '0021-rollup-buckets'
  ],
  timescale: [
    '0002-telemetry', '0003-anomalies', '0006-rollups', '0013-rollups', '0015-anomalies', '0018-partitions',
    '0021-rollups'
  ]
}
/** Of the file 0001-ledger.common.sql. */
const FIRST_CHECKSUM = 'b6af5a531bdb185b94e4445b424393dd6e0729dad0fd1a012eb470d3944a87d3'

/** Functions that 0.1.0 dropped, and the one it shortened. Bodies do not matter. */
const FUNCTIONS = `
  CREATE FUNCTION orbitstream_ensure_partitions (from_time timestamptz, to_time timestamptz) RETURNS SETOF text
  LANGUAGE sql AS 'SELECT NULL::text WHERE false';
  CREATE FUNCTION orbitstream_drop_partitions (before_time timestamptz) RETURNS SETOF text
  LANGUAGE sql AS 'SELECT NULL::text WHERE false';
  CREATE FUNCTION orbitstream_drop_rollups (width text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
  CREATE OR REPLACE FUNCTION orbitstream_writers () RETURNS TABLE (virtualtransaction text) LANGUAGE sql AS $$
    SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory'
  $$`

/** Turns an up-to-date database into one of that build. @param last number of its last migration */
export async function makePrerelease (database: Database, kind: ServerKind, last = 21): Promise<void> {
  const rows = [...COMMON.map((name) => ({ name, of: 'common' })), ...OF_KIND[kind].map((name) => ({ name, of: kind }))]
    .map(({ name, of }) => ({ version: parseInt(name, 10), name, of }))
    .filter(({ version }) => version <= last)
  await database.query(FUNCTIONS)
  await database.query('DELETE FROM schema_migrations')
  for (const { version, name, of } of rows) {
    const checksum = version === 1 ? FIRST_CHECKSUM : `of ${name}`
    await database.query(
      'INSERT INTO schema_migrations (version, name, checksum, kind) VALUES ($1, $2, $3, $4)',
      [version, name, checksum, of])
  }
}

/** Every function as the server has it: what a conversion must leave as in a new database. */
export async function functionsOf (database: Database): Promise<string[]> {
  const { rows } = await database.query<{ definition: string }>(`
    SELECT pg_get_functiondef(oid) AS definition FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'orbitstream%' ORDER BY oid::regprocedure::text`)
  return rows.map(({ definition }) => definition)
}

export async function historyOf (database: Database): Promise<unknown[]> {
  return (await database.query('SELECT version, name, checksum, kind FROM schema_migrations ORDER BY version')).rows
}
