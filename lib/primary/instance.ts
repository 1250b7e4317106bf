/** What one instance owns exclusively: its directories, which it locks, its id, and its database. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { spoolDirectory, type Config } from '../config/settings.js'
import type { Lifecycle } from '../support/lifecycle.js'
import { isWritableForAll } from '../host/owner.js'
import { readSmall, writeSmall } from '../host/plain-file.js'
import type { Log } from '../support/log.js'
import { dataDirMode, lockDirectory } from '../host/data-directory.js'
import { startEmbedded } from '../embedded/embedded.js'

/** Format of randomUUID(). */
const INSTANCE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Locks DATA_DIR and SPOOL_DIR until the lifecycle ends. @throws {StartupError} another process holds one */
export async function lockInstance (
  config: Config, log: Log, lifecycle: Lifecycle, isServer = false
): Promise<void> {
  await lockOne(config.dataDir, 'DATA_DIR', log, lifecycle, dataDirMode(config.databaseUrl === null), isServer)
  // SPOOL_DIR may be outside DATA_DIR, and so be given to two instances.
  const directory = spoolDirectory(config)
  if (directory !== null) await lockOne(directory, 'SPOOL_DIR', log, lifecycle)
}

async function lockOne (
  directory: string, what: string, log: Log, lifecycle: Lifecycle, mode?: number, isServer = false
): Promise<void> {
  const lock = await lockDirectory(directory, what, mode, isServer)
  lifecycle.push(`the lock of ${what}`, () => lock.release())
  if (await isWritableForAll(directory)) {
    log.warn({ directory }, `every user of this machine can replace files in ${what}: chmod o-w ${directory}`)
  }
}

/**
 * Starts the embedded PostgreSQL if DATABASE_URL is not set; the lifecycle stops it. DATA_DIR must be locked.
 * @param signal aborts the start of the embedded PostgreSQL
 * @returns the URL of the database
 */
export async function openDatabase (
  config: Config, log: Log, lifecycle: Lifecycle, signal?: AbortSignal
): Promise<string> {
  if (config.databaseUrl !== null) return config.databaseUrl
  const embedded = await startEmbedded({ dataDir: config.dataDir, log, ...signal === undefined ? {} : { signal } })
  lifecycle.push('the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}

/**
 * Reads the random id of this DATA_DIR, created at its first start, so that two instances never write the same rows. It
 * identifies the server's statistics and, with SPOOL_DIR=off, its ledger rows. Nothing on disk depends on it (a spool
 * has its own id), so a damaged one is replaced.
 */
export async function readInstanceId (dataDir: string, log: Log): Promise<string> {
  const file = join(dataDir, 'instance-id')
  const kept = readSmall(file)
  if (kept !== null && INSTANCE_ID.test(kept)) return kept
  const id = randomUUID()
  await writeSmall(file, id)
  if (kept !== null) {
    log.warn({ file, id }, 'the instance id was damaged and has been replaced; statistics continue under the new id')
  }
  return id
}
