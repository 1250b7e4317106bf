/**
 * Plain msgpack: maps with the fields of a JSON point. PointReader enforces the rules, so JSON and plain msgpack cannot
 * disagree; in both, the last of repeated keys counts.
 *
 * Where msgpack has more than JSON: integers beyond 2^53 become the nearest double, as in JSON.parse; NaN and
 * infinities are out of range; refused are keys that are not text, and in fields of a point, binary, extension types
 * (including timestamps) and text that is not UTF-8.
 */
import { isUtf8 } from 'node:buffer'
import type { MsgpackReader } from './msgpack-reader.js'
import { POINTS_MAX } from '../columns.js'
import { PARTS_MAX } from '../json/json-exact.js'
import type { PointReader } from '../point.js'
import { FAULT_DETAILS_MAX } from '../faults.js'
import { FIELDS_MAX, UNKNOWN_FIELD, type PointSchema } from '../schema.js'

const NO_TEXT = -2
const FIRST_BEYOND_ASCII = 0x80
/** Not the position of any value of a map. */
const ABSENT = 0
/** Position of the last value of each field. */
const lastValues = new Uint32Array(FIELDS_MAX)

/** Placeholders for values that no field accepts: messages name only their kind. */
const PLACEHOLDERS = Object.freeze({ nil: null, array: [], map: {}, end: undefined })

const OTHER_MESSAGE = 'must be of a type that JSON has: binary and extension types are not accepted'
const UTF8_MESSAGE = 'is not valid UTF-8'

/** A value, or a fault. */
type Taken = { readonly value: unknown, readonly fault: null } | { readonly fault: string }

/**
 * Passes `count` values from the cursor on to `points`, which collects their faults.
 * Returns false, at an undefined position, if one of them is truncated or not msgpack.
 */
export function readPlainPoints (reader: MsgpackReader, count: number, points: PointReader): boolean {
  for (let index = 0; index < count; index++) {
    const start = reader.at
    // To the end of the value first: after that, it cannot be truncated.
    if (!reader.skip()) return false
    if (points.points === POINTS_MAX) return true
    if (points.isFull) {
      points.points++
      continue
    }
    const { at: end, left } = reader
    reader.at = start
    readPoint(reader, points)
    reader.at = end
    // Values skipped twice count once.
    reader.left = left
  }
  return true
}

/** Reads a point, or whatever is in its place. */
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
  const { schema } = points
  lastValues.fill(ABSENT, 0, schema.fields.length)
  // Unknown fields are read only to name them. No prototype, so that __proto__ is a name like any other.
  const fields = Object.create(null) as Record<string, unknown>
  let unknown = points.ignoresUnknown ? FAULT_DETAILS_MAX : 0
  for (let pair = 0; pair < pairs; pair++) {
    const length = reader.readTextLength()
    const field = fieldAt(reader, length, schema)
    if (field === NO_TEXT) {
      refuse(points, 'has a key that is not text in UTF-8')
      return
    }
    const start = reader.at
    reader.at += length
    if (field >= 0) lastValues[field] = reader.at
    else if (unknown++ < FAULT_DETAILS_MAX) fields[reader.bytes.toString('utf8', start, reader.at)] = null
    reader.skip()
  }
  for (const [field, name] of schema.fields.entries()) {
    if (lastValues[field] === ABSENT) continue
    reader.at = lastValues[field] ?? ABSENT
    const taken = take(reader)
    if (taken.fault !== null) {
      refuse(points, taken.fault, name)
      return
    }
    fields[name] = taken.value
  }
  points.read(fields)
}

/** The field named by the text at the cursor, or UNKNOWN_FIELD or NO_TEXT. @param length negative: there is no text */
function fieldAt ({ bytes, at }: MsgpackReader, length: number, schema: PointSchema): number {
  if (length < 0) return NO_TEXT
  const field = schema.fieldAt(bytes, at, length)
  if (field !== UNKNOWN_FIELD) return field
  for (let position = at; position < at + length; position++) {
    // Calls isUtf8() only if needed, because a call for each of many names is expensive.
    if ((bytes[position] ?? 0) < FIRST_BEYOND_ASCII) continue
    return isUtf8(bytes.subarray(at, at + length)) ? UNKNOWN_FIELD : NO_TEXT
  }
  return UNKNOWN_FIELD
}

/** Refuses a point before PointReader reads it. */
function refuse (points: PointReader, message: string, field?: string): void {
  points.points++
  points.refuse(message, field)
}

/** Takes the value at the cursor, which is complete. */
function take (reader: MsgpackReader): Taken {
  const kind = reader.peek()
  if (kind === 'boolean') return { value: reader.readBoolean(), fault: null }
  if (kind === 'number') return { value: reader.readNumber(), fault: null }
  if (kind === 'text') {
    const length = reader.readTextLength()
    const bytes = reader.bytes.subarray(reader.at, reader.at += length)
    return isUtf8(bytes) ? { value: bytes.toString('utf8'), fault: null } : { fault: UTF8_MESSAGE }
  }
  reader.skip()
  return kind === 'other' ? { fault: OTHER_MESSAGE } : { value: PLACEHOLDERS[kind], fault: null }
}
