/** `migrate`: brings the database up to date without starting the server. */
import { createLogger } from '../../log.js'
import { migrate as applyMigrations, planMigrations } from '../../store/migrate.js'
import { defineCommand } from '../command.js'
import { withDatabase } from './database.js'

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'Bring the database up to date; start does so by itself.',
  options: [
    { name: 'dry-run', type: 'boolean', help: 'Print what would be done, and do nothing.' }
  ],
  settings: ['dataDir', 'databaseUrl', 'retentionMs', 'timeWindowPastMs', 'timeWindowFutureMs', 'logLevel'],
  async run ({ config, values, print }) {
    const log = createLogger({ level: config.logLevel, name: 'migrate' })
    return await withDatabase(config, log, async (db) => {
      if (values['dry-run']) {
        const { pending, kind } = await planMigrations(db)
        for (const { name, sql } of pending) print(`-- ${name} (${kind})\n${sql}`)
        print(pending.length === 0 ? 'The database is up to date.' : `-- ${pending.length} migrations would be applied`)
        return 0
      }
      const { applied, kind, version } = await applyMigrations(db, { ...config, log })
      print(applied.length === 0 ? `The database is up to date (version ${version}, ${kind}).` : `Applied: ${applied.join(', ')} (version ${version}, ${kind}).`)
      return 0
    })
  }
})
