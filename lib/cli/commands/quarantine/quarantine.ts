/** Shared by the quarantine commands: row selection, and a database that has the table. */
import type { Catalogue } from '../../../../protocol/catalogue.js'
import { readCatalogue } from '../../../schema/catalogue-versions.js'
import type { Config } from '../../../config/settings.js'
import { sqlState } from '../../../database/connection.js'
import type { Database } from '../../../database/database.js'
import { UNDEFINED_TABLE } from '../../../database/sqlstates.js'
import type { QuarantineSelection } from '../../../operations/quarantine.js'
import { StartupError } from '../../../support/startup-error.js'
import type { Option } from '../../options.js'
import { errorLog, withDatabase } from '../database.js'

const ID_MAX = 2n ** 63n - 1n

export const ALL_OPTION = {
  name: 'all',
  type: 'boolean',
  help: 'All rows in quarantine.'
} as const satisfies Option

export const IDS = { usage: '[id...]', min: 0, max: Infinity } as const

export const QUARANTINE_SETTINGS = ['dataDir', 'databaseUrl', 'logLevel'] as const satisfies ReadonlyArray<keyof Config>

/** The rows selected on a command line, or what is wrong with it. */
export function selectRows (
  words: readonly string[],
  all: boolean
): { readonly rows: QuarantineSelection } | { readonly problem: string } {
  const wrong = words.find((word) => !/^[1-9]\d{0,18}$/.test(word) || BigInt(word) > ID_MAX)
  if (wrong !== undefined) return { problem: `"${wrong}" is not an id; quarantine list shows the ids` }
  if (all && words.length > 0) return { problem: 'give ids or --all, not both' }
  if (!all && words.length === 0) return { problem: 'select rows: give their ids, or --all' }
  return { rows: all ? 'all' : [...new Set(words)] }
}

export async function withQuarantine<T> (
  config: Config, work: (db: Database, catalogue: Catalogue) => Promise<T>
): Promise<T> {
  try {
    return await withDatabase(
      config, errorLog(config, 'quarantine'), async (db) => await work(db, await readCatalogue(db)))
  } catch (error) {
    if (sqlState(error) !== UNDEFINED_TABLE) throw error
    throw new StartupError(
      'The database has no OrbitStream tables yet: run orbitstream-ingest migrate, or check DATABASE_URL.',
      { cause: error }
    )
  }
}

/** Reports ids that are not in quarantine. */
export function unknownLine (ids: readonly string[]): string {
  return `error: not in quarantine: ${ids.join(', ')}`
}
