/**
 * Connections for acknowledged points: COMMIT waits for the server's disk, whatever server, database or role configure.
 */
import { connect, type ConnectOptions } from './connection.js'
import type { Database } from './database.js'

/**
 * Keeps stricter settings, which also wait for replicas. Set also if it is right already: what a session has not set
 * itself follows the server's configuration, whenever that is changed.
 */
const WAIT_FOR_DISK = `
  SELECT pg_catalog.set_config('synchronous_commit', CASE s WHEN 'off' THEN 'on' ELSE s END, false)
  FROM pg_catalog.current_setting('synchronous_commit') s`

/**
 * The server must detect a vanished worker: until then its backend holds the ledger's row, and the worker's successor
 * waits for it. The default of Linux is two hours.
 */
const NOTICE_VANISHED = `
  SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
  SET tcp_user_timeout = 30000; SET idle_in_transaction_session_timeout = '60s'`

/** @throws what connect() throws */
export async function connectDurably (
  databaseUrl: string, options: Omit<ConnectOptions, 'settings'>
): Promise<Database> {
  return await connect(databaseUrl, { ...options, settings: `${WAIT_FOR_DISK}; ${NOTICE_VANISHED}` })
}
