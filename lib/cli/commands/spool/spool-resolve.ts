/**
 * `spool resolve`: repairs a ledger that does not fit its spool. Looks up which of the points on disk the database has,
 * prints how many would be stored, and with --yes sets the ledger accordingly. Without --yes it changes nothing.
 */
import type { Catalogue } from '../../../../protocol/catalogue.js'
import { readProposed } from '../catalogue/catalogue-proposal.js'
import type { Config } from '../../../config/settings.js'
import { lockInstance, openDatabase } from '../../../primary/instance.js'
import { findStoredFrames } from '../../../lane/stored-frames.js'
import { Lifecycle } from '../../../support/lifecycle.js'
import { ROW_FORMAT } from '../../../pipeline/rows/payload.js'
import { realFiles } from '../../../spool/file-system.js'
import { identifySpool } from '../../../spool/operate/inspect.js'
import { comparePositions, describePosition, POSITION_START } from '../../../spool/format/position.js'
import { planResolution, type Resolution } from '../../../spool/operate/resolution.js'
import { listSlots, slotDirectory } from '../../../spool/slot-directories.js'
import { lockDirectory } from '../../../host/data-directory.js'
import { isConnectionError, connect } from '../../../database/connection.js'
import type { Database } from '../../../database/database.js'
import { migrateSchema } from '../../../schema/migrate.js'
import { lookUpLedger, setLedger, type LedgerEntry } from '../../../operations/ledger.js'
import { StartupError } from '../../../support/startup-error.js'
import { defineCommand, type CommandContext } from '../../command.js'
import { counted } from '../../table.js'
import { CONNECT_TIMEOUT_MS, errorLog, existingSpoolDirectory } from '../database.js'

const IN_LOG = 'connect to the database that its lanes belong to, or set their rows in ingest_ledger by hand to a ' +
  'frame of the lane (docs/OPERATE.md, lanes of the replicated log). spool inspect shows where they are.'

const OPTIONS = [
  { name: 'slot', type: 'integer', min: 0, help: 'This slot only.', note: 'default: all that do not fit' },
  { name: 'yes', type: 'boolean', help: 'Change the ledger; without it the command only prints what it would do.' },
  { name: 'accept-twice', type: 'boolean', help: 'Store points even if the database seems to have some of them.' }
] as const

type Context = CommandContext<typeof OPTIONS>

/** Resources of one run of the command. */
interface Session {
  readonly db: Database
  readonly catalogue: Catalogue
  readonly lifecycle: Lifecycle
  /** SPOOL_DIR. */
  readonly directory: string
}

/** A slot whose ledger needs to be changed. */
interface Case {
  readonly slot: number
  readonly spoolId: string
  readonly ledger: LedgerEntry | null
  readonly resolution: Resolution
}

async function slotsOf ({ directory }: Session, wanted: number | undefined): Promise<number[]> {
  const slots = await listSlots(realFiles, directory)
  if (wanted === undefined) return slots
  if (!slots.includes(wanted)) throw new StartupError(`there is no slot-${wanted} in ${directory}`)
  return [wanted]
}

/**
 * Null: the slot's ledger fits, or its spool id is lost. The slot stays locked until the command ends: a worker that
 * has outlived its server may still be writing to it.
 */
async function examine (
  { db, catalogue, lifecycle, directory: spoolDirectory }: Session, slot: number
): Promise<Case | null> {
  const directory = slotDirectory(spoolDirectory, slot)
  const spoolId = await identifySpool(realFiles, directory)
  if (spoolId === null) return null
  const lock = await lockDirectory(directory, 'spool slot')
  lifecycle.push('the spool slot lock', () => lock.release())
  const ledger = await lookUpLedger(db, spoolId)
  const resolution = await planResolution({
    files: realFiles, directory, spoolId, rowFormat: ROW_FORMAT, find: (parts) => findStoredFrames(db, catalogue, parts)
  }, ledger?.position ?? null)
  return resolution === null ? null : { slot, spoolId, ledger, resolution }
}

function describeCase ({ slot, spoolId, ledger, resolution }: Case): string {
  const { fault, after, found, position, waiting } = resolution
  const lines = [
    `slot-${slot}: spool ${spoolId}, ` +
    (fault === null ? 'the database has more points than its ledger says' : `FAULT (${fault.kind})`)
  ]
  if (fault !== null) lines.push(`  ${fault.message}`, '')
  if (comparePositions(ledger?.position ?? POSITION_START, after) < 0) {
    const since = ledger === null ? '' : ` The ledger last moved at ${ledger.updatedAt.toISOString()}.`
    lines.push(`  Points up to ${describePosition(after)} are no longer on disk: ` +
      `any that the database does not have are lost.${since}`)
  }
  const has = found.through === null
    ? 'does not have the first of the points on disk'
    : `has the points on disk up to ${describePosition(position)}, ${counted(found.rows, 'row')}`
  const rest = `${counted(waiting.rows, 'row')} in ${counted(waiting.frames, 'frame')}`
  lines.push(`  The database ${has}. After that, ${rest} will be stored.`)
  if (found.rowsBehind > 0) {
    lines.push(`  CAUTION: it also has ${counted(found.rowsBehind, 'row')} identical to some of those: ` +
      'a sender sent them twice, or rows before them were refused or deleted.')
  }
  return lines.join('\n')
}

async function resolveCase (db: Database, one: Case, acceptTwice: boolean): Promise<string> {
  const { slot, spoolId, ledger, resolution } = one
  const { position, found, waiting } = resolution
  if (found.rowsBehind > 0 && !acceptTwice) {
    throw new StartupError('the database seems to have some of the points that would be stored, see above; ' +
      'to store them anyway, add --accept-twice')
  }
  if (!await setLedger(db, spoolId, ledger?.position ?? null, position)) {
    throw new StartupError('its ledger has moved in the meantime: another program is using it')
  }
  return `slot-${slot}: the ledger is now at ${describePosition(position)}; ` +
    `the next start, or spool drain, stores ${counted(waiting.rows, 'row')}.`
}

/** Does `work` for each slot, whether or not others fail, unless the database is lost. False: one failed. */
async function forEachSlot<T extends { readonly slot: number }> (
  list: readonly T[], complain: Context['complain'], work: (one: T) => Promise<void>
): Promise<boolean> {
  let done = true
  for (const one of list) {
    try {
      await work(one)
    } catch (error) {
      if (isConnectionError(error)) throw error
      complain(`error: slot-${one.slot} was not changed: ${error instanceof Error ? error.message : String(error)}`)
      done = false
    }
  }
  return done
}

/** Exit code 0: the ledgers of all selected slots fit. */
async function resolveAll (session: Session, { values, print, complain }: Context): Promise<number> {
  const cases: Case[] = []
  const slots = (await slotsOf(session, values.slot)).map((slot) => ({ slot }))
  const examined = await forEachSlot(slots, complain, async ({ slot }) => {
    const found = await examine(session, slot)
    if (found !== null) cases.push(found)
  })
  for (const one of cases) print(`${describeCase(one)}\n`)
  if (cases.length === 0) {
    print('Every ledger that was checked fits its spool.')
    return examined ? 0 : 1
  }
  if (!values.yes) {
    print('Nothing was changed: add --yes.')
    return 1
  }
  const resolved = await forEachSlot(cases, complain, async (one) => {
    print(await resolveCase(session.db, one, values['accept-twice']))
  })
  return examined && resolved ? 0 : 1
}

/** Takes a server's locks: an open spool would change meanwhile. */
async function withSession<T> (
  config: Config, proposed: Catalogue | null, directory: string, work: (session: Session) => Promise<T>
): Promise<T> {
  const lifecycle = new Lifecycle()
  try {
    const log = errorLog(config, 'resolve')
    await lockInstance(config, log, lifecycle)
    const url = await openDatabase(config, log, lifecycle)
    const db = await connect(url, { applicationName: 'orbitstream resolve', connectTimeoutMs: CONNECT_TIMEOUT_MS })
    lifecycle.push('the connection', () => db.close())
    // A database that replaces a lost one may be empty.
    const { catalogue } = await migrateSchema(db, { log, proposed })
    return await work({ db, catalogue, lifecycle, directory })
  } finally {
    await lifecycle.release()
  }
}

export const spoolResolve = defineCommand({
  name: 'spool resolve',
  summary: 'Set a ledger that does not fit its spool to the last point that the database has.',
  options: OPTIONS,
  settings: ['dataDir', 'spoolDir', 'catalogue', 'databaseUrl', 'logLevel'],
  async run (context) {
    const { config, print, complain } = context
    const proposed = await readProposed(config, complain)
    if (proposed === undefined) return 2
    const directory = await existingSpoolDirectory(config, IN_LOG)
    if (directory === null) {
      print('SPOOL_DIR is off: there are no points on disk.')
      return 0
    }
    return await withSession(config, proposed, directory, async (session) => await resolveAll(session, context))
  }
})
