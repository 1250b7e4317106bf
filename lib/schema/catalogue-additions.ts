/** What new streams and metrics of a catalogue need: tables, columns, views and functions. */
import { TELEMETRY, type Catalogue } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { columnOf } from '../database/metric-columns.js'
import { tablesOf } from '../database/stream-tables.js'
import { StartupError } from '../support/startup-error.js'
import { hasRelation } from './preconditions.js'
import type { ServerKind } from './server-kind.js'
import { migrationsToRepeat, readStreamMigrations, type Migration } from './sql-files.js'

export interface AdditionPlan {
  readonly kind: ServerKind
  /** All migrations of this kind of server, of `catalogue`. */
  readonly known: readonly Migration[]
  readonly catalogue: Catalogue
  /** There is no telemetry table yet. */
  readonly isNew: boolean
}

export interface CatalogueAddition {
  /** Streams without tables. */
  readonly streams: readonly string[]
  /** New metrics of the other streams, as limits name them. */
  readonly metrics: readonly string[]
  /** To be run in one transaction. */
  readonly statements: readonly string[]
}

/** What new streams and metrics of the catalogue need. Null: there are none, or no telemetry table yet. */
export async function planAdditions (
  database: Database, { known, catalogue, kind, isNew }: AdditionPlan, directory?: string
): Promise<CatalogueAddition | null> {
  if (isNew) return null
  // Look first: ALTER TABLE would lock.
  const present = await presentColumns(database, catalogue.streams.map(({ name }) => name))
  const additions = await Promise.all(catalogue.streams.map(async (stream): Promise<CatalogueAddition> => {
    const { name, metrics } = stream
    const isOther = name !== TELEMETRY
    const columns = present.get(name)
    if (columns === undefined && isOther) {
      const made = await readStreamMigrations(stream, kind, directory)
      return { streams: [name], metrics: [], statements: made.map(({ sql }) => sql) }
    }
    const missing = metrics.filter((metric) => columns?.has(metric.name) !== true)
    if (missing.length === 0) return { streams: [], metrics: [], statements: [] }
    const all = isOther ? await readStreamMigrations(stream, kind, directory) : known
    const added = missing.map((metric) => `ADD COLUMN ${columnOf(metric)}`).join(', ')
    return {
      streams: [],
      metrics: missing.map((metric) => stream.qualify(metric.name)),
      statements: [`ALTER TABLE public.${name} ${added}`, ...migrationsToRepeat(all).map(({ sql }) => sql)]
    }
  }))
  const statements = additions.flatMap((each) => each.statements)
  if (statements.length === 0) return null
  return {
    streams: additions.flatMap(({ streams }) => streams),
    metrics: additions.flatMap(({ metrics }) => metrics),
    statements
  }
}

/** What a migration of the stream `telemetry` does for the other streams that have tables. */
export async function forOtherStreams (
  database: Database, { version }: Migration,
  { kind, inForce }: { readonly kind: ServerKind, readonly inForce: { readonly catalogue: Catalogue } },
  directory?: string
): Promise<string[]> {
  const statements: string[] = []
  for (const stream of inForce.catalogue.streams) {
    if (stream.name === TELEMETRY || !await hasRelation(database, tablesOf(stream.name).rollupState)) continue
    const all = await readStreamMigrations(stream, kind, directory)
    statements.push(...all.flatMap((each) => each.version === version ? each.sql : []))
  }
  return statements
}

/** Columns of the tables of streams that there are. Throws a StartupError if a table is somebody else's. */
async function presentColumns (database: Database, streams: readonly string[]): Promise<Map<string, Set<string>>> {
  const { rows } = await database.query<{ stream: string, columns: string[], own: boolean }>(`
    SELECT c.relname::text AS stream,
           ARRAY(SELECT attname::text FROM pg_attribute
                 WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns,
           c.relname = '${TELEMETRY}' OR EXISTS (
             SELECT FROM pg_proc p WHERE p.pronamespace = c.relnamespace
               AND p.proname = 'orbitstream_' || c.relname || '_note_rows') AS own
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)`, [streams])
  const foreign = rows.find(({ own }) => !own)
  if (foreign !== undefined) {
    throw new StartupError(`The database has something else under the name public.${foreign.stream}, which would be ` +
      'the table of the stream: choose another name for the stream, or rename what is there.')
  }
  return new Map(rows.map(({ stream, columns }) => [stream, new Set(columns)]))
}
