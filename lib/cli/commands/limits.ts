/** `limits`: look at the limits and change them, straight in the database; servers that run take a change over at once. */
import { readFile } from 'node:fs/promises'
import { hostname, userInfo } from 'node:os'
import { text as readAll } from 'node:stream/consumers'
import { TELEMETRY } from '../../../protocol/metrics.js'
import { defaultLimits } from '../../limits/default-limits.js'
import { parseLimitSet } from '../../limits/validate.js'
import { isConnectionError, sqlState, type Database } from '../../database/connection.js'
import { readLimitVersion, readLimits, readLimitsHistory, replaceLimits, seedLimits, type StoredLimits } from '../../queries/limits-store.js'
import { defineCommand, type CommandContext } from '../command.js'
import { errorLog, withDatabase } from './database.js'

const ACTIONS = ['get', 'set', 'history'] as const
const OPTIONS = [
  { name: 'if-version', type: 'integer', min: 1, help: 'set (of FILE or standard input, as get prints it): only if the limits are at this version; without it at whatever version they are.' },
  { name: 'count', type: 'integer', min: 1, max: 1_000, default: 20, help: 'history: how many versions.' },
  { name: 'json', type: 'boolean', help: 'get, history: print JSON, with whole sets.' }
] as const
/** undefined_table */
const NO_TABLE = '42P01'

type Context = CommandContext<typeof OPTIONS>

export const limits = defineCommand({
  name: 'limits',
  summary: 'Print the limits of the metrics, change them, or show who changed them when.',
  options: OPTIONS,
  settings: ['dataDir', 'databaseUrl', 'logLevel'],
  positionals: { usage: '<get|set [FILE]|history>', min: 1, max: 2 },
  async run (context) {
    const [action, file] = context.positionals
    if (!ACTIONS.some((known) => known === action)) return misused(context, `"${String(action)}" is none of ${ACTIONS.join(', ')}`)
    if (action !== 'set' && file !== undefined) return misused(context, `${String(action)} takes no file`)
    const value = action === 'set' ? await readValue(context, file) : null
    if (value === undefined) return 1
    const log = errorLog(context.config, 'limits')
    try {
      return await withDatabase(context.config, log, async (db) => {
        if (action === 'set') return await change(context, db, value)
        return action === 'get' ? await show(context, db) : await showHistory(context, db)
      })
    } catch (error) {
      if (sqlState(error) !== NO_TABLE || isConnectionError(error)) throw error
      context.complain('error: the database has no limits yet: run start or migrate first')
      return 1
    }
  }
})

function misused ({ complain }: Context, problem: string): number {
  complain(`error: ${problem}\nTry: orbitstream-ingest limits --help`)
  return 2
}

/** What is in a file or on standard input; undefined after it was said that it is not JSON. */
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
  const stored = await readLimits(db)
  if (values.json && stored !== null) print(JSON.stringify(view(stored)))
  // What `set` takes: the set alone.
  else print(JSON.stringify(stored?.set ?? defaultLimits(config), null, 2))
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
  else for (const { version, changedAt, changedBy } of history) print(`${String(version).padStart(6)}  ${changedAt}  ${changedBy}`)
  return 0
}

async function change ({ print, complain, values, config }: Context, db: Database, value: unknown): Promise<number> {
  // As it stands there: that in force may be one that is not accepted any more.
  const [inForce] = await readLimitsHistory(db, 1, null)
  const parsed = parseLimitSet(value, TELEMETRY, inForce?.set ?? null)
  if (!parsed.ok) {
    for (const { field, message } of parsed.faults) complain(`error: ${field} ${message}`)
    return 1
  }
  const { set } = parsed
  await seedLimits(db, defaultLimits(config), 'configuration')
  const version = values['if-version'] ?? await readLimitVersion(db)
  const changed = await replaceLimits(db, version, set, `limits set: ${userInfo().username}@${hostname()}`)
  if (changed === null) {
    complain(`error: the limits are no longer at version ${version}, but at ${await readLimitVersion(db)}: nothing was changed`)
    return 1
  }
  print(changed.version === version ? `The limits are the same already: version ${version}.` : `The limits are at version ${changed.version} now.`)
  return 0
}

function view ({ version, changedAt, changedBy, set }: StoredLimits): object {
  return { version, changed_at: changedAt, changed_by: changedBy, limits: set }
}
