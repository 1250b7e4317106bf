/**
 * Decides whether a ledger row can be this spool's own. The row says how far the database has committed; this file says
 * whether to believe it, from what the segments record and what this process has handed to the drain. No file is
 * written per transaction. A row that is not believed is never acted on: points would be stored twice or skipped.
 *
 * What the segments record
 * - Each opening of the spool begins an epoch: a number, and a random id. Both are in the header of the epoch's first
 *   segment, which is durable before the first frame of the epoch exists, and so before any can be committed.
 * - Each header names its base, the last frame that counts before it, with the id of that frame's epoch. The newest
 *   segment is never removed, nor is the newest one that names the ledger's epoch (segment-log.ts). So every start
 *   knows the epoch of the right row, even if all frames of the epoch are gone.
 * - A segment is removed only when the ledger covers it. So the right row is never before the oldest segment's base.
 * - A header says whether the ledger had a row for the spool.
 *
 *        behind │ believed: epochs known to the segments │ ahead
 *               └ base of the oldest segment             └ end of each epoch
 *
 * The end of an earlier epoch is its last frame on disk plus one write group, which may have been committed out of the
 * page cache and then lost with it. The end of the current epoch is the last frame handed to the drain.
 *
 * What follows
 * - kill -9: the page cache survives. Frames written but not acknowledged are recovered and stored.
 * - Power cut before a new segment's header is durable: no frame of that segment exists; its file is removed.
 * - Power cut before a group is durable: the group was not acknowledged; the torn tail is cut off.
 * - Power cut before the removal of a segment is durable: the file is back, and the ledger covers it.
 * - Failed fsync, then kill -9, then power cut: recovery may have stored the group out of the page cache before it was
 *   lost. The row is past the last frame on disk by at most one group, and is believed: the database has every frame of
 *   that epoch that is on disk.
 * - Full disk: once all frames are committed and not even a header fits, the newest segment is cut down to its header,
 *   which first gets the last frame as its base. Epochs keep growing, and ids stay known.
 * - Clock set back: the next epoch is one more than the largest on disk.
 * - Two copies of the spool on one database: both may store the frames that they share; compare-and-set stores each
 *   once. The first to commit a frame of its own epoch moves the row to an epoch that the other does not know. The
 *   other stops, and keeps its frames.
 * - Database restored: if the row is before the oldest segment, the drain stops. Otherwise every frame that the
 *   database lost is still on disk, and is stored again.
 * - Database emptied, or row deleted: a segment says that there was a row, so the drain stops. A standby that was
 *   promoted before it had the row gets it again, if that happens while the drain runs (drain.ts).
 * - Database exchanged: it has no row, or one of another time: as above.
 * - Row edited: believed where it fits, as any position inside the oldest segment does; otherwise the drain stops. The
 *   id may be left as it is.
 *
 * Version 1 of the segment format has no ids. A missing id, in the row or in the segments, is not compared: the
 * position alone decides until a frame of a newer epoch commits.
 */
import type { LedgerFault, LedgerPosition, Position } from '../../journal/journal.js'
import { POSITION_START, comparePositions, describePosition } from '../format/position.js'
import { GROUP_FRAMES_MAX } from '../format/segment.js'
import type { SegmentSurvey } from './survey.js'

/** An epoch whose frames may have been committed. */
export interface KnownEpoch {
  /** Null: unknown. */
  readonly id: string | null
  /** Sequence of the last frame that may have been committed; infinite if damage hides it. */
  readonly end: number
}

/** What a spool knows about its ledger. */
export interface LedgerEvidence {
  readonly spoolId: string
  /** The ledger covers all frames up to here. */
  readonly released: Position
  /** The ledger has, or had, a row for this spool. */
  readonly entered: boolean
  readonly epochs: ReadonlyMap<number, KnownEpoch>
}

/**
 * What the segments record.
 * @param surveys oldest first
 */
export function evidenceOf (spoolId: string, surveys: readonly SegmentSurvey[]): LedgerEvidence {
  const released = surveys[0]?.segment.base ?? POSITION_START
  const epochs = new Map<number, KnownEpoch>()
  const add = (epoch: number, id: string | null, last: number): void => {
    const known = epochs.get(epoch)
    epochs.set(epoch, { id: known?.id ?? id, end: Math.max(known?.end ?? 0, last + GROUP_FRAMES_MAX) })
  }
  for (const { segment: { base, epoch, epochId }, last, gaps } of surveys) {
    add(base.epoch, base.epochId, base.sequence)
    add(epoch, epochId, 0)
    add(last.epoch, null, last.sequence)
    for (const gap of gaps) if (gap.toSequence === null) add(gap.epoch, null, Number.POSITIVE_INFINITY)
  }
  epochs.set(POSITION_START.epoch, { id: null, end: 0 })
  const entered = comparePositions(released, POSITION_START) > 0 || surveys.some(({ segment }) => segment.entered)
  return { spoolId, released, entered, epochs }
}

/**
 * @param position null: the database has no ledger row for this spool
 * @param kind what the frames are in, for the advice
 */
export function judgePosition (
  evidence: LedgerEvidence, position: LedgerPosition | null, kind: keyof typeof ADVICE = 'spool'
): LedgerFault | null {
  const { spoolId, released, entered, epochs } = evidence
  const fault = (fault: LedgerFault['kind'], found: string): LedgerFault =>
    ({ kind: fault, found, message: `${found} ${ADVICE[kind].causes[fault]} ${ADVICE[kind].wayOn}` })
  if (position === null) {
    if (!entered) return null
    return fault('ledger_missing', `The database has no ledger row for spool ${spoolId}, but one existed.`)
  }
  const found = `The ledger of spool ${spoolId} is at ${describePosition(position)}`
  if (comparePositions(position, released) < 0) {
    return fault('ledger_behind', `${found}, but frames up to ${describePosition(released)} were committed.`)
  }
  const known = epochs.get(position.epoch)
  if (known === undefined || !idFits(evidence, known, position)) {
    const id = position.epochId === null ? '' : ` (id ${position.epochId})`
    return fault('ledger_ahead', `${found}, but this spool never had that epoch${id}.`)
  }
  if (position.sequence > known.end) {
    return fault('ledger_ahead', `${found}, but no frame of that epoch beyond ${known.end} can have been committed.`)
  }
  return null
}

/** The id of another known epoch fits too: a row that was edited keeps the one it had. */
function idFits ({ epochs }: LedgerEvidence, known: KnownEpoch, { epochId }: LedgerPosition): boolean {
  if (known.id === null || epochId === null) return true
  return [...epochs.values()].some(({ id }) => id === epochId)
}

const SPOOL_CAUSES = {
  ledger_missing: 'This is another database, it was restored from before the spool was used, or the row was deleted. ' +
    'Connect to the right one, or restore a later backup.',
  ledger_behind: 'The database was restored from a backup, has lost commits, or is another one; ' +
    'or its row was set back. Restore a later state of the database, or correct the row.',
  ledger_ahead: 'Another process runs on a copy of the spool directory, this directory is an old copy ' +
    'or has lost segments, or the row was edited. Stop the other process, or correct the row.'
} as const satisfies Record<LedgerFault['kind'], string>

const ADVICE = {
  spool: {
    causes: SPOOL_CAUSES,
    wayOn: 'To continue with this database, stop the server and run "orbitstream-ingest spool resolve": ' +
      'it finds which of the points on disk the database has, and sets the ledger past them. ' +
      'Until then nothing of this spool is stored.'
  },
  log: {
    causes: { ...SPOOL_CAUSES, ledger_ahead: 'The row was edited, or belongs to another database. Correct the row.' },
    wayOn: 'Until then nothing of this lane is stored; its frames stay in the log. See docs/OPERATE.md.'
  }
} as const
