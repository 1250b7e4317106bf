/**
 * Finds the right position for a ledger that does not fit its spool, by looking up which points the database has.
 * Frames commit in order, so it has all frames on disk up to some point, and none after it. Read-only.
 */
import type { LedgerFault, LedgerPosition, Position } from '../../journal/journal.js'
import type { Files } from '../file-system.js'
import { judgePosition, evidenceOf } from '../recover/ledger-position.js'
import { POSITION_START, comparePositions } from '../format/position.js'
import { ExtentReader } from '../extent-reader.js'
import { refuseOtherFormats } from '../recover/recovery.js'
import { findSegments, framesBeyond, surveySegments, type FrameSum, type SegmentSurvey } from '../recover/survey.js'
import type { Frame } from '../frame.js'

/** Payload bytes read at a time. */
const PART_BYTES = 4 * 1024 * 1024

/** How many of the frames looked up the database has. */
export interface FoundFrames {
  /** It has every row of the frames up to this one; null: not even of the first. */
  readonly through: Position | null
  /** Of the frames up to `through`. */
  readonly rows: number
  /** Rows after `through` that it seems to have as well, for instance because a sender sent them twice. */
  readonly rowsBehind: number
}

export interface Resolution {
  /** Null: the ledger fits, but the database has more points. */
  readonly fault: LedgerFault | null
  /** Frames after this position were looked up. Those before are no longer on disk, or covered by the ledger. */
  readonly after: Position
  readonly found: FoundFrames
  /** The right position of the ledger. */
  readonly position: LedgerPosition
  /** Frames after it, to be stored. */
  readonly waiting: FrameSum
}

export interface ResolutionOptions {
  readonly files: Files
  /** Of one slot. An open spool may append to it meanwhile, but must not remove anything. */
  readonly directory: string
  readonly spoolId: string
  readonly rowFormat: number
  /** Looks frames up in the database; they come in order, some at a time. */
  readonly find: (parts: AsyncIterable<readonly Frame[]>) => Promise<FoundFrames>
}

/**
 * Null: the ledger is right.
 * @param ledger null: the database has no row for this spool
 * @throws {OperatingError} spool_failed: rows of another format
 */
export async function planResolution (
  options: ResolutionOptions, ledger: LedgerPosition | null
): Promise<Resolution | null> {
  const { files, directory, spoolId, rowFormat, find } = options
  const segments = (await findSegments(files, directory)).filter((one) => !one.unfinished)
  const surveys = await surveySegments(files, segments)
  refuseOtherFormats(surveys, rowFormat)
  const evidence = evidenceOf(spoolId, surveys)
  const fault = judgePosition(evidence, ledger)
  const after = fault === null ? ledger ?? POSITION_START : evidence.released
  const found = await find(readFrames(files, directory, surveys, after))
  if (fault === null && found.through === null) return null
  const { epoch, sequence } = found.through ?? after
  const position = { epoch, sequence, epochId: evidence.epochs.get(epoch)?.id ?? null }
  return { fault, after, found, position, waiting: framesBeyond(await surveySegments(files, segments, position)) }
}

async function * readFrames (
  files: Files, directory: string, surveys: readonly SegmentSurvey[], after: Position
): AsyncGenerator<readonly Frame[], void, void> {
  const reader = new ExtentReader(files, directory)
  try {
    for (const extent of surveys.flatMap(({ extents }) => extents)) {
      if (comparePositions({ epoch: extent.epoch, sequence: extent.last }, after) <= 0) continue
      for (let left = extent; left.first <= left.last;) {
        const part = await reader.read(left, PART_BYTES, after)
        if (part.frames.length > 0) yield part.frames
        left = { ...left, ...part.left }
      }
    }
  } finally {
    await reader.close()
  }
}
