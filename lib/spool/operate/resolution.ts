/**
 * The ways on from a ledger that does not fit its spool. Which of them is right only a person knows: whether the
 * database holds the points between the two positions. Nothing here writes to a database, or asks one.
 *
 *   ledger set back or restored     gone │ on disk, committed │ waits
 *                              P ────────┴──────────┬─────────┴───────
 *                                       lower: store them again      upper: they are there already
 *   ledger set ahead               committed │ on disk │ waits
 *                                        ────┴─────────┴─── P
 *                                          lower       upper
 *
 * "Committed" is what the spool knows for sure. Behind it may stand frames that the database has all the same: those whose
 * transaction nobody saw to its end, and after a power cut, which makes the spool's note older than its segments, any on
 * disk. They are in doubt: whoever can ask the database says how far it has them, and both sketches move accordingly.
 */
import type { LedgerFault, Position } from '../../journal/journal.js'
import type { Files } from '../files.js'
import { readLedgerNote, writeLedgerNote, NOTE_UNKNOWN } from '../recover/ledger-note.js'
import { committedOf, judgePosition, newestFrameUpTo, type SpoolStand } from '../recover/ledger-position.js'
import { POSITION_START, comparePositions } from '../format/position.js'
import { StretchReader } from '../reader.js'
import { refuseOtherFormats } from '../recover/recovery.js'
import { endlessEpochs, findSegments, surveySegments, type FoundSegment, type FrameSum, type SegmentSurvey } from '../recover/survey.js'
import type { Frame } from '../writer.js'

/** Payload bytes that are read at a time. */
const PART_BYTES = 4 * 1024 * 1024

/** Frames that are neither in the database nor on disk: of those after a position, up to another. */
export interface GoneFrames {
  readonly after: Position
  readonly through: Position
  /** Null: they are of more than one epoch, of which nothing tells how many frames it had. */
  readonly frames: number | null
  /** At most: those that PostgreSQL refused are among them. Null: nobody counted. */
  readonly rows: number | null
}

/** Frames on disk of which the spool does not know whether they were committed: those after a position, up to another. */
export interface DoubtfulFrames {
  readonly after: Position
  readonly through: Position
  /** `under_way`: the answer of the database did not come. `old_note`: what was noted of them went with a power cut, or damage. */
  readonly cause: 'under_way' | 'old_note'
}

/** How far a database has the frames in doubt. They commit in order, so it has all of them up to one. */
export interface FoundFrames {
  /** The last frame of which it has every row, and of those before; null: it does not have the first one. */
  readonly through: Position | null
  /** Of the frames up to `through`. */
  readonly rows: number
  /** Rows of frames behind `through` that it seems to have too: as a sender that sends again makes them, for instance. */
  readonly rowsBehind: number
}

export interface Resolution {
  readonly fault: LedgerFault
  /** The last frame before those in question: they are stored if the ledger is set to it. */
  readonly lower: Position
  /** The last frame of those in question: they are taken for stored if the ledger is set to it. */
  readonly upper: Position
  /** The frames in question that are on disk. */
  readonly between: FrameSum
  /** Behind them: stored either way. */
  readonly waiting: FrameSum
  readonly gone: GoneFrames | null
  /** Null: the spool knows of every frame on disk whether it was committed. */
  readonly doubt: DoubtfulFrames | null
  /** What was found of those in doubt; null: nobody looked. */
  readonly found: FoundFrames | null
  /** Rows of all frames that are known to be committed, or were found; null: nobody counted. */
  readonly countedRows: number | null
}

/** What a spool that is not open knows by itself. */
export async function standOf (files: Files, directory: string, spoolId: string, surveys: readonly SegmentSurvey[]): Promise<SpoolStand> {
  const { note } = await readLedgerNote(files, directory, spoolId)
  return {
    spoolId,
    epoch: Math.max(Date.now(), ...surveys.map(({ segment }) => segment.epoch + 1)),
    released: surveys[0]?.segment.base ?? POSITION_START,
    note: note ?? NOTE_UNKNOWN,
    ends: surveys.flatMap(({ segment, last }) => [segment.base, last]),
    endless: endlessEpochs(surveys)
  }
}

/**
 * Null: the ledger fits. The spool must not be open.
 * @param ledger null: the database has no row for this spool
 * @param found what the database has of the frames that an earlier plan called doubtful
 */
export async function planResolution (files: Files, directory: string, spoolId: string, ledger: { readonly position: Position, readonly storedRows: number } | null, found: FoundFrames | null = null): Promise<Resolution | null> {
  const segments = await findWholeSegments(files, directory)
  const stand = await standOf(files, directory, spoolId, await surveySegments(files, segments))
  const position = ledger?.position ?? null
  const fault = judgePosition(stand, position)
  if (fault === null) return null
  const known = committedOf(stand)
  const committed = later(known, found?.through ?? POSITION_START)
  const shown = position ?? POSITION_START
  const ahead = fault.kind === 'ledger_ahead'
  const lower = ahead ? committed : later(shown, stand.released)
  const upper = ahead ? later(newestFrameUpTo(stand, shown), committed) : committed
  const beyondLower = sumOf(await surveySegments(files, segments, lower))
  const waiting = sumOf(await surveySegments(files, segments, upper))
  const between = { frames: beyondLower.frames - waiting.frames, rows: beyondLower.rows - waiting.rows, bytes: beyondLower.bytes - waiting.bytes }
  const countedRows = countRows(stand, known, found)
  return {
    fault,
    lower,
    upper,
    between,
    waiting,
    gone: ahead ? null : goneOf(shown, upper, between, countedRows === null ? null : countedRows - (ledger?.storedRows ?? 0)),
    doubt: doubtOf(stand, known),
    found,
    countedRows
  }
}

/**
 * The frames in doubt that are on disk, in order, some at a time.
 * @throws {OperatingError} spool_failed: rows of another format than `rowFormat`
 */
export async function * readDoubtful (files: Files, directory: string, { after, through }: DoubtfulFrames, rowFormat: number): AsyncGenerator<readonly Frame[], void, void> {
  const surveys = await surveySegments(files, await findWholeSegments(files, directory))
  refuseOtherFormats(surveys, rowFormat)
  const reader = new StretchReader(files, directory)
  try {
    for (const stretch of surveys.flatMap(({ stretches }) => stretches)) {
      if (comparePositions({ epoch: stretch.epoch, sequence: stretch.last }, after) <= 0) continue
      for (let left = stretch; left.first <= left.last;) {
        const part = await reader.read(left, PART_BYTES, after)
        const frames = part.frames.filter((frame) => comparePositions(frame, through) <= 0)
        if (frames.length > 0) yield frames
        left = { ...left, ...part.left }
      }
    }
  } finally {
    await reader.close()
  }
}

/** What the database has of the points in question: nothing, or all. */
export type Choice = 'store-again' | 'already-stored'

/** Where the ledger is to be set, and the rows that are stored then, as far as they are known. */
export function chosen ({ fault, lower, upper, countedRows }: Resolution, choice: Choice, storedRows: number): { position: Position, rows: number | null } {
  if (choice === 'store-again') return { position: lower, rows: fault.kind === 'ledger_ahead' ? countedRows : storedRows }
  return { position: upper, rows: fault.kind === 'ledger_ahead' ? null : countedRows }
}

/** Whether the database is seen to have points that are stored then. */
export function storesTwice ({ fault, found }: Resolution, choice: Choice): boolean {
  if (found === null) return false
  return found.rowsBehind > 0 || (found.rows > 0 && choice === 'store-again' && fault.kind !== 'ledger_ahead')
}

/** Makes the next start believe a ledger that stands at `position`; the caller sets the ledger, before. */
export async function writeResolution (files: Files, directory: string, spoolId: string, { position, rows }: { readonly position: Position, readonly rows: number | null }): Promise<void> {
  await writeLedgerNote(files, directory, spoolId, { given: true, committed: position, sent: position, sentExact: true, complete: true, rows, sentRows: 0 })
}

async function findWholeSegments (files: Files, directory: string): Promise<FoundSegment[]> {
  return (await findSegments(files, directory)).filter((one) => !one.unfinished)
}

function later (left: Position, right: Position): Position {
  return comparePositions(left, right) < 0 ? right : left
}

/** A note that a power cut has made older than the segments has not counted all. */
function countRows ({ note }: SpoolStand, known: Position, found: FoundFrames | null): number | null {
  return note.rows === null || comparePositions(note.committed, known) !== 0 ? null : note.rows + (found?.rows ?? 0)
}

function doubtOf ({ note, ends }: SpoolStand, after: Position): DoubtfulFrames | null {
  const through = note.sentExact ? note.sent : ends.reduce(later, POSITION_START)
  return comparePositions(through, after) > 0 ? { after, through, cause: note.sentExact ? 'under_way' : 'old_note' } : null
}

/** @param committedRows that were stored after `after`, up to `through`; null: not known */
function goneOf (after: Position, through: Position, between: FrameSum, committedRows: number | null): GoneFrames | null {
  const frames = after.epoch === through.epoch ? through.sequence - after.sequence - between.frames : null
  const rows = committedRows === null ? null : Math.max(0, committedRows - between.rows)
  return (frames ?? rows) === 0 ? null : { after, through, frames, rows }
}

function sumOf (surveys: readonly SegmentSurvey[]): FrameSum {
  return surveys.reduce((sum, { beyond }) => ({ frames: sum.frames + beyond.frames, rows: sum.rows + beyond.rows, bytes: sum.bytes + beyond.bytes }), { frames: 0, rows: 0, bytes: 0 })
}
