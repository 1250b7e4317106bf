/**
 * `spool resolve`: the way on from a ledger that does not fit. Says how many points are concerned, and does what a person
 * has decided, who alone knows whether the database has them. Without a decision it changes nothing.
 */
import type { Config } from '../../../config/config.js'
import { lockInstance, openDatabase } from '../../../primary/instance.js'
import { findStoredFrames } from '../../../operations/stored-frames.js'
import { Lifecycle } from '../../../support/lifecycle.js'
import { ROW_FORMAT } from '../../../pipeline/rows/payload.js'
import { realFiles } from '../../../spool/files.js'
import { identifySpool } from '../../../spool/operate/inspect.js'
import { describePosition } from '../../../spool/format/position.js'
import { chosen, planResolution, readDoubtful, storesTwice, writeResolution, type Choice, type Resolution } from '../../../spool/operate/resolution.js'
import { listSlots, slotDirectory } from '../../../spool/slots.js'
import { lockDirectory } from '../../../host/data-directory.js'
import { connect, isConnectionError, type Database } from '../../../database/connection.js'
import { migrateSchema } from '../../../schema/migrate.js'
import { lookUpLedger, setLedger, type LedgerEntry } from '../../../operations/ledger.js'
import { StartupError } from '../../../support/startup-error.js'
import { defineCommand, type CommandContext } from '../../command.js'
import { counted } from '../../table.js'
import { errorLog, existingSpoolDirectory } from '../database.js'
import { describeCase, describeTwice, type Case } from './resolution-text.js'

const CONNECT_TIMEOUT_MS = 5_000

const OPTIONS = [
  { name: 'slot', type: 'integer', min: 0, help: 'This slot alone.', note: 'default: all whose ledger does not fit' },
  { name: 'store-again', type: 'boolean', help: 'The database does not have the points in question: store those that are on disk.' },
  { name: 'already-stored', type: 'boolean', help: 'The database has the points in question: do not store them again.' },
  { name: 'yes', type: 'boolean', help: 'Do it; without it the command only says what it would do.' },
  { name: 'accept-twice', type: 'boolean', help: 'Do it even where the command says that points would be stored twice.' }
] as const

type Context = CommandContext<typeof OPTIONS>

/** What is open for a run of the command. */
interface Session {
  readonly db: Database
  readonly lifecycle: Lifecycle
  /** SPOOL_DIR. */
  readonly directory: string
}

async function slotsOf ({ directory }: Session, wanted: number | undefined): Promise<number[]> {
  const slots = await listSlots(realFiles, directory)
  if (wanted === undefined) return slots
  if (!slots.includes(wanted)) throw new StartupError(`there is no slot-${wanted} in ${directory}`)
  return [wanted]
}

/**
 * Null: the ledger of the slot fits, or nothing tells whose frames it holds. The slot stays locked until the command ends: a
 * worker that has outlived its server still writes there.
 */
async function examine ({ db, lifecycle, directory: spoolDirectory }: Session, slot: number): Promise<Case | null> {
  const directory = slotDirectory(spoolDirectory, slot)
  const spoolId = await identifySpool(realFiles, directory)
  if (spoolId === null) return null
  const lock = await lockDirectory(directory, 'spool slot')
  lifecycle.push('the lock of the spool slot', () => lock.release())
  const ledger = await lookUpLedger(db, spoolId)
  const resolution = await plan(db, directory, spoolId, ledger)
  return resolution === null ? null : { slot, directory, spoolId, ledger, resolution }
}

async function plan (db: Database, directory: string, spoolId: string, ledger: LedgerEntry | null): Promise<Resolution | null> {
  const blind = await planResolution(realFiles, directory, spoolId, ledger)
  if (blind === null || blind.doubt === null) return blind
  const found = await findStoredFrames(db, readDoubtful(realFiles, directory, blind.doubt, ROW_FORMAT))
  return await planResolution(realFiles, directory, spoolId, ledger, found)
}

async function resolveCase (db: Database, { slot, directory, spoolId, ledger, resolution }: Case, choice: Choice): Promise<string> {
  const { position, rows } = chosen(resolution, choice, ledger?.storedRows ?? 0)
  if (!await setLedger(db, spoolId, ledger?.position ?? null, position, rows ?? 0)) {
    throw new StartupError('its ledger has moved meanwhile: another program uses it')
  }
  await writeResolution(realFiles, directory, spoolId, { position, rows })
  const stored = choice === 'store-again' ? resolution.between.rows + resolution.waiting.rows : resolution.waiting.rows
  return `slot-${slot}: the ledger stands at ${describePosition(position)} now; the next start, or spool drain, stores ${counted(stored, 'row')}.`
}

/** Does `work` for each. One that fails keeps nobody from the others; without the database there is none to go on with. False: one failed. */
async function forEachSlot<T extends { readonly slot: number }> (list: readonly T[], complain: Context['complain'], work: (one: T) => Promise<void>): Promise<boolean> {
  let done = true
  for (const one of list) {
    try {
      await work(one)
    } catch (error) {
      if (isConnectionError(error)) throw error
      complain(`error: slot-${one.slot} was left as it is: ${error instanceof Error ? error.message : String(error)}`)
      done = false
    }
  }
  return done
}

/** False: not all were resolved. */
async function resolveCases ({ db }: Session, { values, print, complain }: Context, cases: readonly Case[], choice: Choice | null): Promise<boolean> {
  if (choice === null || !values.yes) {
    print(choice === null ? 'Nothing was changed: add --store-again or --already-stored, and --yes.' : 'Nothing was changed: add --yes.')
    return false
  }
  return await forEachSlot(cases, complain, async (one) => {
    if (!values['accept-twice'] && storesTwice(one.resolution, choice)) throw new StartupError(describeTwice(one, choice))
    print(await resolveCase(db, one, choice))
  })
}

/** Exit code 0: nothing is left to decide, of those that were asked for. */
async function resolveAll (session: Session, context: Context, choice: Choice | null): Promise<number> {
  const { values, print, complain } = context
  const cases: Case[] = []
  const slots = (await slotsOf(session, values.slot)).map((slot) => ({ slot }))
  const examined = await forEachSlot(slots, complain, async ({ slot }) => {
    const found = await examine(session, slot)
    if (found !== null) cases.push(found)
  })
  for (const one of cases) print(`${describeCase(one)}\n`)
  if (cases.length === 0) print('Every ledger that was looked at fits its spool.')
  const resolved = cases.length === 0 || await resolveCases(session, context, cases, choice)
  return examined && resolved ? 0 : 1
}

/** What a server would lock is locked: a spool that is open moves on by itself. */
async function withSession<T> (config: Config, directory: string, work: (session: Session) => Promise<T>): Promise<T> {
  const lifecycle = new Lifecycle()
  try {
    const log = errorLog(config, 'resolve')
    await lockInstance(config, log, lifecycle)
    const url = await openDatabase(config, log, lifecycle)
    const db = await connect(url, { applicationName: 'orbitstream resolve', connectTimeoutMs: CONNECT_TIMEOUT_MS })
    lifecycle.push('the connection', () => db.close())
    // A database that takes the place of one that was lost may be empty.
    await migrateSchema(db, { log })
    return await work({ db, lifecycle, directory })
  } finally {
    await lifecycle.release()
  }
}

export const spoolResolve = defineCommand({
  name: 'spool resolve',
  summary: 'Go on with a database whose ledger does not fit the spool: say whether it has the points in question.',
  options: OPTIONS,
  settings: ['dataDir', 'spoolDir', 'databaseUrl', 'logLevel'],
  async run (context) {
    const { config, values, print, complain } = context
    if (values['store-again'] && values['already-stored']) {
      complain('error: --store-again and --already-stored exclude one another')
      return 2
    }
    const directory = await existingSpoolDirectory(config)
    if (directory === null) {
      print('SPOOL_DIR is off: no points wait on disk.')
      return 0
    }
    const choice: Choice | null = values['store-again'] ? 'store-again' : values['already-stored'] ? 'already-stored' : null
    return await withSession(config, directory, async (session) => await resolveAll(session, context, choice))
  }
})
