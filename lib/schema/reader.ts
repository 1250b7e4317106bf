/**
 * The read-only role orbitstream_reader: its privileges and its password.
 *
 * Privileges are granted by name at each start, so that they cover tables of later migrations, and nothing else in a
 * shared database. The role and its password belong to the whole server. The server receives a verifier, never the
 * password itself: statements may be logged.
 *
 * The reader also has the privileges of PUBLIC, and some allow more than reading: temporary tables and large objects,
 * which can fill the disk, and TimescaleDB jobs. They are revoked from PUBLIC once the reader can log in, unless
 * another role has objects or privileges in this database and might miss them; then they stay, and each start logs a
 * warning.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { Database } from '../database/database.js'
import { streamSql } from '../database/stream-tables.js'

export interface ReaderSettings {
  /** Null or absent: the role's login is left unchanged. */
  readonly readerPassword?: string | null
}

export const READER_ROLE = 'orbitstream_reader'
const READABLE = [
  'anomalies', 'limits', 'limits_history', 'ingest_ledger', 'ingest_stats', 'quarantined_rows', 'catalogue',
  'metric_states', 'last_changes'
]
const READABLE_OF_STREAM = [
  'telemetry', 'telemetry_10s', 'telemetry_1m', 'satellites_latest',
  // Read by the views through functions that run with the caller's privileges.
  'rollup_state', 'rollup_10s', 'rollup_1m',
  // The nodes of Citus check the tables behind a view.
  'rollup_dirty'
]
/** PostgreSQL's default. */
const ITERATIONS = 4096

interface State {
  readonly role: boolean
  /** Existing relations that the role may not read yet. */
  readonly hidden: string[]
  readonly fresh: boolean
}

interface Statement {
  readonly sql: string
  /** For printing, without the password. */
  readonly shown: string
}

/** Statements for what is missing. If the migration could not create the role, none unless it is to log in. */
export async function readerStatements (
  database: Database, streams: readonly string[], { readerPassword }: ReaderSettings
): Promise<Statement[]> {
  const readable = [
    ...streams.flatMap((stream) => READABLE_OF_STREAM.map((name) => streamSql(name, stream))), ...READABLE
  ]
  const { rows } = await database.query<State>(`
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '${READER_ROLE}') AS role,
           to_regclass('public.rollup_state') IS NULL AS fresh,
           ARRAY(SELECT c.relname::text FROM pg_class c, pg_roles r
                 WHERE r.rolname = '${READER_ROLE}' AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
                   AND NOT has_table_privilege(r.oid, c.oid, 'SELECT') ORDER BY 1) AS hidden`, [readable])
  const state = rows[0] ?? { role: false, hidden: [], fresh: false }
  const open = await publicRights(database, readerPassword != null)
  const revocable = open.others.length > 0 ? [] : open.rights.filter(({ may }) => may)
  const revoked = revocable.map(({ revoke }) => ({ sql: revoke, shown: revoke }))
  if (!state.role && !state.fresh) {
    return readerPassword == null ? [] : [createReader(readerPassword, readable), ...revoked]
  }
  const granted = state.fresh ? readable : state.hidden
  const grant = grantOn(granted)
  return [
    ...granted.length === 0 ? [] : [{ sql: grant, shown: grant }],
    ...await canJoin(database) ? [{ sql: JOIN, shown: JOIN }] : [],
    ...readerPassword == null ? [] : [{ sql: login(scramVerifier(readerPassword)), shown: login('***') }],
    ...revoked
  ]
}

/** What the reader may do beyond reading, and how to revoke it, if other roles are affected or this user may not. */
export async function readerAdvice (database: Database): Promise<string[]> {
  const { rights, others } = await publicRights(database)
  const left = others.length > 0 ? rights : rights.filter(({ may }) => !may)
  if (left.length === 0) return []
  const why = others.length > 0
    ? `it was not revoked from PUBLIC, since other roles use this database (${others.join(', ')})`
    : 'this user may not revoke it from PUBLIC'
  const [what, revoke] = [left.map((right) => right.what).join(', '), left.map((right) => right.revoke).join('; ')]
  return [`${READER_ROLE} may ${what}, as every role may; ${why}. To revoke it: ${revoke}`]
}

interface PublicRight {
  readonly what: string
  readonly revoke: string
  /** This user may revoke it. */
  readonly may: boolean
}

interface PublicRights {
  readonly rights: readonly PublicRight[]
  /** Other roles with objects or privileges in this database. */
  readonly others: readonly string[]
}

/** What PUBLIC may do in this database beyond reading. Empty while the reader cannot log in. */
async function publicRights (database: Database, willLogIn = false): Promise<PublicRights> {
  const { rows } = await database.query<{ rights: PublicRight[] | null, others: string[] }>(
    PUBLIC_RIGHTS, [READER_ROLE, willLogIn])
  return { rights: rows[0]?.rights ?? [], others: rows[0]?.others ?? [] }
}

const PUBLIC_RIGHTS = `
  WITH held AS (
    SELECT 'create temporary tables' AS what,
           format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', datname) AS revoke, datdba AS owner, 1 AS place
    FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
    WHERE datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'TEMPORARY'
    UNION ALL
    SELECT 'create tables', 'REVOKE CREATE ON SCHEMA public FROM PUBLIC', nspowner, 2
    FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
    WHERE nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE'
    UNION ALL
    SELECT CASE proname WHEN 'add_job' THEN 'add jobs' ELSE 'create large objects' END,
           format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC',
                  string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid)),
           min(proowner::bigint)::oid, 3
    FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'
      AND (proname IN ('lo_creat', 'lo_create', 'lo_from_bytea') AND pronamespace = 'pg_catalog'::regnamespace
           OR proname = 'add_job' AND EXISTS (
             SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
             WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
               AND e.extname = 'timescaledb'))
    GROUP BY 1
  ), others AS (
    SELECT DISTINCT r.rolname
    FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid JOIN pg_database db ON db.datname = current_database()
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a')
      AND (s.dbid = db.oid OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = db.oid)
      AND NOT r.rolsuper AND r.rolname NOT IN ($1, current_user) AND r.oid <> db.datdba
  )
  SELECT (SELECT jsonb_agg(
            jsonb_build_object('what', what, 'revoke', revoke, 'may', pg_has_role(owner, 'USAGE')) ORDER BY place, what)
          FROM held) AS rights,
         ARRAY(SELECT rolname::text FROM others ORDER BY 1) AS others
  WHERE $2 OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin)`

/**
 * Members may terminate its sessions, see lock-holders.ts. Before PostgreSQL 16, CREATEROLE allows joining any role.
 */
const JOIN = `GRANT ${READER_ROLE} TO CURRENT_USER`

async function canJoin (database: Database): Promise<boolean> {
  const { rows } = await database.query<{ can: boolean }>(`
    SELECT NOT pg_has_role(r.oid, 'USAGE')
           AND (pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION') OR pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
                OR u.rolcreaterole AND current_setting('server_version_num')::int < 160000) AS can
    FROM pg_roles r, pg_roles u WHERE r.rolname = $1 AND u.rolname = current_user`, [READER_ROLE])
  return rows[0]?.can === true
}

/** One statement list: the rest is useless without the role. */
function createReader (password: string, readable: readonly string[]): Statement {
  const statements = (verifier: string): string => [
    `CREATE ROLE ${READER_ROLE} LOGIN PASSWORD '${verifier}'`,
    `ALTER ROLE ${READER_ROLE} SET jit = off`,
    grantOn(readable)
  ].join('; ')
  return { sql: statements(scramVerifier(password)), shown: statements('***') }
}

function grantOn (names: readonly string[]): string {
  return `GRANT SELECT ON ${names.map(name => `public.${name}`).join(', ')} TO ${READER_ROLE}`
}

function login (verifier: string): string {
  return `ALTER ROLE ${READER_ROLE} LOGIN PASSWORD '${verifier}'`
}

/** What PostgreSQL stores for a password: RFC 5803, "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey". */
export function scramVerifier (password: string, salt = randomBytes(16)): string {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256')
  const sign = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(sign('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${sign('Server Key').toString('base64')}`
}
