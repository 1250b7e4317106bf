/**
 * `spool resolve`: the way on from a ledger that does not fit. Says how many points are concerned, and does what a person
 * has decided, who alone knows whether the database has them. Without a decision it changes nothing.
 */
import type { Config } from '../../config.js'
import { lockInstance, openDatabase } from '../../cluster/instance.js'
import { Lifecycle } from '../../lifecycle.js'
import { realFiles } from '../../spool/files.js'
import { identifySpool } from '../../spool/inspect.js'
import { describePosition } from '../../spool/position.js'
import { chosen, planResolution, writeResolution, type Choice, type Resolution } from '../../spool/resolution.js'
import { listSlots, slotDirectory } from '../../spool/slots.js'
import { connect, type Database } from '../../store/db.js'
import { migrate } from '../../store/migrate.js'
import { lookUpLedger, setLedger, type LedgerEntry } from '../../store/ledger.js'
import { defineCommand } from '../command.js'
import { counted } from '../table.js'
import { errorLog, existingSpoolDirectory } from './database.js'

const CONNECT_TIMEOUT_MS = 5_000

/** A slot whose ledger does not fit. */
interface Case {
  readonly slot: number
  readonly directory: string
  readonly spoolId: string
  readonly ledger: LedgerEntry | null
  readonly resolution: Resolution
}

async function findCases (db: Database, spoolDirectory: string): Promise<Case[]> {
  const cases: Case[] = []
  for (const slot of await listSlots(realFiles, spoolDirectory)) {
    const directory = slotDirectory(spoolDirectory, slot)
    const spoolId = await identifySpool(realFiles, directory)
    if (spoolId === null) continue
    const ledger = await lookUpLedger(db, spoolId)
    const resolution = await planResolution(realFiles, directory, spoolId, ledger)
    if (resolution !== null) cases.push({ slot, directory, spoolId, ledger, resolution })
  }
  return cases
}

function goneLines ({ resolution: { gone, upper }, ledger }: Case): string[] {
  if (gone === null) return []
  const rows = gone.rows === null ? 'An unknown number of rows' : counted(gone.rows, 'row')
  const frames = gone.frames === null ? '' : ` in ${counted(gone.frames, 'frame')}`
  const since = ledger === null ? '' : ` They were stored after ${ledger.updatedAt.toISOString()}, when the ledger moved last.`
  return [`  ${rows}${frames} up to ${describePosition(upper)} are not on disk any more: if the database does not have them, they are gone.${since}`]
}

function underWayLines ({ resolution: { underWay } }: Case): string[] {
  if (underWay === null) return []
  return [`  Frames after ${describePosition(underWay.after)}, up to ${describePosition(underWay.through)}, were given to the database, and its answer did not come. ` +
    'They count as not stored: whether it has them is to be seen there alone.']
}

function describeCase (one: Case): string {
  const { slot, spoolId, resolution: { fault, lower, upper, between, waiting } } = one
  const inQuestion = `${counted(between.rows, 'row')} in ${counted(between.frames, 'frame')}`
  return [
    `slot-${slot}: spool ${spoolId}, FAULT (${fault.kind})`,
    `  ${fault.message}`,
    '',
    `  ${inQuestion} on disk are in question: after ${describePosition(lower)}, up to ${describePosition(upper)}.`,
    '    --store-again      the database does not have them (it was restored, say, or the row was set ahead): store them.',
    '    --already-stored   the database has them (its row was set back or deleted, say): do not store them again.',
    ...goneLines(one),
    ...underWayLines(one),
    `  ${counted(waiting.rows, 'row')} in ${counted(waiting.frames, 'frame')} behind that are stored either way.`
  ].join('\n')
}

async function resolveCase (db: Database, { slot, directory, spoolId, ledger, resolution }: Case, choice: Choice): Promise<string> {
  const { position, rows } = chosen(resolution, choice, ledger?.storedRows ?? 0)
  if (!await setLedger(db, spoolId, ledger?.position ?? null, position, rows ?? 0)) {
    throw new Error(`the ledger of slot-${slot} has moved meanwhile: another program uses it`)
  }
  await writeResolution(realFiles, directory, spoolId, { position, rows })
  const stored = choice === 'store-again' ? resolution.between.rows + resolution.waiting.rows : resolution.waiting.rows
  return `slot-${slot}: the ledger stands at ${describePosition(position)} now; the next start, or spool drain, stores ${counted(stored, 'row')}.`
}

/** What a server would lock is locked: a spool that is open moves on by itself. */
async function withLedger<T> (config: Config, work: (db: Database) => Promise<T>): Promise<T> {
  const lifecycle = new Lifecycle()
  try {
    await lockInstance(config, lifecycle)
    const log = errorLog(config, 'resolve')
    const url = await openDatabase(config, log, lifecycle)
    const db = await connect(url, { applicationName: 'orbitstream resolve', connectTimeoutMs: CONNECT_TIMEOUT_MS })
    lifecycle.push('the connection', () => db.close())
    // A database that takes the place of one that was lost may be empty.
    await migrate(db, { ...config, log })
    return await work(db)
  } finally {
    await lifecycle.release()
  }
}

export const spoolResolve = defineCommand({
  name: 'spool resolve',
  summary: 'Go on with a database whose ledger does not fit the spool: say whether it has the points in question.',
  options: [
    { name: 'slot', type: 'integer', min: 0, help: 'This slot alone.', note: 'default: all whose ledger does not fit' },
    { name: 'store-again', type: 'boolean', help: 'The database does not have the points in question: store those that are on disk.' },
    { name: 'already-stored', type: 'boolean', help: 'The database has the points in question: do not store them again.' },
    { name: 'yes', type: 'boolean', help: 'Do it; without it the command only says what it would do.' }
  ],
  settings: ['dataDir', 'spoolDir', 'databaseUrl', 'retentionMs', 'timeWindowPastMs', 'timeWindowFutureMs', 'logLevel'],
  async run ({ config, values, print, complain }) {
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
    return await withLedger(config, async (db) => {
      const cases = (await findCases(db, directory)).filter(({ slot }) => values.slot === undefined || slot === values.slot)
      for (const one of cases) print(`${describeCase(one)}\n`)
      if (cases.length === 0) print('Every ledger that was looked at fits its spool.')
      if (cases.length === 0 || choice === null || !values.yes) {
        if (cases.length > 0) print(choice === null ? 'Nothing was changed: add --store-again or --already-stored, and --yes.' : 'Nothing was changed: add --yes.')
        return cases.length === 0 ? 0 : 1
      }
      for (const one of cases) print(await resolveCase(db, one, choice))
      return 0
    })
  }
})
