/**
 * Whether a ledger's position can be that of this spool. The spool never writes to a database on its own judgement when
 * it cannot: a wrong database would get points twice, or miss them.
 */
import type { LedgerFault, Position } from '../../journal/journal.js'
import type { LedgerNote } from './ledger-note.js'
import { POSITION_START, comparePositions, describePosition } from '../format/position.js'

/** What a spool knows by itself. */
export interface SpoolStand {
  readonly spoolId: string
  /** Of this opening, or of the next. */
  readonly epoch: number
  /** Frames up to it were committed, as far as the segments tell: what stands before them is gone. */
  readonly released: Position
  readonly note: LedgerNote
  /** The last frames of stretches of an epoch: a frame exists, or existed, if one of its epoch stands there or behind. */
  readonly ends: readonly Position[]
  /** Epochs of which damage has hidden how far they went. */
  readonly endless: ReadonlySet<number>
}

/** Frames up to it are known to be committed. */
export function committedOf ({ released, note }: Pick<SpoolStand, 'released' | 'note'>): Position {
  return comparePositions(released, note.committed) > 0 ? released : note.committed
}

/** The newest frame at `position` or before that exists, or existed. */
export function newestFrameUpTo ({ ends, endless, note, released }: Pick<SpoolStand, 'ends' | 'endless' | 'note' | 'released'>, position: Position): Position {
  if (endless.has(position.epoch)) return position
  let newest = POSITION_START
  for (const end of [...ends, released, note.committed, note.sent]) {
    const frame = end.epoch === position.epoch && end.sequence > position.sequence ? position : end
    if (comparePositions(frame, position) <= 0 && comparePositions(frame, newest) > 0) newest = frame
  }
  return newest
}

/** Whether nothing speaks against a frame of an earlier epoch: what there was is not known. */
function mayExist ({ epoch, note }: SpoolStand, position: Position): boolean {
  return !note.complete && position.epoch < epoch
}

/** @param position null: the database has no ledger row for this spool */
export function judgePosition (stand: SpoolStand, position: Position | null): LedgerFault | null {
  const { spoolId, note } = stand
  const committed = committedOf(stand)
  if (position === null) {
    if (!note.given && comparePositions(committed, POSITION_START) === 0) return null
    return {
      kind: 'ledger_missing',
      message: `The database has no ledger row for spool ${spoolId}, but this spool has given frames to some database, up to ${describePosition(committed)} for sure. ` +
        `This is another database, it was restored from before the spool was used, or the row was deleted. Connect the right one, or restore a later backup. ${WAY_ON}`
    }
  }
  if (comparePositions(position, committed) < 0) {
    return {
      kind: 'ledger_behind',
      message: `The ledger of spool ${spoolId} stands at ${describePosition(position)}, but frames up to ${describePosition(committed)} were committed. ` +
        'The database was restored from a backup, has lost commits, or is another one; or its row was set back. ' +
        `Restore a later state of the database, or put the row right. ${WAY_ON}`
    }
  }
  const limit = note.sentExact ? note.sent : mayExist(stand, position) ? position : newestFrameUpTo(stand, position)
  if (comparePositions(position, limit) > 0) {
    return {
      kind: 'ledger_ahead',
      message: `The ledger of spool ${spoolId} stands at ${describePosition(position)}, but no frame beyond ${describePosition(limit)} ${note.sentExact ? 'was given to a database' : 'is known here'}. ` +
        'Its row was set ahead, the spool directory is an old copy or has lost segments, or another process runs on a copy of it. ' +
        `Stop the other process, or put the row right. ${WAY_ON}`
    }
  }
  return null
}

const WAY_ON = 'To go on with what is there, stop the server and run "orbitstream-ingest spool resolve": ' +
  'it says how many points are concerned, and asks whether the database has them. Until then nothing of this spool is stored.'
