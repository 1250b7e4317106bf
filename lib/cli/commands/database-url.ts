/** `database-url`: the URL of the database that `start` uses, for psql and other programs. */
import { embeddedUrl } from '../../embedded/embedded.js'
import { defineCommand } from '../command.js'

export const databaseUrl = defineCommand({
  name: 'database-url',
  summary: 'Print the database URL, including the password: psql "$(orbitstream-ingest database-url)"',
  options: [],
  settings: ['databaseUrl', 'dataDir'],
  async run ({ config, print, complain }) {
    const embedded = config.databaseUrl === null
      ? await embeddedUrl(config.dataDir)
      : { url: config.databaseUrl, running: true }
    if (embedded === null) {
      complain(`error: there is no database in ${config.dataDir} yet; the first start creates it`)
      return 1
    }
    if (!embedded.running) {
      complain('warning: the embedded PostgreSQL is not running; it runs only while the server does')
    }
    print(embedded.url)
    return 0
  }
})
