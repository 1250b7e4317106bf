/**
 * The read-only role orbitstream_reader: what it may see, and its password.
 *
 * Rights are given by name at each start, so that tables of later migrations are included; nothing else of a database
 * that others use too. The role belongs to the whole server, and so does its password. The server gets a verifier,
 * never the password itself: statements may be logged.
 *
 * Whatever every role of a database may, the reader may too, and some of that is more than reading: to make temporary tables
 * and large objects, which fill the disk, and jobs of TimescaleDB. It is taken from everybody (PUBLIC) once the reader can log
 * in, where no other role has anything in this database that could miss it; else it is left, and said at each start.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { Database } from '../database/connection.js'

export interface ReaderSettings {
  /** Null or absent: the role's login stays as it is. */
  readonly readerPassword?: string | null
}

export const READER_ROLE = 'orbitstream_reader'
const READABLE = [
  'telemetry', 'telemetry_10s', 'telemetry_1m', 'satellites_latest', 'anomalies', 'limits', 'limits_history', 'ingest_ledger', 'ingest_stats', 'quarantined_rows',
  // Views read these through functions, which ask with the rights of whoever asks.
  'rollup_state', 'rollup_10s', 'rollup_1m'
]
/** PostgreSQL's default. */
const ITERATIONS = 4096

interface State {
  readonly role: boolean
  /** Relations that are there and that the role may not read. */
  readonly hidden: string[]
  readonly fresh: boolean
}

/** What is missing. Without such a role, which the migration may not have been allowed to make, nothing unless it is to log in. */
export async function readerStatements (database: Database, { readerPassword }: ReaderSettings): Promise<Array<{ sql: string, shown: string }>> {
  const { rows } = await database.query<State>(`
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '${READER_ROLE}') AS role,
           to_regclass('public.rollup_state') IS NULL AS fresh,
           ARRAY(SELECT c.relname::text FROM pg_class c, pg_roles r
                 WHERE r.rolname = '${READER_ROLE}' AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
                   AND NOT has_table_privilege(r.oid, c.oid, 'SELECT') ORDER BY 1) AS hidden`, [READABLE])
  const state = rows[0] ?? { role: false, hidden: [], fresh: false }
  const open = readerPassword == null ? await publicRights(database) : await publicRights(database, true)
  const revoked = open.others.length > 0 ? [] : open.rights.filter(({ may }) => may).map(({ revoke }) => ({ sql: revoke, shown: revoke }))
  if (!state.role && !state.fresh) return readerPassword == null ? [] : [makeReader(readerPassword), ...revoked]
  const granted = state.fresh ? READABLE : state.hidden
  const grant = grantOn(granted)
  return [
    ...granted.length === 0 ? [] : [{ sql: grant, shown: grant }],
    ...await canJoin(database) ? [{ sql: JOIN, shown: JOIN }] : [],
    ...readerPassword == null ? [] : [{ sql: login(scramVerifier(readerPassword)), shown: login('***') }],
    ...revoked
  ]
}

/** What the reader may do beyond reading, and what takes it away: where that would concern others, or somebody else must do it. */
export async function readerAdvice (database: Database): Promise<string[]> {
  const { rights, others } = await publicRights(database)
  const left = others.length > 0 ? rights : rights.filter(({ may }) => !may)
  if (left.length === 0) return []
  const why = others.length > 0 ? `it was not taken from everybody, since others have things in this database (${others.join(', ')})` : 'this user may not take it from everybody'
  return [`${READER_ROLE} may ${left.map(({ what }) => what).join(', ')}, as every role may; ${why}. To take it away: ${left.map(({ revoke }) => revoke).join('; ')}`]
}

interface PublicRight {
  readonly what: string
  readonly revoke: string
  /** This user may take it away. */
  readonly may: boolean
}

/** What every role may do in this database beyond reading, and which other roles have anything in it. Nothing while no reader can log in. */
async function publicRights (database: Database, willLogIn = false): Promise<{ readonly rights: readonly PublicRight[], readonly others: readonly string[] }> {
  const { rows } = await database.query<{ rights: PublicRight[] | null, others: string[] }>(PUBLIC_RIGHTS, [READER_ROLE, willLogIn])
  return { rights: rows[0]?.rights ?? [], others: rows[0]?.others ?? [] }
}

const PUBLIC_RIGHTS = `
  WITH held AS (
    SELECT 'make temporary tables' AS what, format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', datname) AS revoke, datdba AS owner, 1 AS place
    FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
    WHERE datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'TEMPORARY'
    UNION ALL
    SELECT 'make tables', 'REVOKE CREATE ON SCHEMA public FROM PUBLIC', nspowner, 2
    FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
    WHERE nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE'
    UNION ALL
    SELECT CASE proname WHEN 'add_job' THEN 'add jobs' ELSE 'make large objects' END,
           'REVOKE EXECUTE ON FUNCTION ' || string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid) || ' FROM PUBLIC', min(proowner::bigint)::oid, 3
    FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'
      AND (proname IN ('lo_creat', 'lo_create', 'lo_from_bytea') AND pronamespace = 'pg_catalog'::regnamespace
           OR proname = 'add_job' AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                                              WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' AND e.extname = 'timescaledb'))
    GROUP BY 1
  ), others AS (
    SELECT DISTINCT r.rolname
    FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid JOIN pg_database db ON db.datname = current_database()
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a')
      AND (s.dbid = db.oid OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = db.oid)
      AND NOT r.rolsuper AND r.rolname NOT IN ($1, current_user) AND r.oid <> db.datdba
  )
  SELECT (SELECT jsonb_agg(jsonb_build_object('what', what, 'revoke', revoke, 'may', pg_has_role(owner, 'USAGE')) ORDER BY place, what) FROM held) AS rights,
         ARRAY(SELECT rolname::text FROM others ORDER BY 1) AS others
  WHERE $2 OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin)`

/** A member may end its sessions, see lock-holders.ts. Before PostgreSQL 16 whoever may make roles may give them to himself. */
const JOIN = `GRANT ${READER_ROLE} TO CURRENT_USER`

async function canJoin (database: Database): Promise<boolean> {
  const { rows } = await database.query<{ can: boolean }>(`
    SELECT NOT pg_has_role(r.oid, 'USAGE') AND (pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION') OR pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
           OR u.rolcreaterole AND current_setting('server_version_num')::int < 160000) AS can
    FROM pg_roles r, pg_roles u WHERE r.rolname = $1 AND u.rolname = current_user`, [READER_ROLE])
  return rows[0]?.can === true
}

/** In one piece: without the role the rest means nothing. */
function makeReader (password: string): { sql: string, shown: string } {
  const statements = (verifier: string): string => [`CREATE ROLE ${READER_ROLE} LOGIN PASSWORD '${verifier}'`, `ALTER ROLE ${READER_ROLE} SET jit = off`, grantOn(READABLE)].join('; ')
  return { sql: statements(scramVerifier(password)), shown: statements('***') }
}

function grantOn (names: readonly string[]): string {
  return `GRANT SELECT ON ${names.map(name => `public.${name}`).join(', ')} TO ${READER_ROLE}`
}

function login (verifier: string): string {
  return `ALTER ROLE ${READER_ROLE} LOGIN PASSWORD '${verifier}'`
}

/** What PostgreSQL keeps of a password: RFC 5803, "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey". */
export function scramVerifier (password: string, salt = randomBytes(16)): string {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256')
  const sign = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(sign('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${sign('Server Key').toString('base64')}`
}
