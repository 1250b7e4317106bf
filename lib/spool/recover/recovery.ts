/**
 * What happens before a spool takes its first batch: who it is, which frames wait on disk, which are damaged.
 *
 * Starts whatever it finds. A torn tail of the last segment is cut off; damage anywhere else is copied to quarantine/
 * and reported as a gap, and the frames behind it are delivered. It refuses only what it would get wrong: a format of a
 * newer program, and frames whose owner nothing on disk tells any more.
 */
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { OperatingError } from '../../support/errors.js'
import type { Position } from '../../journal/journal.js'
import { errorCode, type Files } from '../files.js'
import type { Stretch } from '../frame-queue.js'
import { QUARANTINE_DIRECTORY, quarantine, type Gap } from './gap.js'
import { POSITION_START, comparePositions } from '../format/position.js'
import { NOTE_START, readLedgerNote, type FoundNote } from './ledger-note.js'
import { SEGMENT_HEADER_BYTES, newSpoolId, type Segment } from '../format/segment.js'
import { endlessEpochs, findSegments, surveySegments, type FoundSegment, type SegmentSurvey } from './survey.js'

const ID_FILE = 'spool-id'
const ID_LINE = /^([0-9a-f]{32}) ([0-9a-f]{8})\n$/

/** What recovery found, for the log and the counters. */
export interface Recovery {
  /** Frames, rows and payload bytes on disk. The ledger may cover a part of them. */
  readonly frames: number
  readonly rows: number
  readonly bytes: number
  readonly gaps: readonly Gap[]
  /** Cut off the end of the last segment: a write that a crash left unfinished. */
  readonly tornBytes: number
  /** Copied to quarantine/. */
  readonly quarantinedBytes: number
  readonly segments: number
}

/** A spool as it stands on disk after recovery. */
export interface RecoveredSpool {
  readonly spoolId: string
  /** Larger than every epoch on disk. */
  readonly epoch: number
  readonly last: Position
  readonly segments: readonly Segment[]
  readonly stretches: readonly Stretch[]
  /** Where the last segment ends, if bytes stand behind it. */
  readonly torn: { readonly segment: Segment, readonly offset: number } | null
  /** Segments of which not even the header was finished. */
  readonly unfinished: readonly string[]
  readonly foundNote: FoundNote
  /** Epochs of which damage has hidden how far they went. */
  readonly endless: ReadonlySet<number>
  readonly report: Recovery
}

/** @param nowMs milliseconds since 1970: the new epoch, unless the clock stands before the last one */
export async function recover (files: Files, directory: string, rowFormat: number, nowMs: number): Promise<RecoveredSpool> {
  await files.makeDirectory(directory)
  for (const parent of [dirname(directory), dirname(dirname(directory))]) await files.syncDirectory(parent)
  const all = await findKnown(files, directory)
  const found = all.filter((one) => !one.unfinished)
  const spoolId = await identify(files, directory, found)
  const { own, foreign } = await setForeignAside(files, directory, found, spoolId)
  const surveys = await surveySegments(files, own)
  refuseOtherFormats(surveys, rowFormat)
  const quarantinedBytes = await keepDamaged(files, directory, surveys)
  await syncLast(files, surveys)
  const last = surveys[surveys.length - 1]
  const stretches = surveys.flatMap((survey) => survey.stretches)
  const foundNote = await findNote(files, directory, spoolId, all.length === 0)
  const known = [foundNote.note?.sent.epoch ?? 0, ...all.map((one) => Math.max(one.parsed.epoch, one.header?.epoch ?? 0))]
  return {
    spoolId,
    epoch: Math.max(nowMs, 1, ...known.map((epoch) => epoch + 1)),
    last: surveys.reduce((last, survey) => comparePositions(survey.last, last) > 0 ? survey.last : last, POSITION_START),
    segments: surveys.map((survey) => survey.segment),
    stretches,
    torn: last?.torn ? { segment: last.segment, offset: last.torn.offset } : null,
    unfinished: all.filter((one) => one.unfinished).map((one) => one.path),
    foundNote,
    endless: endlessEpochs(surveys),
    report: {
      frames: stretches.reduce((sum, stretch) => sum + stretch.last - stretch.first + 1, 0),
      rows: stretches.reduce((sum, stretch) => sum + stretch.rows, 0),
      bytes: stretches.reduce((sum, stretch) => sum + stretch.bytes, 0),
      gaps: [...foreign, ...surveys.flatMap((survey) => survey.gaps)],
      tornBytes: last?.torn?.bytes ?? 0,
      quarantinedBytes,
      segments: surveys.length
    }
  }
}

/** A spool without a note, and without a segment, is a new one. */
async function findNote (files: Files, directory: string, spoolId: string, empty: boolean): Promise<FoundNote> {
  const found = await readLedgerNote(files, directory, spoolId)
  return found.note === null && empty ? { ...found, note: NOTE_START } : found
}

/** The segments; those that were never finished count only for their epochs. */
async function findKnown (files: Files, directory: string): Promise<FoundSegment[]> {
  return await findSegments(files, directory).catch((cause: unknown) => {
    if (errorCode(cause) !== '') throw cause
    throw new OperatingError('spool_failed', `cannot open ${directory}: ${(cause as Error).message}`, undefined, { cause })
  })
}

/** The id from spool-id; if that is damaged, from a segment; a new one for a new spool. */
async function identify (files: Files, directory: string, found: readonly FoundSegment[]): Promise<string> {
  const kept = await readSpoolId(files, directory)
  if (kept !== null) return kept
  const told = found.find((one) => one.header !== null)?.header?.spoolId
  if (told === undefined && found.length > 0) {
    throw new OperatingError('spool_failed', `${directory} holds frames, but neither ${ID_FILE} nor any segment tells their spool any more. ` +
      'Look up the spool id in the database (ingest_ledger), or move the directory away to start with an empty one.')
  }
  if (told === undefined) {
    const id = newSpoolId()
    await writeSpoolId(files, directory, id)
    return id
  }
  // On a full disk too a spool starts: the segments tell its id, and the next start writes it.
  await writeSpoolId(files, directory, told).catch(() => {})
  return told
}

/** Null: missing or damaged. */
export async function readSpoolId (files: Files, directory: string): Promise<string | null> {
  try {
    const file = await files.open(join(directory, ID_FILE), 'read')
    try {
      const source = Buffer.alloc(64)
      const match = ID_LINE.exec(source.toString('latin1', 0, await file.read(source, 0)))
      return match?.[1] !== undefined && match[2] === checkOf(match[1]) ? match[1] : null
    } finally {
      await file.close()
    }
  } catch {
    return null
  }
}

async function writeSpoolId (files: Files, directory: string, id: string): Promise<void> {
  const path = join(directory, ID_FILE)
  const bytes = Buffer.from(`${id} ${checkOf(id)}\n`, 'latin1')
  const file = await files.replace(`${path}.new`)
  try {
    if (await file.write([bytes], 0) !== bytes.length) throw new OperatingError('spool_full', `no room for ${path}`)
    await file.sync()
  } finally {
    await file.close()
  }
  await files.rename(`${path}.new`, path)
  await files.syncDirectory(directory)
}

function checkOf (id: string): string {
  return crc32(id).toString(16).padStart(8, '0')
}

/** Segments of another spool would be numbered by another ledger row: they are moved away, whole. */
async function setForeignAside (files: Files, directory: string, found: readonly FoundSegment[], spoolId: string): Promise<{ own: FoundSegment[], foreign: Gap[] }> {
  const own: FoundSegment[] = []
  const foreign: Gap[] = []
  for (const one of found) {
    if (one.header === null || one.header.spoolId === spoolId) {
      own.push(one)
      continue
    }
    await files.makeDirectory(join(directory, QUARANTINE_DIRECTORY))
    await files.rename(one.path, join(directory, QUARANTINE_DIRECTORY, `${one.header.spoolId}-${one.name}`))
    foreign.push({ epoch: one.header.epoch, fromSequence: one.header.firstSequence, toSequence: null, bytes: one.bytes, segment: one.name })
  }
  return { own, foreign }
}

/** @throws {OperatingError} spool_failed: rows that only another program can read */
export function refuseOtherFormats (surveys: readonly SegmentSurvey[], rowFormat: number): void {
  for (const { segment, rowFormats } of surveys) {
    const other = [...rowFormats].find((one) => one !== rowFormat)
    if (other === undefined) continue
    throw new OperatingError('spool_failed', `${segment.path} holds rows of format ${other}; this program writes and stores format ${rowFormat}. Drain the spool with the program that wrote it first.`)
  }
}

async function keepDamaged (files: Files, directory: string, surveys: readonly SegmentSurvey[]): Promise<number> {
  let bytes = 0
  for (const { segment, damaged, headerDamaged } of surveys) {
    if (damaged.length === 0 && !headerDamaged) continue
    const file = await files.open(segment.path, 'read')
    try {
      if (headerDamaged) bytes += await quarantine(files, directory, segment.name, file, 0, SEGMENT_HEADER_BYTES)
      for (const one of damaged) bytes += await quarantine(files, directory, segment.name, file, one.offset, one.bytes)
    } finally {
      await file.close()
    }
  }
  return bytes
}

/** Makes durable what a process that was killed had written and not synced: its frames are valid and will be delivered. */
async function syncLast (files: Files, surveys: readonly SegmentSurvey[]): Promise<void> {
  const survey = surveys[surveys.length - 1]
  if (survey === undefined) return
  try {
    const file = await files.open(survey.segment.path, 'change')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  } catch {
    // Nothing of it was acknowledged, or it was synced before.
  }
}

/**
 * Cuts the torn tail off and removes unfinished segments. Only once the new epoch's segment is there: it says where the
 * last one ends and keeps the epochs growing, and a start that fails before it finds and reports the same again.
 */
export async function tidy (files: Files, { torn, unfinished }: Pick<RecoveredSpool, 'torn' | 'unfinished'>): Promise<void> {
  for (const path of unfinished) await files.unlink(path).catch(() => {})
  if (torn === null) return
  try {
    const file = await files.open(torn.segment.path, 'change')
    try {
      await file.truncate(torn.offset)
      torn.segment.bytes = torn.offset
    } finally {
      await file.close()
    }
  } catch {
    // The space is lost until the segment goes.
  }
}
