/**
 * The kind of a server, and what TimescaleDB needs before the first migration.
 *
 * TimescaleDB is used if it has what the schema needs: version 2.13 or newer, loaded by the server
 * (shared_preload_libraries), under the community licence. Otherwise the server counts as plain PostgreSQL.
 */
import { sqlState } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { onceMoreIfMade } from './locks/exclusive.js'
import { INSUFFICIENT_PRIVILEGE, UNDEFINED_FILE } from '../database/sqlstates.js'
import { StartupError } from '../support/startup-error.js'
import { isInstalled } from './timescale-policies.js'

/** What the schema is built on: plain PostgreSQL or TimescaleDB. */
export type ServerKind = 'plain' | 'timescale'

const VERSION_MIN = [2, 13] as const
const INSTALL = 'CREATE EXTENSION IF NOT EXISTS timescaledb'

interface Row {
  readonly version: string | null
  readonly installed: boolean
  readonly loaded: boolean
  readonly license: string | null
}

/** Changes nothing. */
export async function serverKind (database: Database): Promise<ServerKind> {
  const row = await readServer(database)
  return row === null || hindrance(row) !== null ? 'plain' : 'timescale'
}

/** Why a server with TimescaleDB counts as plain; null: it has none, or it does not. Changes nothing. */
export async function timescaleHindrance (database: Database): Promise<string | null> {
  const row = await readServer(database)
  return row === null ? null : hindrance(row)
}

/** Null: TimescaleDB is unavailable. Its settings show that it is loaded; the library list needs privileges to read. */
async function readServer (database: Database): Promise<Row | null> {
  const { rows } = await database.query<Row>(`
    SELECT coalesce(e.extversion, a.default_version) AS version,
           e.extversion IS NOT NULL AS installed,
           EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%') AS loaded,
           current_setting('timescaledb.license', true) AS license
    FROM pg_available_extensions a LEFT JOIN pg_extension e ON e.extname = a.name
    WHERE a.name = 'timescaledb'`)
  return rows[0]?.version == null ? null : rows[0]
}

function hindrance ({ version, installed, loaded, license }: Row): string | null {
  const name = `TimescaleDB ${String(version)}`
  if (!installed && !loaded) return `the server has ${name}, but does not load it (shared_preload_libraries)`
  if (license === 'apache') return `${name} runs under its Apache licence here (timescaledb.license)`
  return isOlder(String(version), ...VERSION_MIN) ? `${name} is older than ${VERSION_MIN.join('.')}` : null
}

/** Whether a version of TimescaleDB is older than major.minor. */
export function isOlder (version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(part => parseInt(part, 10))
  return ownMajor < major || (ownMajor === major && ownMinor < minor)
}

/**
 * Installs the extension in this database; throws a StartupError with instructions if that fails. Some servers report
 * their licence only afterwards: 'plain' if TimescaleDB lacks what the schema needs.
 */
export async function prepareServer (database: Database): Promise<ServerKind> {
  try {
    await onceMoreIfMade(async () => await database.query(INSTALL))
  } catch (cause) {
    if (sqlState(cause) !== INSUFFICIENT_PRIVILEGE) throw cause
    throw new StartupError(
      'This user may not install TimescaleDB: have a superuser or the owner of this database ' +
      'run CREATE EXTENSION timescaledb in it, then start again.', { cause })
  }
  const { rows } = await database.query<{ license: string | null }>(
    "SELECT current_setting('timescaledb.license', true) AS license")
  return rows[0]?.license === 'apache' ? 'plain' : 'timescale'
}

/**
 * Runs what opens a session. Its first statement loads the version of TimescaleDB that the database uses; if the server
 * lacks it, every session fails, and retrying does not help.
 */
export async function withLibrary<T> (work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (sqlState(cause) !== UNDEFINED_FILE) throw cause
    throw new StartupError(
      `The server cannot load the version of TimescaleDB that this database uses: ${(cause as Error).message}. ` +
      'Install that version for this PostgreSQL, or a newer one and run ALTER EXTENSION timescaledb UPDATE ' +
      'as the first statement of psql -X. Compatible versions: docs/DATABASE.md, "TimescaleDB versions".', { cause })
  }
}

/** What prepareServer would run; changes nothing. */
export async function planServer (database: Database): Promise<string | null> {
  return await isInstalled(database) ? null : INSTALL
}
