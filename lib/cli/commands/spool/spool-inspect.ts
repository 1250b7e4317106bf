/**
 * `spool inspect`: what waits on disk, what is damaged, what the database has already. Changes nothing, starts nothing.
 */
import { logTarget, type Config } from '../../../config/settings.js'
import type { Position } from '../../../journal/journal.js'
import { realFiles } from '../../../spool/file-system.js'
import { describeGap } from '../../../spool/recover/gap.js'
import { inspectSpool, type SegmentInspection, type SpoolInspection } from '../../../spool/operate/inspect.js'
import { listSlots, slotDirectory } from '../../../spool/slot-directories.js'
import { comparePositions, describePosition } from '../../../spool/format/position.js'
import type { Database } from '../../../database/database.js'
import { lookUpLedger, type LedgerEntry } from '../../../operations/ledger.js'
import { defineCommand } from '../../command.js'
import { counted, printable, table } from '../../table.js'
import { existingSpoolDirectory, findDatabase } from '../database.js'
import { inspectLog, logText } from './lane-inspection.js'

interface SlotInspection extends SpoolInspection {
  readonly slot: number
  /** Null: the database has no row for this spool, or was not asked. */
  readonly ledger: LedgerEntry | null
}

interface UnreadableSlot {
  readonly slot: number
  readonly reason: string
}

interface Inspection {
  /** Null: SPOOL_DIR is off. */
  readonly directory: string | null
  /** `reason`: why the ledger is not known; null if it is. */
  readonly database: { readonly reachable: boolean, readonly reason: string | null }
  readonly slots: readonly SlotInspection[]
  /** What they hold is in no sum. */
  readonly unreadable: readonly UnreadableSlot[]
  /** Rows that wait to be stored; without the ledger all that are on disk. */
  readonly waitingRows: number
}

/** The database's word on spools, until it fails. */
class Ledger {
  constructor (private readonly db: Database | null, public reason: string | null) {}

  /** Undefined: not known. */
  async of (spoolId: string): Promise<LedgerEntry | null | undefined> {
    if (this.db === null || this.reason !== null) return undefined
    try {
      return await lookUpLedger(this.db, spoolId)
    } catch (error) {
      this.reason = (error as Error).message
      return undefined
    }
  }
}

async function inspectSlot (directory: string, slot: number, ledger: Ledger): Promise<SlotInspection> {
  let entry: LedgerEntry | null | undefined
  const inspection = await inspectSpool(realFiles, slotDirectory(directory, slot), async (spoolId) => {
    entry = await ledger.of(spoolId)
    return entry?.position ?? entry as null | undefined
  })
  return { slot, ...inspection, ledger: entry ?? null }
}

/** One that cannot be read keeps nobody from seeing the others. */
async function inspectSlots (
  directory: string | null, ledger: Ledger
): Promise<Pick<Inspection, 'slots' | 'unreadable'>> {
  const slots: SlotInspection[] = []
  const unreadable: UnreadableSlot[] = []
  if (directory === null) return { slots, unreadable }
  for (const slot of await listSlots(realFiles, directory)) {
    try {
      slots.push(await inspectSlot(directory, slot, ledger))
    } catch (error) {
      unreadable.push({ slot, reason: error instanceof Error ? error.message : String(error) })
    }
  }
  return { slots, unreadable }
}

async function inspect (config: Config): Promise<Inspection> {
  const directory = await existingSpoolDirectory(config, 'see its lanes')
  const found = await findDatabase(config)
  const [db, reason] = typeof found === 'string' ? [null, found] : [found, null]
  try {
    const ledger = new Ledger(db, reason)
    const { slots, unreadable } = await inspectSlots(directory, ledger)
    return {
      directory,
      database: { reachable: ledger.reason === null, reason: ledger.reason },
      slots,
      unreadable,
      waitingRows: slots.reduce((sum, { waiting }) => sum + waiting.rows, 0)
    }
  } finally {
    await db?.close()
  }
}

function segmentRemarks ({ headerDamaged, damaged, tornBytes }: SegmentInspection): string {
  const damagedBytes = damaged.reduce((sum, { bytes }) => sum + bytes, 0)
  return [
    ...(headerDamaged ? ['header damaged'] : []),
    ...(damagedBytes > 0 ? [`${counted(damagedBytes, 'byte')} damaged`] : []),
    ...(tornBytes > 0 ? [`${counted(tornBytes, 'byte')} unfinished at the end`] : [])
  ].join('; ')
}

function sequencesOf ({ firstSequence, lastSequence }: SegmentInspection): string {
  return firstSequence === null || lastSequence === null ? '-' : `${firstSequence} to ${lastSequence}`
}

function segmentTable (segments: readonly SegmentInspection[], waitingHead: string): string {
  return table([
    ['  segment', 'epoch', 'sequences', 'frames', 'rows', 'bytes', waitingHead, ''],
    ...segments.map((segment) => [
      `  ${segment.name}`,
      String(segment.epoch),
      sequencesOf(segment),
      segment.frames,
      segment.rows,
      segment.fileBytes,
      segment.waiting.rows,
      segmentRemarks(segment)
    ])
  ])
}

function ledgerLine ({ ledger, spoolId }: SlotInspection, known: boolean): string {
  if (spoolId === null) return '  ledger: the id of the spool is not in this directory'
  if (!known) return '  ledger: unknown, the database could not be reached'
  if (ledger === null) return '  ledger: the database has no row for this spool: none of its points are stored yet'
  const stored = counted(ledger.storedRows, 'row')
  return `  ledger: ${describePosition(ledger.position)}; ${stored} stored, last at ${ledger.updatedAt.toISOString()}`
}

function gapLines ({ gaps, ledger }: SlotInspection): string[] {
  const covered = (end: Position): boolean => ledger !== null && comparePositions(end, ledger.position) <= 0
  return gaps.map((gap) => {
    const stored = gap.toSequence !== null && covered({ epoch: gap.epoch, sequence: gap.toSequence })
    return `  ${stored ? 'damage to frames already stored' : 'DAMAGE'}: ${describeGap(gap)}`
  })
}

function slotText (slot: SlotInspection, known: boolean): string {
  const onDisk = `${counted(slot.rows, 'row')} on disk in ${counted(slot.frames, 'frame')}`
  return [
    `slot-${slot.slot}: spool ${slot.spoolId ?? 'unknown'}, ${onDisk}`,
    ledgerLine(slot, known),
    ...(slot.segments.length === 0
      ? ['  no segments']
      : [segmentTable(slot.segments, known ? 'rows to store' : 'rows to store at most')]),
    ...gapLines(slot),
    ...(slot.fault === null ? [] : [`  FAULT (${slot.fault.kind}): ${slot.fault.message}`])
  ].join('\n')
}

function waitingLine ({ database, slots, unreadable, waitingRows }: Inspection): string {
  const where = unreadable.length === 0 ? '' : ' in the slots that could be read'
  if (waitingRows === 0) return `Nothing is pending${where}.`
  const frames = slots.reduce((sum, { waiting }) => sum + waiting.frames, 0)
  const waiting = `${counted(waitingRows, 'row')} in ${counted(frames, 'frame')}`
  return `${database.reachable ? '' : 'At most '}${waiting} pending${where}.`
}

function inspectionText (inspection: Inspection): string {
  const { directory, database, slots, unreadable } = inspection
  if (directory === null) return 'SPOOL_DIR is off: there are no points on disk.'
  return [
    `Spool directory ${directory}`,
    ...(database.reason === null
      ? []
      : [`The database could not be read, so some of these rows may be stored already: ${database.reason}`]),
    '',
    ...slots.map((slot) => `${slotText(slot, database.reachable)}\n`),
    ...unreadable.map(({ slot, reason }) => `slot-${slot}: cannot be read: ${printable(reason)}\n`),
    waitingLine(inspection)
  ].join('\n')
}

export const spoolInspect = defineCommand({
  name: 'spool inspect',
  summary:
    'Show what is pending and what is damaged, on disk or in the replicated log; works while the server runs, and ' +
    'for points on disk also while the database is down.',
  options: [
    { name: 'json', type: 'boolean', help: 'Print JSON.' }
  ],
  settings: ['dataDir', 'spoolDir', 'logTakeoverMs', 'databaseUrl'],
  async run ({ config, values, print }) {
    const target = logTarget(config)
    if (target !== null) {
      const found = await inspectLog(config, target)
      print(values.json ? JSON.stringify(found, null, 2) : logText(found))
      return found.log.reachable ? 0 : 1
    }
    const inspection = await inspect(config)
    print(values.json ? JSON.stringify(inspection, null, 2) : inspectionText(inspection))
    return inspection.unreadable.length === 0 ? 0 : 1
  }
})
