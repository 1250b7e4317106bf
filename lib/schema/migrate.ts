/**
 * Migrations: bring the database to the schema that this code expects, or refuse.
 *
 * Forward only. Each migration and its row in schema_migrations are one transaction, under a lock of that table, so any
 * number of hosts may start at once: one works, the others wait and find it done. A migration that was changed after it
 * was applied and a schema newer than the code are refused with a StartupError.
 *
 * Migrations that name metrics create the telemetry table of the stored catalogue: it is stored with that table, and a
 * plan that is based on another version is made again under the lock. Other streams are created at the end.
 *
 * Some objects depend on the configuration rather than a version: partitions, TimescaleDB policies, and the privileges
 * of the read-only role. They are compared at each start and changed where they differ. Commands that do not have the
 * server's configuration leave them alone: migrateSchema().
 */
import { TELEMETRY, hasLimits, type Catalogue } from '../../protocol/catalogue.js'
import { isToBeStored, planCatalogue, readVersion, storeCatalogue, type CataloguePlan } from './catalogue-versions.js'
import { checkRetention, type RetentionSettings } from './adoption.js'
import { isPassing, sqlState } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { statementsOf } from '../database/quote.js'
import { exclusively, isHeldUp, onceMoreIfMade, type ExclusiveOptions } from './locks/exclusive.js'
import { assertDistributable, distributionStatements, type DistributionSettings } from './distribution.js'
import { REFUSED_PARTITION, ensurePartitions } from './partitions.js'
import { retentionOf } from './retention.js'
import type { PartitionSettings } from './partitions.js'
import { withLimitsOf } from '../catalogue/default-limits.js'
import { readLimits, replaceLimits } from '../queries/limits-store.js'
import { assertRights, assertUsable, hasRelation } from './preconditions.js'
import { assertConvertible, conversionStatements, isPrerelease } from './prerelease.js'
import { forOtherStreams, planAdditions, type CatalogueAddition } from './catalogue-additions.js'
import { inStream } from '../database/stream-tables.js'
import { readerAdvice, readerStatements } from './reader.js'
import type { ReaderSettings } from './reader.js'
import { prepareServer, serverKind, timescaleHindrance } from './server-kind.js'
import type { ServerKind } from './server-kind.js'
import { readMigrations } from './sql-files.js'
import type { Migration } from './sql-files.js'
import { policyStatements, readRetentionMs } from './timescale-policies.js'
import type { PolicySettings } from './timescale-policies.js'
import { StartupError } from '../support/startup-error.js'
import type { StoreLog } from '../support/store-log.js'

/** What the configuration decides. */
export interface SchemaSettings extends PolicySettings, ReaderSettings, PartitionSettings, DistributionSettings {
  readonly retentionMs: number
}

export interface MigrationOptions extends ExclusiveOptions {
  /** Directory of the migrations; default: sql/ of this package. */
  readonly directory?: string
  /** The catalogue that is to be in force; without it, that of the database. */
  readonly proposed?: Catalogue | null
  /** It comes into force even if it is an earlier version. */
  readonly revert?: boolean
  /** Who proposes it; default: the start on this host. */
  readonly changedBy?: string
}

export interface MigrationSettings extends SchemaSettings, MigrationOptions, RetentionSettings {}

export interface MigrationOutcome {
  /** Names of the migrations that ran. */
  readonly applied: string[]
  readonly kind: ServerKind
  /** Number of the last migration. */
  readonly version: number
  /** The catalogue in force. */
  readonly catalogue: Catalogue
}

export interface MigrationPlan extends CataloguePlan {
  readonly kind: ServerKind
  readonly version: number
  /** Of the catalogue in force. */
  readonly pending: readonly Migration[]
  /** All migrations of this kind of server, of the catalogue that is to be in force. */
  readonly known: readonly Migration[]
  /** A first-release telemetry table exists; a pending migration adopts it with its rows. */
  readonly adopts: boolean
  /** Made before 0.1.0, and to be converted: see prerelease.ts. */
  readonly converts: boolean
  /** There is no telemetry table of ours yet. */
  readonly isNew: boolean
}

type AppliedMigration = Pick<Migration, 'version' | 'name' | 'checksum'> & { readonly kind: string }

/** The migration that creates the telemetry table. */
const TELEMETRY_VERSION = 2
/** The migration that creates the table of catalogues; it may be repeated. */
const CATALOGUE_VERSION = 9

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
  const plan = await planMigrations(database, settings)
  await checkRetention(database, plan, settings)
  await assertDistributable(database, plan.kind, settings)
  const outcome = await applyPending(database, settings)
  if (outcome.kind === 'plain') {
    for (const stream of outcome.catalogue.streams) {
      const retentionMs = retentionOf(stream, settings.retentionMs)
      const { refused } = await ensurePartitions(inStream(database, stream.name), { retentionMs }, Date.now())
      for (const reason of refused) settings.log.warn({ reason }, REFUSED_PARTITION)
    }
  }
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
  let plan = await planForServer(database, options)
  if (plan.pending.length > 0 || plan.converts) await assertRights(database)
  // IF NOT EXISTS would require the CREATE privilege even if the table exists.
  await onceMoreIfMade(async () => { if (!await hasRelation(database, HISTORY)) await database.query(CREATE_HISTORY) })
  if (plan.converts) {
    await convert(database, plan, options)
    plan = await planMigrations(database, options)
  }
  const applied: string[] = []
  for (let next = plan.pending[0]; next !== undefined; next = plan.pending[0]) {
    const ran = await apply(database, next, plan, options)
    if (ran) applied.push(next.name)
    // Another host may have stored another catalogue, or this one just did.
    plan = ran && !isTelemetry(next)
      ? { ...plan, pending: plan.pending.slice(1) }
      : await planMigrations(database, options)
  }
  await applyCatalogue(database, plan, options)
  return { applied, kind: plan.kind, version: plan.version, catalogue: plan.catalogue }
}

/** The plan, made again if TimescaleDB's licence was unknown until its extension was installed. */
async function planForServer (database: Database, options: MigrationOptions): Promise<MigrationPlan> {
  const { log } = options
  const plan = await planMigrations(database, options)
  const isNew = plan.kind === 'plain' && plan.pending.length === plan.known.length
  const reason = isNew ? await timescaleHindrance(database) : null
  if (reason !== null) {
    log.warn({ reason }, 'This database is set up as plain PostgreSQL, and will stay so. ' +
      'To use TimescaleDB, remove the cause and start with a new database.')
  }
  if (plan.kind === 'plain' || await prepareServer(database) === 'timescale') return plan
  const switchOn = "set timescaledb.license = 'timescale'"
  const isPending = ({ version }: Migration): boolean => plan.pending.some(migration => migration.version === version)
  if (plan.known.some(migration => migration.kind === 'timescale' && !isPending(migration))) {
    throw new StartupError(
      'This database was set up with TimescaleDB, which now runs under its Apache licence, ' +
      `without compression, policies and continuous aggregates: ${switchOn}, then start again.`)
  }
  log.warn({}, 'TimescaleDB runs under its Apache licence here, ' +
    'without compression, policies and continuous aggregates: ' +
    'this database is set up as plain PostgreSQL, and will stay so. ' +
    `To use TimescaleDB, ${switchOn} and start with a new database.`)
  return await planMigrations(database, options)
}

/** What migrate() would apply; changes nothing. Throws the same StartupErrors. */
export async function planMigrations (
  database: Database, { directory, proposed = null, revert = false, log }: Partial<MigrationOptions> = {}
): Promise<MigrationPlan> {
  const planned = await planCatalogue(database, { proposed, revert, log: log ?? null })
  const current = await readMigrations(planned.inForce.catalogue, directory)
  const applied = await readHistory(database)
  const kind = await kindOf(database, current, applied)
  const isOfKind = (migration: Migration): boolean => migration.kind === 'common' || migration.kind === kind
  const known = (await readMigrations(planned.catalogue, directory)).filter(isOfKind)
  const version = known.at(-1)?.version ?? 0
  if (isPrerelease(applied)) {
    assertConvertible(applied, kind)
    return {
      ...planned,
      kind,
      version,
      known: current.filter(isOfKind),
      pending: [],
      adopts: false,
      converts: true,
      isNew: false
    }
  }
  for (const row of applied) check(row, known)
  const done = new Set(applied.map(row => row.version))
  const pending = current.filter(migration => isOfKind(migration) && !done.has(migration.version))
  const adopts = pending.some(isTelemetry) && await hasRelation(database, 'public.telemetry')
  return { ...planned, kind, version, known, pending, adopts, converts: false, isNew: pending.some(isTelemetry) }
}

export interface SettingStatement {
  readonly sql: string
  /** For printing, without secrets. */
  readonly shown: string
  /** Not required to store points. */
  readonly optional?: boolean
}

/**
 * Statements that apply the configuration to the schema; changes nothing.
 * @param proposed the catalogue that is to be in force; default: the one that is
 */
export async function planSettings (
  database: Database, kind: ServerKind, settings: SchemaSettings, proposed?: Catalogue
): Promise<SettingStatement[]> {
  const { catalogue } = await readVersion(database)
  const { streams } = proposed ?? catalogue
  const policies = kind === 'timescale' ? await policyStatements(database, streams, settings) : []
  const distribution = await distributionStatements(database, kind, streams, settings)
  const reader = await readerStatements(database, namesOf(catalogue), settings)
  return [
    ...[...policies, ...distribution].map(sql => ({ sql, shown: sql })),
    ...reader.map(statement => ({ ...statement, optional: true }))
  ]
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
  if (!await hasRelation(database, HISTORY)) return []
  const { rows } = await database.query<AppliedMigration>(
    `SELECT version, name, checksum, kind FROM ${HISTORY} ORDER BY version`)
  return rows
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

/** False: another host applied it, or changed the catalogue; plan again. */
async function apply (
  database: Database, migration: Migration, plan: MigrationPlan, options: MigrationOptions
): Promise<boolean> {
  const { version, name, checksum, kind } = migration
  const ran = await exclusively(database, options, async () => {
    if ((await database.query(`SELECT FROM ${HISTORY} WHERE version = $1`, [version])).rowCount > 0) return false
    const { inForce } = plan
    if ((await readVersion(database)).version !== inForce.version) return false
    const failure = `Migration ${name} failed`
    const catalogues = isTelemetry(migration) ? plan.pending.find(isCatalogue) : undefined
    if (catalogues !== undefined) {
      await runAll(database, failure, [catalogues.sql])
      await storeCatalogue(database, { inForce, catalogue: inForce.catalogue }, options.changedBy)
    }
    const others = await forOtherStreams(database, migration, plan, options.directory)
    await runAll(database, failure, [migration.sql, ...others])
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
  const addition = await planAdditions(database, { ...plan, catalogue: plan.inForce.catalogue })
  return conversionStatements(plan.known, addition?.statements)
}

/** Turns what the server reports into a StartupError, unless a retry may help. */
async function runAll (database: Database, failure: string, statements: readonly string[]): Promise<void> {
  try {
    await database.query('SET LOCAL search_path TO public')
    // One by one: Citus sends a change of a table to its nodes with the text of the query that it is in.
    for (const sql of statements.flatMap(statementsOf)) await database.query(sql)
  } catch (cause) {
    if (isPassing(cause) || isHeldUp(cause)) throw cause
    throw new StartupError(`${failure} and was rolled back: ${String(cause)}`, { cause })
  }
}

function isTelemetry ({ version }: Migration): boolean {
  return version === TELEMETRY_VERSION
}

function isCatalogue ({ version }: Migration): boolean {
  return version === CATALOGUE_VERSION
}

/** Tables, columns, views and functions, and the row that puts the catalogue into force: all in one transaction. */
async function applyCatalogue (database: Database, plan: MigrationPlan, options: MigrationOptions): Promise<void> {
  const planned = async (): Promise<CatalogueAddition | null> =>
    await planAdditions(database, { ...plan, isNew: false }, options.directory)
  // First without a lock: there is rarely anything new.
  if (!isToBeStored(plan) && await planned() === null) return
  const added = await exclusively(database, options, async () => {
    const stored = await storeCatalogue(database, plan, options.changedBy)
    if (stored) await addLimits(database, plan)
    const addition = await planned()
    if (addition === null && !stored) return null
    const { streams, metrics, statements } = addition ?? NOTHING_ADDED
    await runAll(database, `Adding new streams or metrics (${[...streams, ...metrics].join(', ')}) failed`, statements)
    await keepSettings(database, plan.kind, options)
    return { streams, metrics }
  })
  if (added === null) return
  const { streams, metrics } = added
  options.log.info({ streams, metrics }, 'A new version of the catalogue is in force')
}

const NOTHING_ADDED: CatalogueAddition = { streams: [], metrics: [], statements: [] }

/**
 * Views and aggregates that were created anew have lost their policies and privileges, and the catalogue may say
 * something new about retention, chunks and compression. A stream for which the server's settings hold again gets them
 * at the next start.
 */
async function keepSettings (database: Database, kind: ServerKind, { log }: MigrationOptions): Promise<void> {
  const { catalogue } = await readVersion(database)
  // The first start applies all of it a little later.
  const isNew = kind === 'timescale' && await readRetentionMs(database, TELEMETRY) === null
  const policies = kind === 'plain' || isNew ? [] : await policyStatements(database, catalogue.streams, {})
  const distribution = await distributionStatements(database, kind, catalogue.streams, {})
  for (const sql of [...policies, ...distribution]) await database.query(sql)
  for (const statement of await readerStatements(database, namesOf(catalogue), {})) {
    await applySetting(database, { ...statement, optional: true }, log)
  }
}

function namesOf ({ streams }: Catalogue): string[] {
  return streams.map(({ name }) => name)
}

/** Limits of new metrics join those in force, if there are any: they would not be checked otherwise. */
async function addLimits (database: Database, { catalogue, evolution }: MigrationPlan): Promise<void> {
  const limited = evolution.added.filter(({ metric: { limits, retired } }) => !retired && hasLimits(limits))
  const known = limited.length === 0 ? null : await readLimits(database, catalogue.limitable)
  if (known === null) return
  const set = withLimitsOf(limited, known.set, catalogue)
  const replaced = await replaceLimits(database, catalogue.limitable, known.version, set, 'catalogue')
  if (replaced === null) throw new StartupError('Somebody changed the limits at the same time: start again.')
}
