/**
 * What a database must be like before anything is changed in it, told in words that say what to do: an encoding that holds
 * every satellite's id, the right to make tables in the schema public, and that it takes changes at all.
 */
import { OperatingError } from '../support/errors.js'
import type { Database } from '../database/connection.js'
import { identifier } from './sql-files.js'
import { StartupError } from '../support/startup-error.js'

const ENCODING = 'UTF8'

/**
 * Throws a StartupError for a database that will never do, and an error that isPassing knows for one that takes no
 * changes now: a standby, or one that was made read-only.
 */
export async function assertUsable (database: Database): Promise<void> {
  const { rows: [row] } = await database.query<{ name: string, encoding: string, standby: boolean, read_only: boolean }>(`
    SELECT current_database() AS name, current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,
           current_setting('transaction_read_only')::boolean AS read_only`)
  if (row === undefined) return
  if (row.encoding !== ENCODING) {
    throw new StartupError(`The database ${row.name} has the encoding ${row.encoding}, which does not hold every character of ids: make one with ${ENCODING} (CREATE DATABASE orbitstream ENCODING '${ENCODING}' TEMPLATE template0), and name it in DATABASE_URL.`)
  }
  if (row.standby) throw new OperatingError('database_unavailable', 'The server is a standby, and takes no changes until it is promoted.')
  if (row.read_only) throw new OperatingError('database_unavailable', 'The database is read-only (default_transaction_read_only), and takes no changes until that is off.')
}

interface Rights {
  readonly name: string
  readonly user: string
  readonly schema: boolean
  readonly create: boolean
  /** Of the tables, where that is somebody whose rights the user does not have. */
  readonly owner: string | null
}

/** Throws a StartupError that names the statement to run. Partitions are made all the time, so it is not for migrations alone. */
export async function assertRights (database: Database): Promise<void> {
  const { rows: [rights] } = await database.query<Rights>(`
    SELECT current_database() AS name, current_user AS user, n.oid IS NOT NULL AS schema,
           coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false) AS create,
           (SELECT pg_get_userbyid(relowner) FROM pg_class
            WHERE oid IN (to_regclass('public.telemetry'), to_regclass('public.ingest_ledger')) AND NOT pg_has_role(relowner, 'USAGE') LIMIT 1) AS owner
    FROM (SELECT to_regnamespace('public') AS oid) n`)
  if (rights === undefined) return
  const user = identifier(rights.user)
  if (!rights.schema) throw new StartupError(`The database ${rights.name} has no schema public, where the tables belong: run CREATE SCHEMA public AUTHORIZATION ${user}; there, then start again.`)
  if (!rights.create) throw new StartupError(`The database user ${rights.user} may not make tables in the database ${rights.name}: run GRANT USAGE, CREATE ON SCHEMA public TO ${user}; there as its owner or a superuser, then start again.`)
  if (rights.owner !== null) throw new StartupError(`The tables in the database ${rights.name} belong to ${rights.owner}, and partitions are made by their owner alone: run GRANT ${identifier(rights.owner)} TO ${user}; as a superuser, then start again.`)
}
