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
import type { Stream } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { streamSql, tablesOf } from '../database/stream-tables.js'
import { StartupError } from '../support/startup-error.js'
import type { ServerKind } from './server-kind.js'

export interface DistributionSettings {
  /** Whether tables are to be distributed. Default: off, which leaves those alone that are. */
  readonly distribute?: 'on' | 'off'
}

const TELEMETRY = 'public.telemetry'

/**
 * What distributes the tables that are not; changes nothing. Existing rows are moved, which locks a table meanwhile.
 * @throws {StartupError} the database cannot do it
 */
export async function distributionStatements (
  database: Database, kind: ServerKind, streams: readonly Stream[], { distribute = 'off' }: DistributionSettings
): Promise<string[]> {
  const hasCitus = await isInstalled(database)
  if (distribute === 'on') assertPossible(kind, hasCitus)
  const distributed = hasCitus ? await readDistributed(database) : new Set<string>()
  if (distribute !== 'on' && !distributed.has(TELEMETRY)) return []
  const names = streams.map(({ name }) => name)
  const bySatellite = [
    TELEMETRY, 'public.anomalies', ...names.flatMap((name) => {
      const { points, rollupTens, rollupMinutes } = tablesOf(name)
      return [points, rollupTens, rollupMinutes]
    })
  ]
  const everywhere = names.map((name) => streamSql('public.rollup_dirty', name))
  const missing = (tables: readonly string[]): string[] => [...new Set(tables)].filter((each) => !distributed.has(each))
  return [
    ...missing(bySatellite).map((table) => `SELECT create_distributed_table('${table}', 'satellite_id'` +
      `${table === TELEMETRY ? '' : `, colocate_with => '${TELEMETRY}'`})`),
    ...missing(everywhere).map((table) => `SELECT create_reference_table('${table}')`)
  ]
}

function assertPossible (kind: ServerKind, hasCitus: boolean): void {
  if (kind === 'timescale') {
    throw new StartupError(
      'DISTRIBUTE=on does not go with TimescaleDB: use a database without it, or set DISTRIBUTE=off.')
  }
  if (hasCitus) return
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
