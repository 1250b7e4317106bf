/** Positions of frames: ordered by epoch, then by sequence. The position (0, 0) stands before every frame. */
import type { Position } from '../../journal/journal.js'

export const POSITION_START: Position = Object.freeze({ epoch: 0, sequence: 0 })

/** Negative: `left` stands before `right`. Zero: the same. */
export function comparePositions (left: Position, right: Position): number {
  return left.epoch === right.epoch ? left.sequence - right.sequence : left.epoch - right.epoch
}

/** For messages: "epoch 1760000000000, sequence 12". */
export function describePosition (position: Position): string {
  return `epoch ${position.epoch}, sequence ${position.sequence}`
}
