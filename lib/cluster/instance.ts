/** What belongs to one instance at a time: its directories, under lock, its id, and its database. */
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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

/**
 * The URL of the database; without DATABASE_URL the embedded one is started, and stopped by the lifecycle. DATA_DIR must be locked.
 * @param signal gives the start of the embedded one up
 */
export async function openDatabase (config: Config, log: Log, lifecycle: Lifecycle, signal?: AbortSignal): Promise<string> {
  if (config.databaseUrl !== null) return config.databaseUrl
  const embedded = await startEmbedded({ dataDir: config.dataDir, log, ...signal === undefined ? {} : { signal } })
  lifecycle.push('the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}

/** A random id of this DATA_DIR, made at the first start: ledger rows of two instances never meet. */
export async function readInstanceId (dataDir: string): Promise<string> {
  const file = join(dataDir, 'instance-id')
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const id = randomUUID()
    await writeFile(file, `${id}\n`, { flush: true })
    return id
  }
}
