/** What a decoder says when it takes nothing: a code of the table of errors, and where the faults are. */

import { POINTS_MAX } from './columns.js'

/** One fault of one point in a body. */
export interface FaultDetail {
  /** Position of the point in the body, from 0. */
  readonly index: number
  /** Field at fault, if it is one field. */
  readonly field?: string
  /** What is wrong and what would be right. */
  readonly message: string
}

export interface DecodeFault {
  readonly code: 'invalid_json' | 'invalid_msgpack' | 'invalid_point' | 'body_too_large'
  readonly message: string
  /** At most FAULT_DETAILS_MAX of them. */
  readonly details?: readonly FaultDetail[]
  /** Points seen in the body, as far as they could be counted: the number that is counted as rejected. */
  readonly points: number
}

/** A body of more points than are taken at once, or of more blank lines than that; `points` are those that were read. */
export function tooManyPoints (points: number): DecodeFault {
  return { code: 'body_too_large', message: `The body holds more than ${POINTS_MAX} points, or blank lines; none was taken. Send smaller batches.`, points }
}

/** A body that holds more of something than is read at once; `points` are those that were read. */
export function tooMuch (points: number, max: number, what: string): DecodeFault {
  return { code: 'body_too_large', message: `The body holds more than ${max} ${what}; nothing of it was taken. Send smaller batches.`, points }
}

/** Faults named in one answer. */
export const FAULT_DETAILS_MAX = 10
