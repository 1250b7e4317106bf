/**
 * Requirements that are checked before a database is changed, with messages that say what to do: an encoding for all
 * satellite ids, the privilege to create tables in the schema public, and write access.
 */
import { OperatingError } from '../support/errors.js'
import type { Database } from '../database/database.js'
import { identifier } from '../database/quote.js'
import { StartupError } from '../support/startup-error.js'

const ENCODING = 'UTF8'

/**
 * Throws a StartupError for an unsuitable database, and an error that isPassing recognises for one that cannot be
 * written now: a standby, or one that is read-only.
 */
export async function assertUsable (database: Database): Promise<void> {
  const { rows: [row] } = await database.query<Server>(`
    SELECT current_database() AS name, current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,
           current_setting('transaction_read_only')::boolean AS read_only`)
  if (row === undefined) return
  if (row.encoding !== ENCODING) {
    throw new StartupError(
      `The database ${row.name} has the encoding ${row.encoding}, which cannot store every satellite id: ` +
      `create one with ${ENCODING} (CREATE DATABASE orbitstream ENCODING '${ENCODING}' TEMPLATE template0), ` +
      'and set DATABASE_URL to it.')
  }
  if (row.standby) {
    throw new OperatingError('database_unavailable',
      'The server is a standby, and cannot be written to until it is promoted.')
  }
  if (row.read_only) {
    throw new OperatingError('database_unavailable',
      'The database is read-only (default_transaction_read_only), and cannot be written to until that is off.')
  }
}

/** @param relation its name, with the schema */
export async function hasRelation (database: Database, relation: string): Promise<boolean> {
  const { rows } = await database.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [relation])
  return rows[0]?.there === true
}

interface Server {
  readonly name: string
  readonly encoding: string
  readonly standby: boolean
  readonly read_only: boolean
}

interface Rights {
  readonly name: string
  readonly user: string
  readonly schema: boolean
  readonly create: boolean
  /** Owner of the tables, unless the user has the owner's privileges. */
  readonly owner: string | null
}

/** Throws a StartupError with the statement to run. Not for migrations alone: partitions are created all the time. */
export async function assertRights (database: Database): Promise<void> {
  const { rows: [rights] } = await database.query<Rights>(`
    SELECT current_database() AS name, current_user AS user, n.oid IS NOT NULL AS schema,
           coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false) AS create,
           (SELECT pg_get_userbyid(relowner) FROM pg_class
            WHERE oid IN (to_regclass('public.telemetry'), to_regclass('public.ingest_ledger'))
              AND NOT pg_has_role(relowner, 'USAGE') LIMIT 1) AS owner
    FROM (SELECT to_regnamespace('public') AS oid) n`)
  if (rights === undefined) return
  const { name, owner } = rights
  const user = identifier(rights.user)
  if (!rights.schema) {
    throw new StartupError(`The database ${name} has no schema public, where the tables belong: ` +
      `run CREATE SCHEMA public AUTHORIZATION ${user}; there, then start again.`)
  }
  if (!rights.create) {
    throw new StartupError(`The database user ${rights.user} may not create tables in the database ${name}: ` +
      `run GRANT USAGE, CREATE ON SCHEMA public TO ${user}; there as its owner or a superuser, then start again.`)
  }
  if (owner !== null) {
    throw new StartupError(
      `The tables in the database ${name} belong to ${owner}, and only their owner can add partitions: ` +
      `run GRANT ${identifier(owner)} TO ${user}; as a superuser, then start again.`)
  }
}
