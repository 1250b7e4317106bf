/**
 * What a spool holds, for operators: reads, changes nothing. A running spool may be looked at; it moves on meanwhile,
 * so what it knows of its ledger is to be read first, then the ledger's position, then the rest, and a fault that it seems
 * to have is to be looked at once more.
 */
import type { LedgerFault, Position } from '../../journal/journal.js'
import { errorCode, type Files } from '../files.js'
import type { Gap } from '../recover/gap.js'
import { judgePosition } from '../recover/ledger-position.js'
import { readLedgerNote } from '../recover/ledger-note.js'
import { POSITION_START, comparePositions } from '../format/position.js'
import { readSpoolId } from '../recover/recovery.js'
import { standOf } from './resolution.js'
import { findSegments, surveySegments, type DamagedBytes, type FrameSum, type SegmentSurvey } from '../recover/survey.js'

export interface SegmentInspection {
  readonly name: string
  readonly epoch: number
  /** Of the frames that count; null if there are none. */
  readonly firstSequence: number | null
  readonly lastSequence: number | null
  /** The last frame before this segment. */
  readonly base: Position
  readonly frames: number
  readonly rows: number
  /** Of the file. */
  readonly fileBytes: number
  readonly headerDamaged: boolean
  readonly damaged: readonly DamagedBytes[]
  /** Unfinished bytes at the end: of a crash, or of a write that is under way. */
  readonly tornBytes: number
  /** Frames that the ledger does not cover. */
  readonly waiting: FrameSum
}

export interface SpoolInspection {
  readonly directory: string
  /** Null: damaged or not there; the next start takes it from a segment. */
  readonly spoolId: string | null
  readonly segments: readonly SegmentInspection[]
  readonly gaps: readonly Gap[]
  readonly frames: number
  readonly rows: number
  /** The newest frame; null if there is none. */
  readonly last: Position | null
  /** Frames that the ledger does not cover; all of them if its position is not known. */
  readonly waiting: FrameSum
  /** Why the next start would not store these frames in that database; null also if the ledger is not known. */
  readonly fault: LedgerFault | null
}

/** Segments may be removed while they are looked at; each time the look begins anew. */
const LOOKS_MAX = 5

/** The id of the spool in a slot's directory; null if nothing there tells it. */
export async function identifySpool (files: Files, directory: string): Promise<string | null> {
  return await again(async () => await readSpoolId(files, directory) ??
    (await findSegments(files, directory)).find((one) => one.header !== null)?.header?.spoolId ?? null)
}

/** The last frame of which the spool knows by itself that it was committed. */
export async function readCommitted (files: Files, directory: string, spoolId: string): Promise<Position> {
  return (await readLedgerNote(files, directory, spoolId)).note?.committed ?? POSITION_START
}

/**
 * @param directory of one slot
 * @param ledger where the ledger stands; null: it has no row for this spool; undefined: not known
 * @param committed of a spool that may run: what readCommitted() said before the ledger was read
 */
export async function inspectSpool (files: Files, directory: string, ledger?: Position | null, committed: Position | null = null): Promise<SpoolInspection> {
  const spoolId = await identifySpool(files, directory)
  const surveys = await again(async () => {
    const found = await findSegments(files, directory)
    return await surveySegments(files, found.filter((one) => !one.unfinished), ledger ?? POSITION_START)
  })
  const segments = surveys.map(describeSegment)
  const last = surveys[surveys.length - 1]?.last ?? null
  const sum = (valueOf: (segment: SegmentInspection) => number): number => segments.reduce((total, segment) => total + valueOf(segment), 0)
  return {
    directory,
    spoolId,
    segments,
    gaps: surveys.flatMap((survey) => survey.gaps),
    frames: sum(({ frames }) => frames),
    rows: sum(({ rows }) => rows),
    last,
    waiting: { frames: sum(({ waiting }) => waiting.frames), rows: sum(({ waiting }) => waiting.rows), bytes: sum(({ waiting }) => waiting.bytes) },
    fault: ledger === undefined ? null : await judge(files, directory, spoolId, surveys, ledger, committed)
  }
}

/** As the next start would. */
async function judge (files: Files, directory: string, spoolId: string | null, surveys: readonly SegmentSurvey[], ledger: Position | null, committed: Position | null): Promise<LedgerFault | null> {
  if (spoolId === null) return null
  const stand = await standOf(files, directory, spoolId, surveys)
  // What was committed since the ledger was read does not count against it.
  const note = committed !== null && comparePositions(committed, stand.note.committed) < 0 ? { ...stand.note, committed } : stand.note
  return judgePosition({ ...stand, note }, ledger)
}

function describeSegment ({ segment, stretches, headerDamaged, damaged, torn, beyond }: SegmentSurvey): SegmentInspection {
  return {
    name: segment.name,
    epoch: segment.epoch,
    firstSequence: stretches[0]?.first ?? null,
    lastSequence: stretches[stretches.length - 1]?.last ?? null,
    base: segment.base,
    frames: stretches.reduce((sum, stretch) => sum + stretch.last - stretch.first + 1, 0),
    rows: stretches.reduce((sum, stretch) => sum + stretch.rows, 0),
    fileBytes: segment.bytes,
    headerDamaged,
    damaged,
    tornBytes: torn?.bytes ?? 0,
    waiting: beyond
  }
}

async function again<T> (look: () => Promise<T>): Promise<T> {
  for (let looks = 1; ; looks++) {
    try {
      return await look()
    } catch (error) {
      if (looks === LOOKS_MAX || errorCode(error) !== 'ENOENT') throw error
    }
  }
}
