/**
 * Which kind of server this is, and what TimescaleDB needs before the first migration.
 *
 * TimescaleDB counts where it can do what the schema asks of it: version 2.13 or newer, loaded by the server
 * (shared_preload_libraries), with the features of the community licence. Else the server is a plain PostgreSQL.
 */
import type { Database } from './db.js'
import { sqlState } from './db.js'
import { StartupError } from './startup-error.js'

/** What the schema is made for: with TimescaleDB in the server or without. */
export type ServerKind = 'plain' | 'timescale'

const VERSION_MIN = [2, 13] as const
const INSUFFICIENT_PRIVILEGE = '42501'
const INSTALL = 'CREATE EXTENSION IF NOT EXISTS timescaledb'

interface Row {
  readonly version: string | null
  readonly installed: boolean
  readonly loaded: boolean
  readonly license: string | null
}

/** Changes nothing. A setting of the extension shows that the server loads it; its library list itself is not for everyone to read. */
export async function serverKind (database: Database): Promise<ServerKind> {
  const { rows } = await database.query<Row>(`
    SELECT coalesce(e.extversion, a.default_version) AS version,
           e.extversion IS NOT NULL AS installed,
           EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%') AS loaded,
           current_setting('timescaledb.license', true) AS license
    FROM pg_available_extensions a LEFT JOIN pg_extension e ON e.extname = a.name
    WHERE a.name = 'timescaledb'`)
  const [row] = rows
  if (row?.version == null || !(row.installed || row.loaded) || row.license === 'apache') return 'plain'
  return isNewEnough(row.version) ? 'timescale' : 'plain'
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
    await database.query(INSTALL)
  } catch (cause) {
    if (sqlState(cause) !== INSUFFICIENT_PRIVILEGE) throw cause
    throw new StartupError('This user may not install TimescaleDB: run CREATE EXTENSION timescaledb in this database as a superuser, then start again.', { cause })
  }
  const { rows } = await database.query<{ license: string | null }>("SELECT current_setting('timescaledb.license', true) AS license")
  return rows[0]?.license === 'apache' ? 'plain' : 'timescale'
}

/** What prepareServer would do; changes nothing. */
export async function planServer (database: Database): Promise<string | null> {
  return (await database.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'")).rowCount > 0 ? null : INSTALL
}
