/** What belongs to one instance at a time: its directories, under lock, its id, and its database. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { spoolDirectory, type Config } from '../config/config.js'
import type { Lifecycle } from '../support/lifecycle.js'
import { isWritableForAll } from '../host/owner.js'
import { readSmall, writeSmall } from '../host/plain-file.js'
import type { Log } from '../support/log.js'
import { dataDirMode, lockDirectory } from '../host/data-directory.js'
import { startEmbedded } from '../embedded/embedded.js'

/** As randomUUID() makes them. */
const INSTANCE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Locks DATA_DIR and SPOOL_DIR; throws StartupError if another process holds one. The lifecycle gives them back. */
export async function lockInstance (config: Config, log: Log, lifecycle: Lifecycle): Promise<void> {
  await lockOne(config.dataDir, 'DATA_DIR', log, lifecycle, dataDirMode(config.databaseUrl === null))
  // A spool directory of its own place could be given to two instances.
  const directory = spoolDirectory(config)
  if (directory !== null) await lockOne(directory, 'SPOOL_DIR', log, lifecycle)
}

async function lockOne (directory: string, what: string, log: Log, lifecycle: Lifecycle, mode?: number): Promise<void> {
  const lock = await lockDirectory(directory, what, mode)
  lifecycle.push(`the lock of ${what}`, () => lock.release())
  if (await isWritableForAll(directory)) log.warn({ directory }, `every user of this machine can replace what lies in ${what}: chmod o-w ${directory}`)
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

/**
 * A random id of this DATA_DIR, made at the first start: what two instances write to the database never meets. It names
 * what the server counts, and with SPOOL_DIR=off its rows of the ledger. Nothing on disk is found by it (a spool has an id
 * of its own), so one that is damaged is replaced.
 */
export async function readInstanceId (dataDir: string, log: Log): Promise<string> {
  const file = join(dataDir, 'instance-id')
  const kept = readSmall(file)
  if (kept !== null && INSTANCE_ID.test(kept)) return kept
  const id = randomUUID()
  await writeSmall(file, id)
  if (kept !== null) log.warn({ file, id }, 'the id of this instance was damaged, and it gets a new one: its statistics go on under another name')
  return id
}
