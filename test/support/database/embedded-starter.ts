/**
 * A process that starts the embedded PostgreSQL, reports it, and obeys messages: "stop", or "exit" without stopping.
 * Arguments: data directory, package directory, shared directory.
 */
import { pino } from 'pino'
import { startEmbedded } from '../../../lib/embedded/embedded.js'

const [dataDir = '', packageDir = '', sharedDir = ''] = process.argv.slice(2)
const log = pino({ base: null, timestamp: false }, pino.destination({ dest: 1, sync: true }))

try {
  const server = await startEmbedded({ dataDir, log, fsync: false, places: { packageDir, sharedDir } })
  const obey = async (message: unknown): Promise<void> => {
    if (message === 'exit') process.exit(0)
    await server.stop()
    process.disconnect()
  }
  process.on('message', message => { obey(message).catch((error: unknown) => { throw error }) })
  process.send?.({ url: server.url, adopted: server.adopted, directory: server.directory })
} catch (error) {
  process.send?.({ error: String(error) })
  process.disconnect()
}
