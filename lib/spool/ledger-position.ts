/**
 * Whether a ledger's position can be that of this spool. The spool never writes to a database on its own judgement when
 * it cannot: a wrong database would get points twice, or miss them.
 */
import type { LedgerFault, Position } from '../pipeline/journal.js'
import { POSITION_START, comparePositions, describePosition } from './position.js'

export interface SpoolStand {
  readonly spoolId: string
  /** Of this opening. */
  readonly epoch: number
  /** The newest frame that is durable. */
  readonly last: Position
  /** Frames up to it were committed, as far as the spool knows by itself. */
  readonly released: Position
  /** Frames were given out for a ledger before, in this process or an earlier one: it must have a row. */
  readonly inLedger: boolean
}

/** @param position null: the database has no ledger row for this spool */
export function judgePosition (stand: SpoolStand, position: Position | null): LedgerFault | null {
  const { spoolId, epoch, last, released, inLedger } = stand
  const setRow = `To go on with this database nevertheless, set the row of spool ${spoolId} in ingest_ledger to ${describePosition(released)}; ` +
    'all frames after that are then stored, so make sure that it does not hold them yet.'
  if (position === null) {
    if (!inLedger && comparePositions(released, POSITION_START) === 0) return null
    return {
      kind: 'ledger_missing',
      message: `The database has no ledger row for spool ${spoolId}, but this spool has given frames to some database, up to ${describePosition(released)} for sure. ` +
        `This is another database, or it was restored from before the spool was used. Connect the right one, or restore a later backup. ${setRow}`
    }
  }
  if (comparePositions(position, released) < 0) {
    return {
      kind: 'ledger_behind',
      message: `The ledger of spool ${spoolId} stands at ${describePosition(position)}, but frames up to ${describePosition(released)} were committed or are gone from the spool. ` +
        'The database was restored from a backup, has lost commits, or is another one; or segments were removed by hand. ' +
        `Restore a later state of the database, or accept that the points between are missing. ${setRow}`
    }
  }
  if (position.epoch > epoch || (position.epoch === epoch && comparePositions(position, last) > 0)) {
    return {
      kind: 'ledger_ahead',
      message: `The ledger of spool ${spoolId} stands at ${describePosition(position)}, beyond every frame of this spool (epoch ${epoch} began with this start; the newest frame is ${describePosition(last)}). ` +
        'The spool directory is an old copy, another process runs on a copy of it, or the clock was set back. ' +
        `Stop the other process, or move an old copy away, so that a new spool begins. ${setRow}`
    }
  }
  return null
}
