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
import { POINTS_MAX } from '../columns.js'
import { PARTS_MAX } from '../json/json-exact.js'
import type { PointReader } from '../point.js'
import { FAULT_DETAILS_MAX } from '../faults.js'
import { FIELDS_MAX, UNKNOWN_FIELD, type PointSchema } from '../schema.js'

const NO_TEXT = -2
const FIRST_BEYOND_ASCII = 0x80
/** No value of a map stands at the beginning. */
const ABSENT = 0
/** Where the last value of each field stands. */
const lastValues = new Uint32Array(FIELDS_MAX)

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
    const { at: end, left } = reader
    reader.at = start
    readPoint(reader, points)
    reader.at = end
    // What was stepped over twice counts once.
    reader.left = left
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
  const { schema } = points
  lastValues.fill(ABSENT, 0, schema.fields.length)
  // What is not known is looked at only to name it. Without a prototype: __proto__ is a name like any other.
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

/** Which field the text at the cursor names, or UNKNOWN_FIELD or NO_TEXT. @param length of the text; below 0: none stands here */
function fieldAt ({ bytes, at }: MsgpackReader, length: number, schema: PointSchema): number {
  if (length < 0) return NO_TEXT
  const field = schema.fieldAt(bytes, at, length)
  if (field !== UNKNOWN_FIELD) return field
  for (let position = at; position < at + length; position++) {
    // Looked at by its bytes alone as long as that is enough: a call for each of many names costs more.
    if ((bytes[position] ?? 0) >= FIRST_BEYOND_ASCII) return isUtf8(bytes.subarray(at, at + length)) ? UNKNOWN_FIELD : NO_TEXT
  }
  return UNKNOWN_FIELD
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
