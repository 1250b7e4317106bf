/**
 * The read-only role orbitstream_reader: what it may see, and its password.
 *
 * Rights are given by name at each start, so that tables of later migrations are included; nothing else of a database
 * that others use too. The role belongs to the whole server, and so does its password. The server gets a verifier,
 * never the password itself: statements may be logged.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { Database } from './db.js'

export interface ReaderSettings {
  /** Null or absent: the role's login stays as it is. */
  readonly readerPassword?: string | null
}

const ROLE = 'orbitstream_reader'
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
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '${ROLE}') AS role,
           to_regclass('public.rollup_state') IS NULL AS fresh,
           ARRAY(SELECT c.relname::text FROM pg_class c, pg_roles r
                 WHERE r.rolname = '${ROLE}' AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
                   AND NOT has_table_privilege(r.oid, c.oid, 'SELECT') ORDER BY 1) AS hidden`, [READABLE])
  const state = rows[0] ?? { role: false, hidden: [], fresh: false }
  if (!state.role && !state.fresh) return readerPassword == null ? [] : [makeReader(readerPassword)]
  const granted = state.fresh ? READABLE : state.hidden
  const grant = grantOn(granted)
  return [
    ...granted.length === 0 ? [] : [{ sql: grant, shown: grant }],
    ...readerPassword == null ? [] : [{ sql: login(scramVerifier(readerPassword)), shown: login('***') }]
  ]
}

/** In one piece: without the role the rest means nothing. */
function makeReader (password: string): { sql: string, shown: string } {
  const statements = (verifier: string): string => [`CREATE ROLE ${ROLE} LOGIN PASSWORD '${verifier}'`, `ALTER ROLE ${ROLE} SET jit = off`, grantOn(READABLE)].join('; ')
  return { sql: statements(scramVerifier(password)), shown: statements('***') }
}

function grantOn (names: readonly string[]): string {
  return `GRANT SELECT ON ${names.map(name => `public.${name}`).join(', ')} TO ${ROLE}`
}

function login (verifier: string): string {
  return `ALTER ROLE ${ROLE} LOGIN PASSWORD '${verifier}'`
}

/** What PostgreSQL keeps of a password: RFC 5803, "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey". */
export function scramVerifier (password: string, salt = randomBytes(16)): string {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256')
  const sign = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(sign('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${sign('Server Key').toString('base64')}`
}
