/** Migrated databases that keep points for ten days, and the names of their partitions. */
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { migrate } from '../../../lib/schema/migrate.js'
import type { Owner } from '../owner.js'
import { silentLog } from './postgres.js'

export const SETTINGS = { retentionMs: 10 * DAY_MS }
export const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }

/** A connection to an empty database, once it was migrated. */
export async function migrated (owner: Owner, url: string): Promise<Database> {
  const database = await connect(url, OPTIONS)
  owner.teardown(() => database.close())
  await migrate(database, { ...SETTINGS, log: silentLog })
  return database
}

/** The partition of a day. */
export function nameOf (timeMs: number): string {
  return `telemetry_p${new Date(timeMs).toISOString().slice(0, 10).replaceAll('-', '')}`
}
