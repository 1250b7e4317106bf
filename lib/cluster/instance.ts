/** What belongs to one instance at a time: its directories, under lock, and its database. */
import { spoolDirectory, type Config } from '../config.js'
import type { Lifecycle } from '../lifecycle.js'
import type { Log } from '../log.js'
import { lockDirectory } from '../store/data-directory.js'
import { startEmbedded } from '../store/embedded.js'

/** Locks DATA_DIR and SPOOL_DIR; throws StartupError if another process holds one. The lifecycle gives them back. */
export async function lockInstance (config: Config, lifecycle: Lifecycle): Promise<void> {
  const data = await lockDirectory(config.dataDir, 'DATA_DIR')
  lifecycle.push('the lock of DATA_DIR', () => data.release())
  // A spool directory of its own place could be given to two instances.
  const directory = spoolDirectory(config)
  if (directory === null) return
  const spool = await lockDirectory(directory, 'SPOOL_DIR')
  lifecycle.push('the lock of SPOOL_DIR', () => spool.release())
}

/** The URL of the database; without DATABASE_URL the embedded one is started, and stopped by the lifecycle. DATA_DIR must be locked. */
export async function openDatabase (config: Config, log: Log, lifecycle: Lifecycle): Promise<string> {
  if (config.databaseUrl !== null) return config.databaseUrl
  const embedded = await startEmbedded({ dataDir: config.dataDir, log })
  lifecycle.push('the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}
