/**
 * Settings that every session relies on, applied on connect regardless of those of server, database, role and URL: text
 * formats (times, numbers, bytes, literals, nulls, names), name lookup, isolation, and time-outs.
 *
 * All statements are one message, so they cost one round trip per connection. They are not startup parameters, which
 * poolers refuse; but a pooler must keep the session for the life of the connection (pool_mode=session of PgBouncer).
 *
 * OrbitStream's tables, views and functions are always in `public`. pg_temp comes last, so that temporary objects
 * cannot shadow them.
 *
 * Not set: default_transaction_read_only, with which an administrator stops writes; role, tablespaces, and settings
 * that affect performance only.
 */
import type { SessionAttributes } from './connection-target.js'

const SETTINGS = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  // A double precision is returned exactly as stored.
  extra_float_digits: '1',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  // In arrays; otherwise it is a string.
  array_nulls: 'on',
  quote_all_identifiers: 'off',
  default_transaction_isolation: 'read committed',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_session_timeout: '0',
  // A transaction that idles this long has lost its client, and holds locks.
  idle_in_transaction_session_timeout: '60s'
} as const

/** Run by every new session. */
export const SESSION_SETTINGS = [
  ...Object.entries(SETTINGS).map(([name, value]) => `SET ${name} = '${value}'`),
  'SET search_path = public, pg_temp',
  // Unknown to servers before PostgreSQL 17.
  "SELECT pg_catalog.set_config('transaction_timeout', '0', false) " +
    "WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL"
].join('; ')

/** Why a session cannot be used, as target_session_attrs has it; null: it can. Sent with the session's settings. */
export const REFUSALS: Readonly<Record<SessionAttributes, string>> = {
  any: 'SELECT NULL AS refusal',
  'read-write': "SELECT CASE pg_catalog.current_setting('transaction_read_only') WHEN 'on' THEN " +
    "'read-only: a standby, or default_transaction_read_only is on' END AS refusal",
  primary: "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'a standby' END AS refusal"
}
