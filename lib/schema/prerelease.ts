/**
 * Databases made before 0.1.0, by migrations 0001 to 0021, which 0.1.0 replaced with one set that starts at 0001 again.
 *
 * The last of them left the schema of the new set, with functions that nothing calls any more, but without the epoch id
 * of the ledger. Such a database is converted in one transaction: the functions go, the column comes, what the new set
 * can run again is run again, and its history becomes that of a new database. A database at an earlier migration is
 * refused, since the migrations it lacks no longer exist.
 */
import { literal } from '../database/quote.js'
import type { ServerKind } from './server-kind.js'
import { migrationsToRepeat } from './sql-files.js'
import type { Migration } from './sql-files.js'
import { StartupError } from '../support/startup-error.js'

/** Of 0001-ledger as it was: every database made before 0.1.0 has it, and no other. */
const FIRST_CHECKSUM = 'b6af5a531bdb185b94e4445b424393dd6e0729dad0fd1a012eb470d3944a87d3'
const LAST = { plain: '0021-rollup-buckets', timescale: '0021-rollups' } as const

const DROP_UNUSED = `DROP FUNCTION IF EXISTS
  public.orbitstream_ensure_partitions(timestamptz, timestamptz),
  public.orbitstream_drop_partitions(timestamptz),
  public.orbitstream_drop_rollups(text)`

const ADD_EPOCH_ID = 'ALTER TABLE public.ingest_ledger ADD COLUMN IF NOT EXISTS epoch_id text'

/** @param history sorted by version */
export function isPrerelease (history: ReadonlyArray<{ readonly checksum: string }>): boolean {
  return history[0]?.checksum === FIRST_CHECKSUM
}

/** @param history of a pre-release, sorted by version */
export function assertConvertible (history: ReadonlyArray<{ readonly name: string }>, kind: ServerKind): void {
  const name = history.at(-1)?.name
  if (name === LAST[kind]) return
  throw new StartupError(
    `This database was made by a pre-release of OrbitStream and is at migration ${String(name)}; ` +
    `this version can only upgrade it from ${LAST[kind]}. First start the last pre-release, the one with ` +
    `sql/${LAST[kind]}.${kind}.sql, then this version.`)
}

/** To be run in one transaction. @param schema brings tables, views and functions to the new set */
export function conversionStatements (known: readonly Migration[], schema = repeated(known)): string[] {
  const history = known.map(({ version, name, checksum, kind }) =>
    `(${version}, ${literal(name)}, ${literal(checksum)}, ${literal(kind)})`)
  return [
    DROP_UNUSED,
    ADD_EPOCH_ID,
    ...schema,
    'DELETE FROM public.schema_migrations',
    `INSERT INTO public.schema_migrations (version, name, checksum, kind) VALUES ${history.join(', ')}`
  ]
}

function repeated (known: readonly Migration[]): readonly string[] {
  return migrationsToRepeat(known).map(({ sql }) => sql)
}
