/** `limits`: show and change the limits, directly in the database; running servers apply a change immediately. */
import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { readCatalogue } from '../../schema/catalogue-versions.js'
import { defaultLimits } from '../../catalogue/default-limits.js'
import { parseLimitSet } from '../../limits/validate.js'
import { isConnectionError, sqlState } from '../../database/connection.js'
import type { Database } from '../../database/database.js'
import { UNDEFINED_TABLE } from '../../database/sqlstates.js'
import {
  readLimitVersion, readLimits, readLimitsHistory, replaceLimits, seedLimits, type StoredLimits
} from '../../queries/limits-store.js'
import { userAtHost } from '../../host/user-at-host.js'
import { defineCommand, misused, type CommandContext } from '../command.js'
import { errorLog, withDatabase } from './database.js'

const ACTIONS = ['get', 'set', 'history'] as const
const OPTIONS = [
  {
    name: 'if-version',
    type: 'integer',
    min: 1,
    help: 'set (reads FILE or standard input, in the format of get): change the limits only if they are at this ' +
      'version; default: at any version.'
  },
  { name: 'count', type: 'integer', min: 1, max: 1_000, default: 20, help: 'history: number of versions to show.' },
  { name: 'json', type: 'boolean', help: 'get, history: print JSON with complete sets.' }
] as const

type Context = CommandContext<typeof OPTIONS>

export const limits = defineCommand({
  name: 'limits',
  summary: 'Print or change the limits of the metrics, or show who changed them and when.',
  options: OPTIONS,
  settings: ['dataDir', 'databaseUrl', 'logLevel'],
  positionals: { usage: '<get|set [FILE]|history>', min: 1, max: 2 },
  async run (context) {
    const [action, file] = context.positionals
    if (!ACTIONS.some((known) => known === action)) {
      return misused('limits', context, `"${String(action)}" is not one of ${ACTIONS.join(', ')}`)
    }
    if (action !== 'set' && file !== undefined) return misused('limits', context, `${String(action)} takes no file`)
    const value = action === 'set' ? await readValue(context, file) : null
    if (value === undefined) return 1
    const log = errorLog(context.config, 'limits')
    try {
      return await withDatabase(context.config, log, async (db) => {
        if (action === 'set') return await change(context, db, value)
        return action === 'get' ? await show(context, db) : await showHistory(context, db)
      })
    } catch (error) {
      if (sqlState(error) !== UNDEFINED_TABLE || isConnectionError(error)) throw error
      context.complain('error: the database has no limits yet: run start or migrate first')
      return 1
    }
  }
})

/** JSON from a file or standard input; undefined after reporting that it is invalid. */
async function readValue ({ complain }: Context, file: string | undefined): Promise<unknown> {
  const text = file === undefined ? await readAll(process.stdin) : await readFile(file, 'utf8')
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    complain(`error: ${file ?? 'standard input'} is not valid JSON: ${(error as Error).message}`)
    return undefined
  }
}

async function show ({ print, values, config }: Context, db: Database): Promise<number> {
  const catalogue = await readCatalogue(db)
  const stored = await readLimits(db, catalogue.limitable)
  // Until the first start stores them.
  const shown = stored ?? { version: 0, changedAt: null, changedBy: null, set: defaultLimits(config, catalogue) }
  // The bare set, as `set` expects it.
  print(values.json ? JSON.stringify(view(shown)) : JSON.stringify(shown.set, null, 2))
  return 0
}

async function showHistory ({ print, values }: Context, db: Database): Promise<number> {
  const history: StoredLimits[] = []
  while (history.length < values.count) {
    const page = await readLimitsHistory(db, values.count - history.length, history.at(-1)?.version ?? null)
    if (page.length === 0) break
    history.push(...page)
  }
  if (values.json) print(JSON.stringify(history.map(view)))
  else {
    for (const { version, changedAt, changedBy } of history) {
      print(`${String(version).padStart(6)}  ${changedAt}  ${changedBy}`)
    }
  }
  return 0
}

async function change ({ print, complain, values, config }: Context, db: Database, value: unknown): Promise<number> {
  // As stored: the set in force may contain limits that are no longer accepted, which may stay.
  const [inForce] = await readLimitsHistory(db, 1, null)
  const catalogue = await readCatalogue(db)
  const parsed = parseLimitSet(value, catalogue.limitable, inForce?.set ?? null)
  if (!parsed.ok) {
    for (const { field, message } of parsed.faults) complain(`error: ${field} ${message}`)
    return 1
  }
  const { set } = parsed
  await seedLimits(db, defaultLimits(config, catalogue), 'configuration')
  const version = values['if-version'] ?? await readLimitVersion(db)
  const changed = await replaceLimits(
    db, catalogue.limitable, version, set, `limits set: ${userAtHost()}`)
  if (changed === null) {
    complain(
      `error: the limits are no longer at version ${version}, but at ${await readLimitVersion(db)}; nothing was changed`
    )
    return 1
  }
  print(changed.version === version
    ? `The limits are unchanged (version ${version}).`
    : `The limits are now at version ${changed.version}.`)
  return 0
}

type Shown = Pick<StoredLimits, 'version' | 'set'> & Record<'changedAt' | 'changedBy', string | null>

function view ({ version, changedAt, changedBy, set }: Shown): object {
  return { version, changed_at: changedAt, changed_by: changedBy, limits: set }
}
