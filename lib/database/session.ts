/**
 * What every session of ours relies on, set when it connects, whatever the server, the database, the role or the URL say: how
 * texts are written and read (times, numbers, bytes, literals), where names are looked up, what a transaction sees, and
 * that no clock of somebody else's ends it.
 *
 * One message of statements, so one round trip a connection. It is no startup parameter, since poolers refuse those; a
 * pooler must keep a session for as long as we are connected, though (pool_mode=session of PgBouncer).
 *
 * Tables, views and functions of ours are in `public`, always. pg_temp comes last, so that nothing temporary is taken for them.
 *
 * Left alone: default_transaction_read_only, by which an administrator says that nothing is to be written now, role,
 * tablespaces, and what only makes things slower or quicker.
 */
const SETTINGS = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  // A double precision is read as the very number that was stored.
  extra_float_digits: '1',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  default_transaction_isolation: 'read committed',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_session_timeout: '0',
  // Of ours none idles for long: one that does has lost its client, and holds locks.
  idle_in_transaction_session_timeout: '60s'
} as const

/** To be run by every new session. */
export const SESSION_SETTINGS = [
  ...Object.entries(SETTINGS).map(([name, value]) => `SET ${name} = '${value}'`),
  'SET search_path = public, pg_temp',
  // Unknown to servers before PostgreSQL 17.
  "SELECT pg_catalog.set_config('transaction_timeout', '0', false) WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL"
].join('; ')
