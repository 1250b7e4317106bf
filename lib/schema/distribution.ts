/**
 * Citus: the tables of a database that are spread over its worker nodes (DISTRIBUTE=on).
 *
 *   points, rollups, anomalies   by satellite: what belongs to a satellite is on one node
 *   rollup_dirty                 a copy on every node: the views of rollups join it
 *   everything else              on the coordinator, the ledger too: a transaction of a drain commits on all nodes
 *
 * Partitions that are made later are distributed with their table, and so are the tables of streams that join a
 * database whose telemetry is.
 */
import { TELEMETRY, type Stream } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { tablesOf } from '../database/stream-tables.js'
import { StartupError } from '../support/startup-error.js'
import type { ServerKind } from './server-kind.js'

export interface DistributionSettings {
  /** Whether tables are to be distributed. Default: off, which leaves those alone that are. */
  readonly distribute?: 'on' | 'off'
}

/** What all others are placed like: a database is distributed if this table is. */
const { points: FIRST } = tablesOf(TELEMETRY)

/**
 * What distributes the tables that are not; changes nothing. Existing rows are moved, which locks a table meanwhile.
 * @throws {StartupError} the database cannot do it
 */
export async function distributionStatements (
  database: Database, kind: ServerKind, streams: readonly Stream[], { distribute = 'off' }: DistributionSettings
): Promise<string[]> {
  await assertDistributable(database, kind, { distribute })
  const distributed = await isInstalled(database) ? await readDistributed(database) : new Set<string>()
  if (distribute !== 'on' && !distributed.has(FIRST)) return []
  const tables = streams.map(({ name }) => tablesOf(name))
  const bySatellite = new Set([
    FIRST, 'public.anomalies', ...tables.flatMap(({ points, rollupTens, rollupMinutes }) =>
      [points, rollupTens, rollupMinutes])
  ])
  const everywhere = tables.map(({ rollupDirty }) => rollupDirty)
  const missing = (names: Iterable<string>): string[] => [...names].filter((name) => !distributed.has(name))
  return [
    ...missing(bySatellite).map((table) => `SELECT create_distributed_table('${table}', 'satellite_id'` +
      `${table === FIRST ? '' : `, colocate_with => '${FIRST}'`})`),
    ...missing(everywhere).map((table) => `SELECT create_reference_table('${table}')`)
  ]
}

/** @throws {StartupError} the tables are to be distributed, and cannot be */
export async function assertDistributable (
  database: Database, kind: ServerKind, { distribute = 'off' }: DistributionSettings
): Promise<void> {
  if (distribute === 'off') return
  if (kind === 'timescale') {
    throw new StartupError(
      'DISTRIBUTE=on does not work with TimescaleDB: use a database without it, or set DISTRIBUTE=off.')
  }
  if (await isInstalled(database)) return
  throw new StartupError(
    'DISTRIBUTE=on needs the extension Citus: have a superuser run CREATE EXTENSION citus in this database and in ' +
    'those of the worker nodes, and add them with citus_add_node(); see docs/SCALE.md.')
}

async function isInstalled (database: Database): Promise<boolean> {
  const { rowCount } = await database.query("SELECT FROM pg_extension WHERE extname = 'citus'")
  return rowCount > 0
}

async function readDistributed (database: Database): Promise<ReadonlySet<string>> {
  const { rows } = await database.query<{ name: string }>(`
    SELECT format('%s.%s', n.nspname, c.relname) AS name
    FROM pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT c.relispartition`)
  return new Set(rows.map(({ name }) => name))
}
