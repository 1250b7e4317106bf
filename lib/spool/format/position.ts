/** Positions of frames: ordered by epoch, then by sequence. The position (0, 0) is before every frame. */
import type { LedgerPosition, Position } from '../../journal/journal.js'

export const POSITION_START: LedgerPosition = Object.freeze({ epoch: 0, sequence: 0, epochId: null })

/** Negative: `left` is before `right`. Zero: equal. */
export function comparePositions (left: Position, right: Position): number {
  return left.epoch === right.epoch ? left.sequence - right.sequence : left.epoch - right.epoch
}

export function later (left: Position, right: Position): Position {
  return comparePositions(left, right) > 0 ? left : right
}

/** For messages: "epoch 1760000000000, sequence 12". */
export function describePosition (position: Position): string {
  return `epoch ${position.epoch}, sequence ${position.sequence}`
}
