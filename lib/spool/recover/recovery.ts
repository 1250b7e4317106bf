/**
 * Recovery, before a spool accepts its first batch: its identity, the frames on disk, and damage.
 *
 * Opens whatever it finds. A torn tail of the last segment is cut off; damage anywhere else is copied to quarantine/
 * and reported as a gap, and the frames behind it are delivered. It refuses only what it would get wrong: a format
 * written by a newer program, and frames whose spool id is lost.
 */
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { OperatingError, systemCode } from '../../support/errors.js'
import type { Position } from '../../journal/journal.js'
import { assertWritable } from '../disk-check.js'
import type { Files } from '../file-system.js'
import type { Extent } from '../frame.js'
import { QUARANTINE_DIRECTORY, quarantine, type Gap } from './gap.js'
import { evidenceOf, type LedgerEvidence } from './ledger-position.js'
import { POSITION_START, later } from '../format/position.js'
import { newId, type Segment } from '../format/segment.js'
import { findSegments, surveySegments, type FoundSegment, type SegmentSurvey } from './survey.js'

const ID_FILE = 'spool-id'
/** Kept by spools before version 2 of the segment format. */
const OBSOLETE_FILES = ['in-ledger', 'in-ledger.new']
const ID_LINE = /^([0-9a-f]{32}) ([0-9a-f]{8})\n$/

/** What recovery found, for the log and the counters. */
export interface Recovery {
  /** Frames, rows and payload bytes on disk. The ledger may cover some of them. */
  readonly frames: number
  readonly rows: number
  readonly bytes: number
  readonly gaps: readonly Gap[]
  /** Bytes cut off the end of the last segment: a write that a crash left unfinished. */
  readonly tornBytes: number
  /** Bytes copied to quarantine/. */
  readonly quarantinedBytes: number
  readonly segments: number
}

/** A spool on disk, after recovery. */
export interface RecoveredSpool {
  /** What the segments record of the ledger. */
  readonly evidence: LedgerEvidence
  /** Larger than every epoch on disk. */
  readonly epoch: number
  readonly last: Position
  readonly segments: readonly Segment[]
  readonly extents: readonly Extent[]
  /** End of the last segment's frames, if torn bytes follow. */
  readonly torn: { readonly segment: Segment, readonly offset: number } | null
  /** Paths to remove: segments whose header was never finished, and files of earlier versions. */
  readonly obsolete: readonly string[]
  readonly report: Recovery
}

/** @param nowMs milliseconds since 1970: the new epoch, unless the last one is later */
export async function recover (
  files: Files, directory: string, rowFormat: number, nowMs: number
): Promise<RecoveredSpool> {
  await files.makeDirectory(directory)
  for (const parent of [dirname(directory), dirname(dirname(directory))]) await files.syncDirectory(parent)
  const all = await findKnown(files, directory)
  const found = all.filter((one) => !one.unfinished)
  const spoolId = await identify(files, directory, found)
  const { own, foreign } = await setForeignAside(files, directory, found, spoolId)
  const surveys = await surveySegments(files, own, POSITION_START, directory)
  refuseOtherFormats(surveys, rowFormat)
  const quarantinedBytes = await keepDamaged(files, directory, surveys)
  await syncLast(files, surveys)
  const last = surveys[surveys.length - 1]
  const extents = surveys.flatMap((survey) => survey.extents)
  const unfinished = all.filter((one) => one.unfinished).map((one) => one.path)
  return {
    evidence: evidenceOf(spoolId, surveys),
    epoch: Math.max(nowMs, 1, ...all.map((one) => Math.max(one.parsed.epoch, one.header?.epoch ?? 0) + 1)),
    last: surveys.reduce<Position>((last, survey) => later(survey.last, last), POSITION_START),
    segments: surveys.map((survey) => survey.segment),
    extents,
    torn: last?.torn ? { segment: last.segment, offset: last.torn.offset } : null,
    obsolete: [...unfinished, ...OBSOLETE_FILES.map((name) => join(directory, name))],
    report: {
      frames: extents.reduce((sum, extent) => sum + extent.last - extent.first + 1, 0),
      rows: extents.reduce((sum, extent) => sum + extent.rows, 0),
      bytes: extents.reduce((sum, extent) => sum + extent.bytes, 0),
      gaps: [...foreign, ...surveys.flatMap((survey) => survey.gaps)],
      tornBytes: last?.torn?.bytes ?? 0,
      quarantinedBytes,
      segments: surveys.length
    }
  }
}

async function findKnown (files: Files, directory: string): Promise<FoundSegment[]> {
  return await findSegments(files, directory).catch((cause: unknown) => {
    if (systemCode(cause) !== '') throw cause
    const message = `cannot open ${directory}: ${(cause as Error).message}`
    throw new OperatingError('spool_failed', message, undefined, { cause })
  })
}

/** The id from spool-id or, if that is damaged, from a segment; a new one for a new spool. */
async function identify (files: Files, directory: string, found: readonly FoundSegment[]): Promise<string> {
  const kept = await readSpoolId(files, directory)
  if (kept !== null) return kept
  const told = found.find((one) => one.header !== null)?.header?.spoolId
  if (told === undefined && found.length > 0) {
    // If the disk is away, nothing is lost.
    await assertWritable({ files, directory })
    throw new OperatingError('spool_failed',
      `${directory} contains frames, but the spool id is lost: ${ID_FILE} and all segment headers are damaged. ` +
      'Look up the id in the database (ingest_ledger), or move the directory away to start with an empty one.')
  }
  if (told === undefined) {
    const id = newId()
    await writeSpoolId(files, directory, id)
    return id
  }
  // A spool opens on a full disk too: its segments have the id, and the next start writes it.
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
    if (await file.write([bytes], 0) !== bytes.length) throw new OperatingError('spool_full', `no space for ${path}`)
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

/** Moves segments of other spools to quarantine/: another ledger row covers them. */
async function setForeignAside (
  files: Files, directory: string, found: readonly FoundSegment[], spoolId: string
): Promise<{ own: FoundSegment[], foreign: Gap[] }> {
  const own: FoundSegment[] = []
  const foreign: Gap[] = []
  for (const one of found) {
    if (one.header === null || one.header.spoolId === spoolId) {
      own.push(one)
      continue
    }
    await files.makeDirectory(join(directory, QUARANTINE_DIRECTORY))
    await files.rename(one.path, join(directory, QUARANTINE_DIRECTORY, `${one.header.spoolId}-${one.name}`))
    const { name: segment, bytes, header: { epoch, firstSequence: fromSequence } } = one
    foreign.push({ epoch, fromSequence, toSequence: null, bytes, segment })
  }
  return { own, foreign }
}

/** @throws {OperatingError} spool_failed: rows in a format of another version */
export function refuseOtherFormats (surveys: readonly SegmentSurvey[], rowFormat: number): void {
  for (const { segment, rowFormats } of surveys) {
    const other = [...rowFormats].find((one) => one !== rowFormat)
    if (other === undefined) continue
    throw new OperatingError('spool_failed',
      `${segment.path} contains rows of format ${other}; this program supports format ${rowFormat}. ` +
      'Drain the spool with the program that wrote it first.')
  }
}

async function keepDamaged (files: Files, directory: string, surveys: readonly SegmentSurvey[]): Promise<number> {
  let bytes = 0
  for (const { segment, damaged, headerDamaged } of surveys) {
    if (damaged.length === 0 && !headerDamaged) continue
    const file = await files.open(segment.path, 'read')
    try {
      const all = headerDamaged ? [{ offset: 0, bytes: segment.headerBytes }, ...damaged] : damaged
      for (const damage of all) bytes += await quarantine(files, directory, { segment: segment.name, file, ...damage })
    } finally {
      await file.close()
    }
  }
  return bytes
}

/** Syncs what a killed process had written but not synced: its frames are valid and will be delivered. */
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
    // What was acknowledged is durable already.
  }
}

/**
 * Cuts off the torn tail and removes obsolete files. Only after the new epoch's segment exists, which records where the
 * last one ends and keeps the epochs growing; a start that fails before that finds and reports the same again. On a
 * full disk there is no such segment yet: what this frees is needed for it.
 */
export async function tidy (
  files: Files, { torn, obsolete }: Pick<RecoveredSpool, 'torn' | 'obsolete'>
): Promise<void> {
  for (const path of obsolete) await files.unlink(path).catch(() => {})
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
    // The space stays in use until the segment is removed.
  }
}
