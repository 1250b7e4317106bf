/** Why a decoder refused a body: a code from the error table, and where the faults are. */

import { POINTS_MAX } from './columns.js'

/** One fault of one point in a body. */
export interface FaultDetail {
  /** Position of the point in the body, from 0. */
  readonly index: number
  /** The field at fault, if it is a single one. */
  readonly field?: string
  /** What is wrong, and what is expected. */
  readonly message: string
}

export interface DecodeFault {
  readonly code: 'invalid_json' | 'invalid_msgpack' | 'invalid_point' | 'body_too_large'
  readonly message: string
  /** At most FAULT_DETAILS_MAX. */
  readonly details?: readonly FaultDetail[]
  /** Points in the body, as far as they could be counted; they count as rejected. */
  readonly points: number
}

/** A body with more than POINTS_MAX points or blank lines. @param points read so far */
export function tooManyPoints (points: number): DecodeFault {
  return tooMuch(points, POINTS_MAX, 'points or blank lines')
}

/** A body with too much of something. @param points read so far */
export function tooMuch (points: number, max: number, what: string): DecodeFault {
  const message = `The body has more than ${max} ${what}; no point of it was accepted. Send smaller batches.`
  return { code: 'body_too_large', message, points }
}

/** Faults listed in one answer. */
export const FAULT_DETAILS_MAX = 10
