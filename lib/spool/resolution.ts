/**
 * The ways on from a ledger that does not fit its spool. Which of them is right only a person knows: whether the
 * database holds the points between the two positions. Nothing here writes to a database.
 *
 *   ledger set back or restored     gone │ on disk, committed │ waits
 *                              P ────────┴──────────┬─────────┴───────
 *                                       lower: store them again      upper: they are there already
 *   ledger set ahead               committed │ on disk │ waits
 *                                        ────┴─────────┴─── P
 *                                          lower       upper
 */
import type { LedgerFault, Position } from '../pipeline/journal.js'
import type { Files } from './files.js'
import { readLedgerNote, writeLedgerNote, NOTE_UNKNOWN } from './ledger-note.js'
import { committedOf, judgePosition, newestFrameUpTo, type SpoolStand } from './ledger-position.js'
import { POSITION_START, comparePositions } from './position.js'
import { endlessEpochs, findSegments, surveySegments, type FrameSum, type SegmentSurvey } from './survey.js'

/** Frames that are neither in the database nor on disk: of those after a position, up to another. */
export interface GoneFrames {
  readonly after: Position
  readonly through: Position
  /** Null: they are of more than one epoch, of which nothing tells how many frames it had. */
  readonly frames: number | null
  /** At most: those that PostgreSQL refused are among them. Null: nobody counted. */
  readonly rows: number | null
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
  /** Frames that were given to the database, and whose transaction nobody saw to its end. */
  readonly underWay: { readonly after: Position, readonly through: Position } | null
  /** Rows of all frames that are known to be committed; null: nobody counted. */
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
 */
export async function planResolution (files: Files, directory: string, spoolId: string, ledger: { readonly position: Position, readonly storedRows: number } | null): Promise<Resolution | null> {
  const found = (await findSegments(files, directory)).filter((one) => !one.unfinished)
  const stand = await standOf(files, directory, spoolId, await surveySegments(files, found))
  const position = ledger?.position ?? null
  const fault = judgePosition(stand, position)
  if (fault === null) return null
  const committed = committedOf(stand)
  const shown = position ?? POSITION_START
  const ahead = fault.kind === 'ledger_ahead'
  const lower = ahead ? committed : comparePositions(shown, stand.released) < 0 ? stand.released : shown
  const upper = ahead ? newestFrameUpTo(stand, shown) : committed
  const beyondLower = sumOf(await surveySegments(files, found, lower))
  const waiting = sumOf(await surveySegments(files, found, upper))
  const between = { frames: beyondLower.frames - waiting.frames, rows: beyondLower.rows - waiting.rows, bytes: beyondLower.bytes - waiting.bytes }
  const { note } = stand
  // A note that a power cut has made older than the segments has not counted all.
  const countedRows = comparePositions(note.committed, committed) === 0 ? note.rows : null
  return {
    fault,
    lower,
    upper,
    between,
    waiting,
    gone: ahead ? null : goneOf(shown, upper, between, countedRows === null ? null : countedRows - (ledger?.storedRows ?? 0)),
    underWay: comparePositions(note.sent, committed) > 0 ? { after: committed, through: note.sent } : null,
    countedRows
  }
}

/** What the database has of the points in question: nothing, or all. */
export type Choice = 'store-again' | 'already-stored'

/** Where the ledger is to be set, and the rows that are stored then, as far as they are known. */
export function chosen ({ fault, lower, upper, countedRows }: Resolution, choice: Choice, storedRows: number): { position: Position, rows: number | null } {
  if (choice === 'store-again') return { position: lower, rows: fault.kind === 'ledger_ahead' ? countedRows : storedRows }
  return { position: upper, rows: fault.kind === 'ledger_ahead' ? null : countedRows }
}

/** Makes the next start believe a ledger that stands at `position`; the caller sets the ledger, before. */
export async function writeResolution (files: Files, directory: string, spoolId: string, { position, rows }: { readonly position: Position, readonly rows: number | null }): Promise<void> {
  await writeLedgerNote(files, directory, spoolId, { given: true, committed: position, sent: position, sentExact: true, complete: true, rows, sentRows: 0 })
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
