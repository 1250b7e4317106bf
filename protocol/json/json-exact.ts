/**
 * The exact path of JSON: JSON.parse, then PointReader. It is slower than json-fast.ts, but supports all of JSON, and
 * explains what is wrong. json.ts documents the rules.
 *
 * Points are parsed one by one, until FAULT_DETAILS_MAX faults are found, so that a body full of faults costs no more
 * than a valid one. The rest is only scanned, to count its points.
 */
import { isUtf8 } from 'node:buffer'
import { POINTS_MAX } from '../columns.js'
import { tooManyPoints, tooMuch, type DecodeFault } from '../faults.js'
import { cutPoint, endOfCut, partsOfCut, type CutBounds } from './json-surplus.js'
import type { PointReader } from '../point.js'

/** Levels of arrays and objects, including the outermost. */
export const NESTING_LEVELS_MAX = 16
/** Fields and elements of one point, on all levels: each takes JSON.parse a microsecond or more. */
export const PARTS_MAX = 1_000
/**
 * Fields and elements of all points of a body that the fast path does not read. Each takes a third of a microsecond. Up
 * to 15 per point in a body of POINTS_MAX points.
 */
export const BODY_PARTS_MAX = 150_000
/** Text of one point that the fast path does not read. */
const POINT_TEXT_BYTES_MAX = 64 * 1024

/** Limits of a text, checked before JSON.parse. */
export interface TextBounds {
  /** Fields and elements, on all levels. */
  readonly partsMax: number
  readonly bytesMax: number
}

const POINT_BOUNDS: CutBounds = { partsMax: PARTS_MAX, bytesMax: POINT_TEXT_BYTES_MAX, levelsMax: NESTING_LEVELS_MAX }
/** For a point in an array. */
const ELEMENT_BOUNDS: CutBounds = { ...POINT_BOUNDS, levelsMax: NESTING_LEVELS_MAX - 1 }

const NEWLINE = 0x0a
const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET_OPEN = 0x5b
const BRACKET_CLOSE = 0x5d
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const

/** A parsed value, or a fault. */
type Parsed = { readonly value: unknown, readonly fault: null } | { readonly fault: string }

/** Reads one object. Any fault counts as one point, except for an array, whose points are counted. */
export function readPointExactly (body: Buffer, reader: PointReader): DecodeFault | null {
  const unreadable = textFault(body)
  if (unreadable !== null) return invalidJson(unreadable, 1)
  const parsed = parsePoint(body, skipBlanks(body, 0), body.length, reader)
  if (parsed.fault !== null) return invalidJson(parsed.fault, 1)
  if (Array.isArray(parsed.value)) {
    const message = 'The body is an array: send arrays to /telemetry/batch, or send a single object here.'
    return { code: 'invalid_point', message, points: parsed.value.length }
  }
  reader.read(parsed.value)
  return reader.fault()
}

/** Reads the point at a position by the fast path, and returns the position after it; negative if it cannot. */
export type ReadKnown = (at: number) => number

/** Disables the fast path. */
const readNone: ReadKnown = () => -1

/** Reads an array of objects, which may be empty. */
export function readBatchExactly (body: Buffer, reader: PointReader, readKnown = readNone): DecodeFault | null {
  const start = skipBlanks(body, 0)
  const unreadable = textFault(body)
  if (unreadable !== null) return invalidJson(unreadable, 0)
  if (body[start] !== BRACKET_OPEN) return refuseOther(body)
  let at = skipBlanks(body, start + 1)
  if (body[at] === BRACKET_CLOSE) return endOfBatch(body, at, reader)
  for (;;) {
    const known = reader.isFull ? -1 : knownElementEnd(body, readKnown(at))
    if (known >= 0) {
      reader.points++
      at = known
    } else {
      const end = readElement(body, at, reader)
      if (typeof end !== 'number') return end
      at = end
    }
    if (reader.points === POINTS_MAX && reader.isFull) return reader.fault()
    if (body[at] !== COMMA) return endOfBatch(body, at, reader)
    if (reader.points === POINTS_MAX) return tooManyPoints(POINTS_MAX)
    at = skipBlanks(body, at + 1)
  }
}

/** Reads a point, or only counts it after enough faults. Returns the position of what follows it, or a fault. */
function readElement (body: Buffer, at: number, reader: PointReader): number | DecodeFault {
  if (reader.isFull) {
    reader.points++
    return elementEnd(body, at)
  }
  const text = cutPoint(body, at, ELEMENT_BOUNDS, reader.ignoresUnknown, reader.schema)
  const cutEnd = text === null ? -1 : skipBlanks(body, endOfCut())
  const isCut = body[cutEnd] === COMMA || body[cutEnd] === BRACKET_CLOSE
  const end = isCut ? cutEnd : elementEnd(body, at)
  if (isCut) reader.parts += partsOfCut()
  if (reader.parts > BODY_PARTS_MAX) return tooMuch(reader.points, BODY_PARTS_MAX, 'fields and elements')
  const parsed = isCut && text !== null ? parse(text) : parseValue(body.subarray(at, end), POINT_BOUNDS, 1)
  // The points of an invalid text cannot be counted.
  if (parsed.fault !== null) return invalidJson(`${parsed.fault} (point ${reader.points})`, 0)
  reader.read(parsed.value)
  return end
}

/** Checks that the array is closed, and that nothing follows it. */
function endOfBatch (body: Buffer, at: number, reader: PointReader): DecodeFault | null {
  if (body[at] !== BRACKET_CLOSE) return invalidJson('is not valid JSON: the array of points is not closed', 0)
  if (skipBlanks(body, at + 1) === body.length) return reader.fault()
  return invalidJson('is not valid JSON: something follows the array of points', 0)
}

function refuseOther (body: Buffer): DecodeFault {
  const parsed = parseValue(body, POINT_BOUNDS)
  if (parsed.fault !== null) return invalidJson(parsed.fault, 0)
  const message = 'The body must be an array of points: send a single point to /telemetry.'
  return { code: 'invalid_point', message, points: 1 }
}

/** Reads one point per line, and parses each line separately. Skips blank lines. */
export function readLinesExactly (body: Buffer, reader: PointReader, readKnown = readNone): DecodeFault | null {
  let code: DecodeFault['code'] = 'invalid_point'
  let line = 1
  for (let at = skipLineBlanks(body, 0); at < body.length; at = skipLineBlanks(body, at)) {
    if (body[at] === NEWLINE) {
      line++
      if (line - reader.points > POINTS_MAX) return reader.fault(code) ?? tooManyPoints(reader.points)
      at++
      continue
    }
    const newline = body.indexOf(NEWLINE, at)
    const end = newline < 0 ? body.length : newline
    const first = at
    at = end
    if (reader.points === POINTS_MAX) return reader.fault(code) ?? tooManyPoints(POINTS_MAX)
    if (reader.isFull || endOfKnown(body, readKnown(first)) === end) {
      reader.points++
      continue
    }
    const fault = textFault(body.subarray(first, end))
    const parsed = fault === null ? parsePoint(body, first, end, reader) : { fault }
    if (reader.parts > BODY_PARTS_MAX) return tooMuch(reader.points, BODY_PARTS_MAX, 'fields and elements')
    if (parsed.fault === null) {
      reader.read(parsed.value)
    } else {
      code = 'invalid_json'
      reader.points++
      reader.refuse(`(line ${line}) ${parsed.fault}`)
    }
  }
  return reader.fault(code)
}

/** Position of the comma or bracket after a known point; negative if there is something else. */
function knownElementEnd (body: Buffer, known: number): number {
  if (known < 0) return known
  const end = skipBlanks(body, known)
  return body[end] === COMMA || body[end] === BRACKET_CLOSE ? end : -1
}

function endOfKnown (body: Buffer, known: number): number {
  return known < 0 ? known : skipLineBlanks(body, known)
}

function invalidJson (message: string, points: number): DecodeFault {
  return { code: 'invalid_json', message: `The body ${message}.`, points }
}

/** Parses a text after the checks that JSON.parse does not make. A fault is phrased to follow "the body". */
export function parseJsonText (bytes: Buffer, bounds: TextBounds): Parsed {
  const fault = textFault(bytes)
  return fault === null ? parseValue(bytes, bounds) : { fault }
}

/** Parses the only point in [start, end), which is UTF-8, and if possible only the fields that the reader needs. */
function parsePoint (body: Buffer, start: number, end: number, reader: PointReader): Parsed {
  const text = cutPoint(body, start, POINT_BOUNDS, reader.ignoresUnknown, reader.schema)
  if (text === null || endOfCut() > end || skipBlanks(body, endOfCut()) < end) {
    return parseValue(body.subarray(start, end), POINT_BOUNDS)
  }
  reader.parts += partsOfCut()
  return parse(text)
}

function textFault (bytes: Buffer): string | null {
  if (bytes.length === 0) return 'is empty'
  const hasMark = BYTE_ORDER_MARK.every((byte, at) => bytes[at] === byte)
  if (hasMark) return 'begins with a byte order mark: send UTF-8 without one'
  return isUtf8(bytes) ? null : 'is not valid UTF-8'
}

/** Parses UTF-8. @param levelsAbove arrays and objects around the value */
function parseValue (bytes: Buffer, bounds: TextBounds, levelsAbove = 0): Parsed {
  const fault = sizeFault(bytes, bounds, levelsAbove)
  return fault === null ? parse(bytes.toString('utf8')) : { fault }
}

function parse (text: string): Parsed {
  try {
    return { value: JSON.parse(text), fault: null }
  } catch (error) {
    return { fault: `is not valid JSON: ${(error as Error).message}` }
  }
}

/** Rejects what takes JSON.parse too long: over a second for two million brackets, 2.5 s for half a million keys. */
function sizeFault (bytes: Uint8Array, { partsMax, bytesMax }: TextBounds, levelsAbove: number): string | null {
  let levels = levelsAbove
  let parts = 0
  const end = Math.min(bytes.length, bytesMax)
  for (let at = 0; at < end; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = stringEnd(bytes, at)
    } else if (byte === BRACKET_OPEN || byte === BRACE_OPEN) {
      if (++levels > NESTING_LEVELS_MAX) return `has more than ${NESTING_LEVELS_MAX} levels of arrays and objects`
    } else if (byte === BRACKET_CLOSE || byte === BRACE_CLOSE) {
      levels--
    } else if (byte === COMMA && ++parts > partsMax) {
      return `has more than ${partsMax} fields and elements`
    }
  }
  return bytes.length > bytesMax ? `has more than ${bytesMax} bytes` : null
}

/** Position of the closing quote of the string at `start`; the end of the bytes if there is none. */
function stringEnd (bytes: Uint8Array, start: number): number {
  let at = start + 1
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}

/** Position of the comma or bracket after the array element at `start`; the end of the bytes if there is none. */
function elementEnd (bytes: Uint8Array, start: number): number {
  let levels = 0
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = stringEnd(bytes, at)
    } else if (byte === BRACKET_OPEN || byte === BRACE_OPEN) {
      levels++
    } else if (byte === BRACKET_CLOSE || byte === BRACE_CLOSE) {
      if (levels-- === 0) return at
    } else if (byte === COMMA && levels === 0) {
      return at
    }
  }
  return bytes.length
}

function skipBlanks (bytes: Uint8Array, start: number): number {
  let at = start
  while (isLineBlank(bytes[at]) || bytes[at] === NEWLINE) at++
  return at
}

/** Like skipBlanks, but within a line. */
function skipLineBlanks (bytes: Uint8Array, start: number): number {
  let at = start
  while (isLineBlank(bytes[at])) at++
  return at
}

function isLineBlank (byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d
}
