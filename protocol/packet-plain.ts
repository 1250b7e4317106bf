/**
 * The plain forms of msgpack: maps with the fields of the JSON point. The rules are those of PointReader, so JSON and
 * plain msgpack cannot disagree; like there, the last of two equal keys counts.
 *
 * What msgpack has beyond JSON: an integer beyond 2^53 is the nearest double, as in JSON.parse; NaN and infinities are
 * beyond the range of numbers; keys that are not text, and in the fields of a point binary, extension types
 * (timestamps too) and text that is not UTF-8, are refused.
 */
import { isUtf8 } from 'node:buffer'
import type { MsgpackReader } from './msgpack-reader.js'
import { POINTS_MAX } from './columns.js'
import { PARTS_MAX } from './json-exact.js'
import { POINT_FIELDS, type PointReader } from './point.js'

/** Stand for values that no field takes: their content is never read, the message only names their kind. */
const STAND_INS = Object.freeze({ nil: null, boolean: false, array: [], map: {}, end: undefined })

const OTHER_MESSAGE = 'must be of a type that JSON has too: binary and extension types are not taken'
const UTF8_MESSAGE = 'is not valid UTF-8'

/** A value, or what is wrong with it. */
type Taken = { readonly value: unknown, readonly fault: null } | { readonly fault: string }

/**
 * Hands `count` values from the cursor on to `points`, which keeps their faults.
 * Returns false, with the cursor anywhere, if one of them is not msgpack or not there.
 */
export function readPlainPoints (reader: MsgpackReader, count: number, points: PointReader): boolean {
  for (let index = 0; index < count; index++) {
    const start = reader.at
    // First to the end of the value: from then on nothing of it can be missing.
    if (!reader.skip()) return false
    if (points.points === POINTS_MAX) return true
    if (points.isFull) {
      points.points++
      continue
    }
    const end = reader.at
    reader.at = start
    readPoint(reader, points)
    reader.at = end
  }
  return true
}

/** One point, or what stands in its place. */
function readPoint (reader: MsgpackReader, points: PointReader): void {
  const pairs = reader.readMapLength()
  if (pairs < 0) {
    const taken = take(reader)
    if (taken.fault === null) points.read(taken.value)
    else refuse(points, taken.fault)
    return
  }
  if (pairs > PARTS_MAX) {
    refuse(points, `has more than ${PARTS_MAX} fields`)
    return
  }
  // Without a prototype: a key __proto__ is a key like any other.
  const fields = Object.create(null) as Record<string, unknown>
  // Fields of a type that PointReader does not know; a later one of the same name may still replace it.
  const refused = new Map<string, string>()
  for (let pair = 0; pair < pairs; pair++) {
    const key = take(reader)
    if (key.fault !== null || typeof key.value !== 'string') {
      refuse(points, 'has a key that is not text in UTF-8')
      return
    }
    const taken = take(reader)
    fields[key.value] = taken.fault === null ? taken.value : null
    if (taken.fault === null) refused.delete(key.value)
    else if (POINT_FIELDS.includes(key.value)) refused.set(key.value, taken.fault)
  }
  const first = refused.entries().next().value
  if (first === undefined) points.read(fields)
  else refuse(points, first[1], first[0])
}

/** Refuses a point that PointReader does not get to see. */
function refuse (points: PointReader, message: string, field?: string): void {
  points.points++
  points.refuse(message, field)
}

/** Takes the value at the cursor, which is whole. */
function take (reader: MsgpackReader): Taken {
  const kind = reader.peek()
  if (kind === 'number') return { value: reader.readNumber(), fault: null }
  if (kind === 'text') {
    const length = reader.readTextLength()
    const bytes = reader.bytes.subarray(reader.at, reader.at += length)
    return isUtf8(bytes) ? { value: bytes.toString('utf8'), fault: null } : { fault: UTF8_MESSAGE }
  }
  reader.skip()
  return kind === 'other' ? { fault: OTHER_MESSAGE } : { value: STAND_INS[kind], fault: null }
}
