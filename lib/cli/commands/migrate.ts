/** `migrate`: brings the database up to date without starting the server. */
import { isGiven } from '../../config/config.js'
import type { Config } from '../../config/settings.js'
import { checkRetention } from '../../schema/adoption.js'
import type { Database } from '../../database/database.js'
import { inStream, streamSql } from '../../database/stream-tables.js'
import { forOtherStreams, planAdditions } from '../../schema/catalogue-additions.js'
import {
  migrate as applyMigrations, planConversion, planMigrations, planSettings, type MigrationPlan
} from '../../schema/migrate.js'
import { planPartitions } from '../../schema/partitions.js'
import { retentionOf } from '../../schema/retention.js'
import { planServer } from '../../schema/server-kind.js'
import { defineCommand } from '../command.js'
import { readProposed } from './catalogue/catalogue-proposal.js'
import { errorLog, withDatabase } from './database.js'

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'Bring the database schema up to date; start does so itself.',
  options: [
    { name: 'dry-run', type: 'boolean', help: 'Print the SQL that would be run, and change nothing.' }
  ],
  settings: [
    'dataDir', 'catalogue', 'databaseUrl', 'retentionMs', 'compressAfterMs', 'chunkIntervalMs', 'distribute',
    'readerPassword', 'logLevel'
  ],
  async run ({ config, sources, values, print, complain }) {
    const retention = { retentionMs: config.retentionMs, retentionIsDefault: !isGiven('retentionMs', sources) }
    const proposed = await readProposed(config, complain)
    if (proposed === undefined) return 2
    const log = errorLog(config, 'migrate')
    return await withDatabase(config, log, async (db) => {
      if (values['dry-run']) {
        const plan = await planMigrations(db, { proposed, log })
        await checkRetention(db, plan, retention)
        await printPlan(db, plan, config, print)
        return 0
      }
      const { applied, kind, version } = await applyMigrations(db, { ...config, ...retention, proposed, log })
      print(applied.length === 0
        ? `The database is up to date (version ${version}, ${kind}).`
        : `Applied: ${applied.join(', ')} (version ${version}, ${kind}).`)
      return 0
    })
  }
})

/** In the order of execution. */
async function printPlan (
  db: Database, plan: MigrationPlan, config: Config, print: (line: string) => void
): Promise<void> {
  const { pending, kind, adopts } = plan
  const extension = kind === 'timescale' ? await planServer(db) : null
  const conversion = await planConversion(db, plan)
  const addition = plan.converts ? null : await planAdditions(db, plan)
  const partitions = kind === 'plain' ? await planAllPartitions(db, plan, config) : []
  const settings = await planSettings(db, kind, config, plan.catalogue)
  if (extension !== null) print(`${extension};`)
  if (adopts) print('-- The table telemetry exists already: it is adopted with all its rows (0002-telemetry).')
  if (conversion.length > 0) print('-- upgrade of a pre-release database')
  for (const sql of conversion) print(`${sql};`)
  for (const migration of pending) {
    const all = [migration.sql, ...await forOtherStreams(db, migration, plan)]
    print(`-- ${migration.name} (${kind})\n${all.join('\n')}`)
  }
  if (addition !== null) {
    const { streams, metrics } = addition
    if (streams.length > 0) print(`-- New streams: ${streams.join(', ')}.`)
    if (metrics.length > 0) {
      print(`-- New metrics: ${metrics.join(', ')}. TimescaleDB rollups are rebuilt and filled in the background.`)
    }
    for (const sql of addition.statements) print(`${sql};`)
  }
  for (const sql of partitions) print(`-- partitions\n${sql};`)
  if (settings.length > 0) print('-- settings from the configuration')
  for (const { shown } of settings) print(`${shown};`)
  const count = pending.length + settings.length + conversion.length
  const done = count === 0 && extension === null && addition === null && partitions.length === 0
  print(done
    ? 'The database is up to date.'
    : `-- ${pending.length} migrations and ${settings.length} settings would be applied`)
}

async function planAllPartitions (
  db: Database, { catalogue: { streams } }: MigrationPlan, config: Config
): Promise<string[]> {
  const all: string[] = []
  for (const stream of streams) {
    const { name } = stream
    const retentionMs = retentionOf(stream, config.retentionMs)
    const sql = await planPartitions(inStream(db, name), { retentionMs }, Date.now())
    if (sql !== null) all.push(streamSql(sql, name))
  }
  return all
}
