/** How commands other than `start` reach the database: the given one, or the embedded one, started if it does not run. */
import type { Config } from '../../config.js'
import { Lifecycle } from '../../lifecycle.js'
import type { Log } from '../../log.js'
import { lockDirectory } from '../../store/data-directory.js'
import { connect, type Database } from '../../store/db.js'
import { embeddedUrl, startEmbedded } from '../../store/embedded.js'
import { mkdir } from 'node:fs/promises'

const CONNECT_TIMEOUT_MS = 5_000

/** Runs `work` with a connection; what was opened for it is closed afterwards. */
export async function withDatabase<T> (config: Config, log: Log, work: (db: Database) => Promise<T>): Promise<T> {
  const lifecycle = new Lifecycle()
  try {
    const url = config.databaseUrl ?? await openEmbedded(config.dataDir, log, lifecycle)
    const db = await connect(url, { applicationName: 'orbitstream command', connectTimeoutMs: CONNECT_TIMEOUT_MS })
    lifecycle.push('the connection', () => db.close())
    return await work(db)
  } finally {
    await lifecycle.release()
  }
}

async function openEmbedded (dataDir: string, log: Log, lifecycle: Lifecycle): Promise<string> {
  const known = await embeddedUrl(dataDir)
  if (known?.running === true) return known.url
  await mkdir(dataDir, { recursive: true })
  const lock = await lockDirectory(dataDir, 'DATA_DIR')
  lifecycle.push('the lock of DATA_DIR', () => lock.release())
  const embedded = await startEmbedded({ dataDir, log })
  lifecycle.push('the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}
