/**
 * Migrations: brings the database to the schema that this code knows, or refuses.
 *
 * Forward only. Each migration runs in a transaction together with its row in schema_migrations and under a lock of that
 * table, so that any number of hosts may start at once: one works, the others wait and find it done. Refused with a
 * StartupError: a migration that was changed after it was applied, and a schema that is newer than the code.
 *
 * Behind the migrations stands what follows the configuration and not a version: partitions, policies of TimescaleDB,
 * and what the read-only role may see. It is compared at each start and changed where it differs. Whoever only uses the
 * database does not know the server's configuration, and leaves all of that as it is: migrateSchema().
 */
import { METRICS } from '../../protocol/metrics.js'
import { checkRetention, type RetentionSettings } from './adoption.js'
import { isPassing, sqlState, type Database } from '../database/connection.js'
import { exclusively, isHeldUp, onceMoreIfMade, type ExclusiveOptions } from './exclusive.js'
import { ensurePartitions } from './partitions.js'
import type { PartitionSettings } from './partitions.js'
import { assertRights, assertUsable } from './preconditions.js'
import { readerAdvice, readerStatements } from './reader.js'
import type { ReaderSettings } from './reader.js'
import { prepareServer, serverKind, timescaleHindrance } from './server-kind.js'
import type { ServerKind } from './server-kind.js'
import { identifier, migrationsToRepeat, readMigrations } from './sql-files.js'
import type { Migration } from './sql-files.js'
import { policyStatements } from './timescale-policies.js'
import type { PolicySettings } from './timescale-policies.js'
import { StartupError } from '../support/startup-error.js'
import type { StoreLog } from '../support/store-log.js'

export type { ServerKind } from './server-kind.js'

/** What follows the configuration. */
export interface SchemaSettings extends PartitionSettings, PolicySettings, ReaderSettings {}

export interface MigrationOptions extends ExclusiveOptions {
  /** Folder of the migrations; without it: sql/ of this package. */
  readonly directory?: string
}

export interface MigrationSettings extends SchemaSettings, MigrationOptions, RetentionSettings {}

export interface MigrationOutcome {
  /** Names of the migrations that ran now. */
  readonly applied: string[]
  readonly kind: ServerKind
  /** Number of the last migration. */
  readonly version: number
}

export interface MigrationPlan {
  readonly kind: ServerKind
  readonly version: number
  readonly pending: readonly Migration[]
  /** All migrations of this kind of server. */
  readonly known: readonly Migration[]
  /** There is a table telemetry already, of the first release: a pending migration takes it over with its rows. */
  readonly adopts: boolean
}

interface AppliedMigration {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly kind: string
}

/** The migration that makes the table telemetry. */
const TELEMETRY_VERSION = 2

const HISTORY = 'public.schema_migrations'

const CREATE_HISTORY = `
  CREATE TABLE ${HISTORY} (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    kind text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
  )`

/** Applies what is missing, makes the first partitions, and lets the schema follow the settings. For those who have the server's. */
export async function migrate (database: Database, settings: MigrationSettings): Promise<MigrationOutcome> {
  await assertUsable(database)
  await assertRights(database)
  await checkRetention(database, await planMigrations(database, settings.directory), settings)
  const outcome = await applyPending(database, settings)
  if (outcome.kind === 'plain') await ensurePartitions(database, settings, Date.now())
  await exclusively(database, settings, async () => {
    for (const statement of await planSettings(database, outcome.kind, settings)) await carryOut(database, statement, settings.log)
  })
  for (const advice of await readerAdvice(database)) settings.log.warn({}, advice)
  return outcome
}

/** Applies what is missing, and leaves what follows the configuration: a retention of another configuration would drop points. */
export async function migrateSchema (database: Database, options: MigrationOptions): Promise<MigrationOutcome> {
  await assertUsable(database)
  return await applyPending(database, options)
}

async function applyPending (database: Database, options: MigrationOptions): Promise<MigrationOutcome> {
  const plan = await planForServer(database, options)
  if (plan.pending.length > 0) await assertRights(database)
  // Even where it is there, the statement asks for the right to make it.
  await onceMoreIfMade(async () => { if (!await exists(database, HISTORY)) await database.query(CREATE_HISTORY) })
  const applied: string[] = []
  for (const migration of plan.pending) if (await apply(database, migration, options)) applied.push(migration.name)
  await addMetricColumns(database, plan, options)
  return { applied, kind: plan.kind, version: plan.version }
}

/** The plan, decided again where the licence of TimescaleDB was not known before its extension was installed. */
async function planForServer (database: Database, { directory, log }: MigrationOptions): Promise<MigrationPlan> {
  const plan = await planMigrations(database, directory)
  const reason = plan.kind === 'plain' && plan.pending.length === plan.known.length ? await timescaleHindrance(database) : null
  if (reason !== null) log.warn({ reason }, 'This database is made as plain PostgreSQL, and stays so. If you want TimescaleDB, mend what hinders it, and use a new database.')
  if (plan.kind === 'plain' || await prepareServer(database) === 'timescale') return plan
  const switchOn = "set timescaledb.license = 'timescale'"
  if (plan.known.some(migration => migration.kind === 'timescale' && !plan.pending.includes(migration))) {
    throw new StartupError(`This database was made with TimescaleDB, which runs here with its Apache licence now, without compression, policies and continuous aggregates: ${switchOn}, then start again.`)
  }
  log.warn({}, `TimescaleDB runs here with its Apache licence, without compression, policies and continuous aggregates: this database is made as plain PostgreSQL, and stays so. If you want TimescaleDB, ${switchOn} and use a new database.`)
  return await planMigrations(database, directory)
}

/** What migrate() would apply; changes nothing. Throws StartupError where it would. */
export async function planMigrations (database: Database, directory?: string): Promise<MigrationPlan> {
  const all = await readMigrations(directory)
  const applied = await readHistory(database)
  const kind = await kindOf(database, all, applied)
  const known = all.filter(migration => migration.kind === 'common' || migration.kind === kind)
  for (const row of applied) check(row, known)
  const done = new Set(applied.map(row => row.version))
  const pending = known.filter(migration => !done.has(migration.version))
  const adopts = pending.some(migration => migration.version === TELEMETRY_VERSION) && await exists(database, 'public.telemetry')
  return { kind, version: known.at(-1)?.version ?? 0, known, pending, adopts }
}

export interface SettingStatement {
  readonly sql: string
  /** As it may be printed: without secrets. */
  readonly shown: string
  /** Points are stored without it. */
  readonly optional?: boolean
}

/** Statements by which the schema would follow the configuration; changes nothing. */
export async function planSettings (database: Database, kind: ServerKind, settings: SchemaSettings): Promise<SettingStatement[]> {
  const policies = kind === 'timescale' ? await policyStatements(database, settings) : []
  return [...policies.map(sql => ({ sql, shown: sql })), ...(await readerStatements(database, settings)).map(statement => ({ ...statement, optional: true }))]
}

async function carryOut (database: Database, { sql, shown, optional = false }: SettingStatement, log: StoreLog): Promise<void> {
  if (!optional) {
    await database.query(sql)
    return
  }
  try {
    await database.query(`SAVEPOINT optional; ${sql}; RELEASE optional`)
  } catch (error) {
    if (sqlState(error) === null || !database.alive) throw error
    await database.query('ROLLBACK TO optional')
    log.warn({ reason: error instanceof Error ? error.message : '' }, `The database refused this; points are stored all the same. Have a superuser run it: ${shown}`)
  }
}

async function readHistory (database: Database): Promise<AppliedMigration[]> {
  if (!await exists(database, HISTORY)) return []
  return (await database.query<AppliedMigration>('SELECT version, name, checksum, kind FROM public.schema_migrations ORDER BY version')).rows
}

async function exists (database: Database, relation: string): Promise<boolean> {
  const { rows } = await database.query<{ there: boolean }>(`SELECT to_regclass('${relation}') IS NOT NULL AS there`)
  return rows[0]?.there === true
}

/** A schema keeps the kind that it was made with; a new one takes TimescaleDB where there are migrations for it. */
async function kindOf (database: Database, all: readonly Migration[], applied: readonly AppliedMigration[]): Promise<ServerKind> {
  for (const row of applied) {
    if (row.kind === 'plain' || row.kind === 'timescale') return row.kind
  }
  return all.some(migration => migration.kind === 'timescale') ? await serverKind(database) : 'plain'
}

function check (row: AppliedMigration, known: readonly Migration[]): void {
  const migration = known.find(candidate => candidate.version === row.version)
  if (migration === undefined) {
    throw new StartupError(`The database has migration ${row.name}, which this version of OrbitStream does not know: start a newer version, or restore the database from before it.`)
  }
  if (migration.checksum !== row.checksum) {
    throw new StartupError(`Migration ${row.name} was changed after it was applied to this database: bring sql/${row.name}.${row.kind}.sql back to what it was, and write changes as a new migration.`)
  }
}

/** False: another host has applied it. */
async function apply (database: Database, migration: Migration, options: MigrationOptions): Promise<boolean> {
  const { version, name, checksum, kind } = migration
  const ran = await exclusively(database, options, async () => {
    if ((await database.query('SELECT FROM public.schema_migrations WHERE version = $1', [version])).rowCount > 0) return false
    await explained(`Migration ${name} failed`, async () => {
      await database.query('SET LOCAL search_path TO public')
      await database.query(migration.sql)
    })
    await database.query('INSERT INTO public.schema_migrations (version, name, checksum, kind) VALUES ($1, $2, $3, $4)', [version, name, checksum, kind])
    return true
  })
  if (ran) options.log.info({ migration: name, kind }, `Migration ${name} was applied`)
  return ran
}

/** Makes a StartupError of what the server says, unless trying again helps. */
async function explained (failure: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    if (isPassing(cause) || isHeldUp(cause)) throw cause
    throw new StartupError(`${failure}, and nothing of it was kept: ${String(cause)}`, { cause })
  }
}

export interface MetricAddition {
  readonly metrics: readonly string[]
  /** To be carried out in one transaction. */
  readonly statements: readonly string[]
}

/** What a metric that was appended to the catalogue needs: its column and its rollups; null where there is none, or no table yet. */
export async function planMetrics (database: Database, { known, pending }: MigrationPlan): Promise<MetricAddition | null> {
  if (pending.some(migration => migration.version === TELEMETRY_VERSION)) return null
  // Looked up first: ALTER TABLE would lock.
  const { rows } = await database.query<{ name: string }>(
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'public.telemetry'::regclass AND attnum > 0 AND NOT attisdropped")
  const present = new Set(rows.map(row => row.name))
  const metrics = METRICS.map(metric => metric.name).filter(name => !present.has(name))
  if (metrics.length === 0) return null
  const columns = metrics.map(name => `ADD COLUMN ${identifier(name)} double precision`)
  return { metrics, statements: [`ALTER TABLE public.telemetry ${columns.join(', ')}`, ...migrationsToRepeat(known).map(({ sql }) => sql)] }
}

async function addMetricColumns (database: Database, plan: MigrationPlan, options: MigrationOptions): Promise<void> {
  // Without a lock first: there is rarely anything new.
  if (await planMetrics(database, { ...plan, pending: [] }) === null) return
  const metrics = await exclusively(database, options, async () => {
    const addition = await planMetrics(database, { ...plan, pending: [] })
    if (addition === null) return []
    await explained(`Adding what is new in the catalogue of metrics (${addition.metrics.join(', ')}) failed`, async () => {
      await database.query('SET LOCAL search_path TO public')
      for (const sql of addition.statements) await database.query(sql)
    })
    return addition.metrics
  })
  if (metrics.length > 0) options.log.info({ metrics }, `New in the catalogue of metrics: ${metrics.join(', ')}`)
}
