/**
 * Which kind of server this is, and what TimescaleDB needs before the first migration.
 *
 * TimescaleDB counts where it can do what the schema asks of it: version 2.13 or newer, loaded by the server
 * (shared_preload_libraries), with the features of the community licence. Else the server is a plain PostgreSQL.
 */
import type { Database } from '../database/connection.js'
import { sqlState } from '../database/connection.js'
import { onceMoreIfMade } from './exclusive.js'
import { StartupError } from '../support/startup-error.js'

/** What the schema is made for: with TimescaleDB in the server or without. */
export type ServerKind = 'plain' | 'timescale'

const VERSION_MIN = [2, 13] as const
const INSUFFICIENT_PRIVILEGE = '42501'
const UNDEFINED_FILE = '58P01'
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

/** Why a server that has TimescaleDB is taken as a plain one; null: it has none, or it is not. Changes nothing. */
export async function timescaleHindrance (database: Database): Promise<string | null> {
  const row = await readServer(database)
  return row === null ? null : hindrance(row)
}

/** Null: TimescaleDB is not to be had. A setting of the extension shows that the server loads it; its library list itself is not for everyone to read. */
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
  if (!installed && !loaded) return `the server has TimescaleDB ${String(version)}, but does not load it (shared_preload_libraries)`
  if (license === 'apache') return `TimescaleDB ${String(version)} runs with its Apache licence here (timescaledb.license)`
  return isNewEnough(String(version)) ? null : `TimescaleDB ${String(version)} is older than ${VERSION_MIN.join('.')}`
}

function isNewEnough (version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(part => parseInt(part, 10))
  return major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1])
}

/**
 * Installs the extension in this database; throws a StartupError that says what to do where it cannot be. Some servers tell
 * their licence only then: 'plain' where TimescaleDB cannot do what the schema asks of it.
 */
export async function prepareServer (database: Database): Promise<ServerKind> {
  try {
    await onceMoreIfMade(async () => await database.query(INSTALL))
  } catch (cause) {
    if (sqlState(cause) !== INSUFFICIENT_PRIVILEGE) throw cause
    throw new StartupError('This user may not install TimescaleDB: have a superuser, or whoever owns this database, run CREATE EXTENSION timescaledb in it, then start again.', { cause })
  }
  const { rows } = await database.query<{ license: string | null }>("SELECT current_setting('timescaledb.license', true) AS license")
  return rows[0]?.license === 'apache' ? 'plain' : 'timescale'
}

/**
 * Runs what opens a session. Its first statement loads TimescaleDB as the database has it; where the server does not have that
 * version, every session fails so, and waiting does not mend it.
 */
export async function withLibrary<T> (work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (sqlState(cause) !== UNDEFINED_FILE) throw cause
    throw new StartupError(`The server cannot load TimescaleDB as this database has it: ${(cause as Error).message}. Install that version for this PostgreSQL, or a newer one and run ALTER EXTENSION timescaledb UPDATE as the first statement of psql -X. Which versions go together: README.md, "TimescaleDB and disk".`, { cause })
  }
}

/** What prepareServer would do; changes nothing. */
export async function planServer (database: Database): Promise<string | null> {
  return (await database.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'")).rowCount > 0 ? null : INSTALL
}
