/**
 * The catalogue in the database: the version in force and those before it, with who made them and when.
 *
 * A file only proposes: the database decides which catalogue is in force, so that all hosts have the same one. A
 * proposal is one of:
 *
 *   the catalogue in force     nothing to do
 *   an earlier version         the host follows the database, and says so: its file is older. `catalogue apply` is an
 *                              explicit act, and brings it back as an allowed change
 *   an allowed change          becomes the next version, in the transaction that adds its columns
 *   anything else              refused, with every reason
 *
 * Version 1 is stored in the transaction that creates the telemetry table, so no table is ever of another catalogue.
 */
import { strict as assert } from 'node:assert'
import { hostname } from 'node:os'
import { BUILT_IN, type Catalogue } from '../../protocol/catalogue.js'
import { STORED_BYTES_MAX, parseCatalogue } from '../catalogue/catalogue-file.js'
import { catalogueJson } from '../catalogue/catalogue-json.js'
import {
  NO_CHANGE, compareCatalogues, firstEvolution, isSameCatalogue, type Evolution
} from '../catalogue/evolution.js'
import type { Database } from '../database/database.js'
import { hasRelation } from './preconditions.js'
import { StartupError } from '../support/startup-error.js'
import type { StoreLog } from '../support/store-log.js'

export interface CatalogueVersion {
  /** From 1; 0: none is stored yet. */
  readonly version: number
  /** Of the tables, or the one that they are created with. */
  readonly catalogue: Catalogue
}

export interface CatalogueChange {
  readonly version: number
  /** ISO 8601. */
  readonly changedAt: string
  readonly changedBy: string
  readonly catalogue: Catalogue
}

/** What a start does about the catalogue. */
export interface CataloguePlan {
  readonly inForce: CatalogueVersion
  /** To be stored as the next version if it is not the one in force. */
  readonly catalogue: Catalogue
  /** From the tables that there are to `catalogue`. */
  readonly evolution: Evolution
}

interface Row {
  readonly version: number
  readonly changed_at: Date
  readonly changed_by: string
  readonly catalogue: unknown
}

/** Versions of a page of the history. */
const HISTORY_MAX = 1_000
const COLUMNS = 'version, changed_at, changed_by, catalogue'

/** The catalogue in force: the one stored last, else the built-in one. */
export async function readCatalogue (database: Database): Promise<Catalogue> {
  return (await readVersion(database)).catalogue
}

/** The newest versions first. Throws a StartupError if the table is not ours. */
export async function readCatalogueHistory (database: Database, count: number): Promise<CatalogueChange[]> {
  if (!await hasTable(database)) return []
  const { rows } = await database.query<Row>(
    `SELECT ${COLUMNS} FROM public.catalogue ORDER BY version DESC LIMIT $1`, [Math.min(count, HISTORY_MAX)])
  return rows.map((row) => ({
    version: row.version,
    changedAt: row.changed_at.toISOString(),
    changedBy: row.changed_by,
    catalogue: catalogueOf(row)
  }))
}

export interface Proposal {
  /** Null: whatever the database has. */
  readonly proposed: Catalogue | null
  /** An earlier version comes into force again; default: the database is followed. */
  readonly revert?: boolean
  readonly log?: StoreLog | null
}

/** What is to be in force. Throws a StartupError for a bad proposal. */
export async function planCatalogue (
  database: Database, { proposed, revert = false, log = null }: Proposal
): Promise<CataloguePlan> {
  const inForce = await readVersion(database)
  const follow = { inForce, catalogue: inForce.catalogue, evolution: NO_CHANGE }
  if (proposed === null || isSameCatalogue(proposed, inForce.catalogue)) return follow
  if (inForce.version === 0 && !await hasBuiltIn(database)) {
    const first = { version: 0, catalogue: proposed }
    return { inForce: first, catalogue: proposed, evolution: firstEvolution(proposed) }
  }
  const history = await readCatalogueHistory(database, HISTORY_MAX)
  const earlier = revert ? undefined : history.find(({ catalogue }) => isSameCatalogue(catalogue, proposed))
  if (earlier !== undefined) {
    log?.warn({ inForce: inForce.version, file: earlier.version },
      `The catalogue file is version ${earlier.version} of the catalogue, but the database has version ` +
      `${inForce.version}: this host follows the database. Update the file; ` +
      'or, to go back to that version, run "orbitstream-ingest catalogue apply" with it.')
    return follow
  }
  const evolution = compareCatalogues(inForce.catalogue, proposed, history.map(({ catalogue }) => catalogue))
  const { faults } = evolution
  if (faults.length > 0) {
    throw new StartupError(`The catalogue file does not fit the points that the database has: ${faults.join('; ')}. ` +
      '"orbitstream-ingest catalogue show" prints the catalogue in force.')
  }
  return { ...follow, catalogue: proposed, evolution }
}

/**
 * Stores the planned catalogue as the next version unless it is in force. Call it in the transaction that adds the
 * columns, under the lock of migrations.
 */
export async function storeCatalogue (
  database: Database,
  { inForce, catalogue }: Pick<CataloguePlan, 'inForce' | 'catalogue'>,
  changedBy = `start on ${hostname()}`
): Promise<boolean> {
  const now = await readVersion(database)
  if (now.version !== inForce.version) {
    if (isSameCatalogue(now.catalogue, catalogue)) return false
    throw new StartupError('Another host changed the catalogue at the same time: start again.')
  }
  if (!isToBeStored({ inForce, catalogue })) return false
  const json = JSON.stringify(catalogueJson(catalogue))
  const again = parseCatalogue(json, STORED_BYTES_MAX)
  assert(again.ok && isSameCatalogue(again.catalogue, catalogue), 'a catalogue can be read again')
  await database.query('INSERT INTO public.catalogue (version, changed_by, catalogue) VALUES ($1, $2, $3)',
    [now.version + 1, changedBy, json])
  return true
}

/** The built-in catalogue is stored as well, so that a later one is compared with what the tables have. */
export function isToBeStored ({ inForce, catalogue }: Pick<CataloguePlan, 'inForce' | 'catalogue'>): boolean {
  return inForce.version === 0 || !isSameCatalogue(inForce.catalogue, catalogue)
}

/** The version in force. */
export async function readVersion (database: Database): Promise<CatalogueVersion> {
  const [newest] = await readCatalogueHistory(database, 1)
  return newest === undefined ? { version: 0, catalogue: BUILT_IN } : newest
}

/** Whether a telemetry table has the metrics of the built-in catalogue: it was made before catalogues were stored. */
async function hasBuiltIn (database: Database): Promise<boolean> {
  if (!await hasRelation(database, 'public.telemetry')) return false
  const { rows } = await database.query<{ name: string }>(
    'SELECT attname AS name FROM pg_attribute ' +
    "WHERE attrelid = 'public.telemetry'::regclass AND attnum > 0 AND NOT attisdropped")
  return BUILT_IN.telemetry.metrics.every((metric) => rows.some(({ name }) => name === metric.name))
}

const OWN_COLUMNS = ['version integer', 'changed_at timestamptz', 'changed_by text', 'catalogue jsonb']

/** Whether the table catalogue is there. A StartupError: something else has its name. */
async function hasTable (database: Database): Promise<boolean> {
  const { rows: [found] } = await database.query<{ there: boolean, kind: string, foreign: boolean }>(`
    SELECT true AS there, relkind AS kind, EXISTS (
      SELECT FROM unnest($1::text[]) wanted WHERE NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
          AND attname || ' ' || replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz')
            = wanted)
    ) AS foreign FROM pg_class c WHERE oid = to_regclass('public.catalogue')`, [OWN_COLUMNS])
  if (found?.there !== true) return false
  if (found.kind === 'r' && !found.foreign) return true
  throw new StartupError('The database has something else under the name public.catalogue, where OrbitStream keeps ' +
    'its metrics: rename it, or use a database of its own, then start again.')
}

function catalogueOf (row: Row): Catalogue {
  const parsed = parseCatalogue(JSON.stringify(row.catalogue), STORED_BYTES_MAX)
  if (parsed.ok) return parsed.catalogue
  const faults = parsed.faults.map(({ path, message }) => `${path} ${message}`).join('; ')
  throw new StartupError(
    `The table catalogue has a version (${row.version}) that this OrbitStream does not understand: ${faults}. ` +
    'Start a newer version, or restore the row from a backup.')
}
