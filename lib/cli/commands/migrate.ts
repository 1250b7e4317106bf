/** `migrate`: brings the database up to date without starting the server. */
import { createLogger } from '../../log.js'
import { migrate as applyMigrations, planMigrations, planSettings } from '../../store/migrate.js'
import { defineCommand } from '../command.js'
import { withDatabase } from './database.js'

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'Bring the database up to date; start does so by itself.',
  options: [
    { name: 'dry-run', type: 'boolean', help: 'Print what would be done, and do nothing.' }
  ],
  settings: ['dataDir', 'databaseUrl', 'retentionMs', 'timeWindowPastMs', 'timeWindowFutureMs', 'compressAfterMs', 'chunkIntervalMs', 'readerPassword', 'logLevel'],
  async run ({ config, values, print }) {
    const log = createLogger({ level: config.logLevel, name: 'migrate' })
    return await withDatabase(config, log, async (db) => {
      if (values['dry-run']) {
        const { pending, kind, adopts } = await planMigrations(db)
        if (adopts) print('-- The table telemetry is there already: it is taken over with all its rows (0002-telemetry).')
        for (const { name, sql } of pending) print(`-- ${name} (${kind})\n${sql}`)
        const settings = await planSettings(db, kind, config)
        if (settings.length > 0) print('-- what follows the configuration')
        for (const { shown } of settings) print(`${shown};`)
        const done = pending.length + settings.length === 0
        print(done ? 'The database is up to date.' : `-- ${pending.length} migrations and ${settings.length} settings would be applied`)
        return 0
      }
      const { applied, kind, version } = await applyMigrations(db, { ...config, log })
      print(applied.length === 0 ? `The database is up to date (version ${version}, ${kind}).` : `Applied: ${applied.join(', ')} (version ${version}, ${kind}).`)
      return 0
    })
  }
})
