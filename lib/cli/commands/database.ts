/** Database access for commands other than `start`: the configured one, or the embedded one, started if necessary. */
import { logTarget, spoolDirectory, type Config } from '../../config/settings.js'
import { Lifecycle } from '../../support/lifecycle.js'
import { createLogger, type Log } from '../../support/log.js'
import { dataDirMode, lockDirectory } from '../../host/data-directory.js'
import { connect } from '../../database/connection.js'
import type { Database } from '../../database/database.js'
import { embeddedUrl, startEmbedded } from '../../embedded/embedded.js'
import { withLibrary } from '../../schema/server-kind.js'
import { systemCode } from '../../support/errors.js'
import { StartupError } from '../../support/startup-error.js'
import { stat } from 'node:fs/promises'

export const CONNECT_TIMEOUT_MS = 5_000

const OPTIONS = { applicationName: 'orbitstream command', connectTimeoutMs: CONNECT_TIMEOUT_MS }

/** A log on standard error: standard output is for other programs to read. */
export function errorLog (config: Config, name: string): Log {
  return createLogger({ level: config.logLevel, name, destination: { write: (line) => process.stderr.write(line) } })
}

/** Runs `work` with a connection, then closes everything that was opened for it. */
export async function withDatabase<T> (config: Config, log: Log, work: (db: Database) => Promise<T>): Promise<T> {
  const lifecycle = new Lifecycle()
  try {
    const url = config.databaseUrl ?? await openEmbedded(config.dataDir, log, lifecycle)
    const db = await withLibrary(async () => await connect(url, OPTIONS))
    lifecycle.push('the connection', () => db.close())
    return await work(db)
  } finally {
    await lifecycle.release()
  }
}

/** A connection to a database that is already running, or why there is none. Starts nothing. */
export async function findDatabase (config: Config): Promise<Database | string> {
  const embedded = config.databaseUrl === null
    ? await embeddedUrl(config.dataDir)
    : { url: config.databaseUrl, running: true }
  if (embedded === null) return `There is no database in ${config.dataDir} yet.`
  if (!embedded.running) return 'The embedded PostgreSQL is not running; it runs only while the server does.'
  try {
    return await connect(embedded.url, OPTIONS)
  } catch (error) {
    return (error as Error).message
  }
}

/**
 * SPOOL_DIR, which must exist; null if off.
 * @param instead what to do if it is a replicated log
 * @throws {StartupError} it is missing, or a replicated log
 */
export async function existingSpoolDirectory (config: Config, instead: string): Promise<string | null> {
  if (logTarget(config) !== null) {
    throw new StartupError(`SPOOL_DIR is a replicated log, not a directory: ${instead}`)
  }
  const directory = spoolDirectory(config)
  if (directory === null) return null
  await stat(directory).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new StartupError(`there is no spool directory ${directory}; the first start creates it`)
  })
  return directory
}

async function openEmbedded (dataDir: string, log: Log, lifecycle: Lifecycle): Promise<string> {
  const known = await embeddedUrl(dataDir)
  if (known?.running === true) return known.url
  const lock = await lockDirectory(dataDir, 'DATA_DIR', dataDirMode(true))
  lifecycle.push('the lock of DATA_DIR', () => lock.release())
  const embedded = await startEmbedded({ dataDir, log })
  lifecycle.push('the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}
