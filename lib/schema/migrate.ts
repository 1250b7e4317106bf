/**
 * Migrations: bring the database to the schema that this code expects, or refuse.
 *
 * Forward only. Each migration and its row in schema_migrations are one transaction, under a lock of that table, so any
 * number of hosts may start at once: one works, the others wait and find it done. A migration that was changed after it
 * was applied and a schema newer than the code are refused with a StartupError.
 *
 * Some objects depend on the configuration rather than a version: partitions, TimescaleDB policies, and the privileges
 * of the read-only role. They are compared at each start and changed where they differ. Commands that do not have the
 * server's configuration leave them alone: migrateSchema().
 */
import { METRICS } from '../../protocol/metrics.js'
import { checkRetention, type RetentionSettings } from './adoption.js'
import { isPassing, sqlState, type Database } from '../database/connection.js'
import { exclusively, isHeldUp, onceMoreIfMade, type ExclusiveOptions } from './exclusive.js'
import { ensurePartitions } from './partitions.js'
import type { PartitionSettings } from './partitions.js'
import { assertRights, assertUsable } from './preconditions.js'
import { assertConvertible, conversionStatements, isPrerelease } from './prerelease.js'
import { identifier } from '../database/quote.js'
import { readerAdvice, readerStatements } from './reader.js'
import type { ReaderSettings } from './reader.js'
import { prepareServer, serverKind, timescaleHindrance } from './server-kind.js'
import type { ServerKind } from './server-kind.js'
import { migrationsToRepeat, readMigrations } from './sql-files.js'
import type { Migration } from './sql-files.js'
import { policyStatements } from './timescale-policies.js'
import type { PolicySettings } from './timescale-policies.js'
import { StartupError } from '../support/startup-error.js'
import type { StoreLog } from '../support/store-log.js'

export type { ServerKind } from './server-kind.js'

/** What the configuration decides. */
export interface SchemaSettings extends PartitionSettings, PolicySettings, ReaderSettings {}

export interface MigrationOptions extends ExclusiveOptions {
  /** Directory of the migrations; default: sql/ of this package. */
  readonly directory?: string
}

export interface MigrationSettings extends SchemaSettings, MigrationOptions, RetentionSettings {}

export interface MigrationOutcome {
  /** Names of the migrations that ran. */
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
  /** A first-release telemetry table exists; a pending migration adopts it with its rows. */
  readonly adopts: boolean
  /** Made before 0.1.0, and to be converted: see prerelease.ts. */
  readonly converts: boolean
}

interface AppliedMigration {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly kind: string
}

/** The migration that creates the telemetry table. */
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

/** Applies pending migrations, creates the first partitions, and applies the server's settings. */
export async function migrate (database: Database, settings: MigrationSettings): Promise<MigrationOutcome> {
  await assertUsable(database)
  await assertRights(database)
  await checkRetention(database, await planMigrations(database, settings.directory), settings)
  const outcome = await applyPending(database, settings)
  if (outcome.kind === 'plain') await ensurePartitions(database, settings, Date.now())
  await exclusively(database, settings, async () => {
    const statements = await planSettings(database, outcome.kind, settings)
    for (const statement of statements) await applySetting(database, statement, settings.log)
  })
  for (const advice of await readerAdvice(database)) settings.log.warn({}, advice)
  return outcome
}

/** Applies pending migrations only: another configuration's retention would drop points. */
export async function migrateSchema (database: Database, options: MigrationOptions): Promise<MigrationOutcome> {
  await assertUsable(database)
  return await applyPending(database, options)
}

async function applyPending (database: Database, options: MigrationOptions): Promise<MigrationOutcome> {
  const plan = await planForServer(database, options)
  if (plan.pending.length > 0 || plan.converts) await assertRights(database)
  // IF NOT EXISTS would require the CREATE privilege even if the table exists.
  await onceMoreIfMade(async () => { if (!await exists(database, HISTORY)) await database.query(CREATE_HISTORY) })
  if (plan.converts) await convert(database, plan, options)
  const applied: string[] = []
  for (const migration of plan.pending) if (await apply(database, migration, options)) applied.push(migration.name)
  await addMetricColumns(database, plan, options)
  return { applied, kind: plan.kind, version: plan.version }
}

/** The plan, made again if TimescaleDB's licence was unknown until its extension was installed. */
async function planForServer (database: Database, { directory, log }: MigrationOptions): Promise<MigrationPlan> {
  const plan = await planMigrations(database, directory)
  const isNew = plan.kind === 'plain' && plan.pending.length === plan.known.length
  const reason = isNew ? await timescaleHindrance(database) : null
  if (reason !== null) {
    log.warn({ reason }, 'This database is set up as plain PostgreSQL, and will stay so. ' +
      'To use TimescaleDB, fix the reason and start with a new database.')
  }
  if (plan.kind === 'plain' || await prepareServer(database) === 'timescale') return plan
  const switchOn = "set timescaledb.license = 'timescale'"
  if (plan.known.some(migration => migration.kind === 'timescale' && !plan.pending.includes(migration))) {
    throw new StartupError(
      'This database was set up with TimescaleDB, which now runs under its Apache licence, ' +
      `without compression, policies and continuous aggregates: ${switchOn}, then start again.`)
  }
  log.warn({}, 'TimescaleDB runs under its Apache licence here, ' +
    'without compression, policies and continuous aggregates: ' +
    'this database is set up as plain PostgreSQL, and will stay so. ' +
    `To use TimescaleDB, ${switchOn} and start with a new database.`)
  return await planMigrations(database, directory)
}

/** What migrate() would apply; changes nothing. Throws the same StartupErrors. */
export async function planMigrations (database: Database, directory?: string): Promise<MigrationPlan> {
  const all = await readMigrations(directory)
  const applied = await readHistory(database)
  const kind = await kindOf(database, all, applied)
  const known = all.filter(migration => migration.kind === 'common' || migration.kind === kind)
  const version = known.at(-1)?.version ?? 0
  if (isPrerelease(applied)) {
    assertConvertible(applied, kind)
    return { kind, version, known, pending: [], adopts: false, converts: true }
  }
  for (const row of applied) check(row, known)
  const done = new Set(applied.map(row => row.version))
  const pending = known.filter(migration => !done.has(migration.version))
  const adopts = pending.some(isTelemetry) && await exists(database, 'public.telemetry')
  return { kind, version, known, pending, adopts, converts: false }
}

export interface SettingStatement {
  readonly sql: string
  /** For printing, without secrets. */
  readonly shown: string
  /** Not required to store points. */
  readonly optional?: boolean
}

/** Statements that apply the configuration to the schema; changes nothing. */
export async function planSettings (
  database: Database, kind: ServerKind, settings: SchemaSettings
): Promise<SettingStatement[]> {
  const policies = kind === 'timescale' ? await policyStatements(database, settings) : []
  const reader = await readerStatements(database, settings)
  return [...policies.map(sql => ({ sql, shown: sql })), ...reader.map(statement => ({ ...statement, optional: true }))]
}

async function applySetting (database: Database, statement: SettingStatement, log: StoreLog): Promise<void> {
  const { sql, shown, optional = false } = statement
  if (!optional) {
    await database.query(sql)
    return
  }
  try {
    await database.query(`SAVEPOINT optional; ${sql}; RELEASE optional`)
  } catch (error) {
    if (sqlState(error) === null || !database.alive) throw error
    await database.query('ROLLBACK TO optional')
    const reason = error instanceof Error ? error.message : ''
    log.warn({ reason }, `The database refused this; points are stored regardless. Have a superuser run it: ${shown}`)
  }
}

async function readHistory (database: Database): Promise<AppliedMigration[]> {
  if (!await exists(database, HISTORY)) return []
  const { rows } = await database.query<AppliedMigration>(
    `SELECT version, name, checksum, kind FROM ${HISTORY} ORDER BY version`)
  return rows
}

async function exists (database: Database, relation: string): Promise<boolean> {
  const { rows } = await database.query<{ there: boolean }>(`SELECT to_regclass('${relation}') IS NOT NULL AS there`)
  return rows[0]?.there === true
}

/** A schema keeps its kind; a new one uses TimescaleDB if it is available and there are migrations for it. */
async function kindOf (
  database: Database, all: readonly Migration[], applied: readonly AppliedMigration[]
): Promise<ServerKind> {
  for (const row of applied) {
    if (row.kind === 'plain' || row.kind === 'timescale') return row.kind
  }
  return all.some(migration => migration.kind === 'timescale') ? await serverKind(database) : 'plain'
}

function check (row: AppliedMigration, known: readonly Migration[]): void {
  const migration = known.find(candidate => candidate.version === row.version)
  if (migration === undefined) {
    throw new StartupError(
      `The database has migration ${row.name}, which this version of OrbitStream does not know: ` +
      'start a newer version, or restore a backup from before that migration.')
  }
  if (migration.checksum !== row.checksum) {
    throw new StartupError(
      `Migration ${row.name} was changed after it was applied to this database: ` +
      `restore sql/${row.name}.${row.kind}.sql, and write changes as a new migration.`)
  }
}

/** False: another host applied it. */
async function apply (database: Database, migration: Migration, options: MigrationOptions): Promise<boolean> {
  const { version, name, checksum, kind } = migration
  const ran = await exclusively(database, options, async () => {
    if ((await database.query(`SELECT FROM ${HISTORY} WHERE version = $1`, [version])).rowCount > 0) return false
    await runAll(database, `Migration ${name} failed`, [migration.sql])
    await database.query(
      `INSERT INTO ${HISTORY} (version, name, checksum, kind) VALUES ($1, $2, $3, $4)`, [version, name, checksum, kind])
    return true
  })
  if (ran) options.log.info({ migration: name, kind }, `Migration ${name} was applied`)
  return ran
}

async function convert (database: Database, plan: MigrationPlan, options: MigrationOptions): Promise<void> {
  const converted = await exclusively(database, options, async () => {
    if (!isPrerelease(await readHistory(database))) return false
    await runAll(database, 'Upgrading a pre-release database failed', await planConversion(database, plan))
    return true
  })
  if (converted) options.log.info({}, 'The pre-release database was upgraded')
}

/** What convert() would run; none if there is nothing to convert. */
export async function planConversion (database: Database, plan: MigrationPlan): Promise<string[]> {
  if (!plan.converts) return []
  const addition = await planMetrics(database, plan)
  return conversionStatements(plan.known, addition?.statements)
}

/** Turns what the server reports into a StartupError, unless a retry may help. */
async function runAll (database: Database, failure: string, statements: readonly string[]): Promise<void> {
  try {
    await database.query('SET LOCAL search_path TO public')
    for (const sql of statements) await database.query(sql)
  } catch (cause) {
    if (isPassing(cause) || isHeldUp(cause)) throw cause
    throw new StartupError(`${failure} and was rolled back: ${String(cause)}`, { cause })
  }
}

export interface MetricAddition {
  readonly metrics: readonly string[]
  /** To be run in one transaction. */
  readonly statements: readonly string[]
}

/** What new metrics of the catalogue need: columns and rollups. Null: there are none, or no table yet. */
export async function planMetrics (
  database: Database, { known, pending }: MigrationPlan
): Promise<MetricAddition | null> {
  if (pending.some(isTelemetry)) return null
  // Look first: ALTER TABLE would lock.
  const { rows } = await database.query<{ name: string }>(`
    SELECT attname AS name FROM pg_attribute
    WHERE attrelid = 'public.telemetry'::regclass AND attnum > 0 AND NOT attisdropped`)
  const present = new Set(rows.map(row => row.name))
  const metrics = METRICS.map(metric => metric.name).filter(name => !present.has(name))
  if (metrics.length === 0) return null
  const columns = metrics.map(name => `ADD COLUMN ${identifier(name)} double precision`)
  const repeated = migrationsToRepeat(known).map(({ sql }) => sql)
  return { metrics, statements: [`ALTER TABLE public.telemetry ${columns.join(', ')}`, ...repeated] }
}

function isTelemetry ({ version }: Migration): boolean {
  return version === TELEMETRY_VERSION
}

async function addMetricColumns (database: Database, plan: MigrationPlan, options: MigrationOptions): Promise<void> {
  // First without a lock: there is rarely anything new.
  if (await planMetrics(database, { ...plan, pending: [] }) === null) return
  const metrics = await exclusively(database, options, async () => {
    const addition = await planMetrics(database, { ...plan, pending: [] })
    if (addition === null) return []
    await runAll(database, `Adding new metrics (${addition.metrics.join(', ')}) failed`, addition.statements)
    return addition.metrics
  })
  if (metrics.length > 0) options.log.info({ metrics }, `New metrics were added: ${metrics.join(', ')}`)
}
