/**
 * The exact path of JSON: JSON.parse, then PointReader. Slower than json-fast.ts, knows the whole language, and says
 * what is wrong. The decisions that it holds stand at the head of json.ts.
 *
 * Points are parsed one by one, and no more of them once ten faults were found: a body of faults costs no more than one
 * of points. What is left is scanned, to be counted.
 */
import { isUtf8 } from 'node:buffer'
import { POINTS_MAX } from '../columns.js'
import { tooManyPoints, tooMuch, type DecodeFault } from '../faults.js'
import { cutPoint, endOfCut, partsOfCut, type CutBounds } from './json-surplus.js'
import type { PointReader } from '../point.js'

/** Levels of arrays and objects, the outermost included. */
export const NESTING_LEVELS_MAX = 16
/** Fields and elements of one point, those within them included: JSON.parse takes a microsecond and more for each. */
export const PARTS_MAX = 1_000
/** Fields and elements of all points of a body that the fast path does not read, each of which takes a third of a microsecond: 15 of each point, where there are the most. */
export const BODY_PARTS_MAX = 150_000
/** Text of one point, when it is not read by the fast path. */
const POINT_TEXT_BYTES_MAX = 64 * 1024

/** What a text may hold; JSON.parse sees none that holds more. */
export interface TextBounds {
  /** Fields and elements, on all levels. */
  readonly partsMax: number
  readonly bytesMax: number
}

const POINT_BOUNDS: CutBounds = { partsMax: PARTS_MAX, bytesMax: POINT_TEXT_BYTES_MAX, levelsMax: NESTING_LEVELS_MAX }
/** Of a point in an array. */
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

/** A parsed text, or what is wrong with it. */
type Parsed = { readonly value: unknown, readonly fault: null } | { readonly fault: string }

/** One object. Any fault counts as one point, except for an array, whose points are counted. */
export function readPointExactly (body: Buffer, reader: PointReader): DecodeFault | null {
  const unreadable = textFault(body)
  if (unreadable !== null) return invalidJson(unreadable, 1)
  const parsed = parsePoint(body, skipBlanks(body, 0), body.length, reader)
  if (parsed.fault !== null) return invalidJson(parsed.fault, 1)
  if (Array.isArray(parsed.value)) {
    const message = 'The body is an array: send arrays to /telemetry/batch, or one point as an object here.'
    return { code: 'invalid_point', message, points: parsed.value.length }
  }
  reader.read(parsed.value)
  return reader.fault()
}

/** Takes the point at a position if the fast path can, and gives the position behind it; below 0 if it cannot. */
export type ReadKnown = (at: number) => number

/** Without the fast path. */
const readNone: ReadKnown = () => -1

/** An array of objects; an empty one is no fault. */
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

/** Reads a point, or only counts it when there are faults enough. Gives the position of the comma or bracket behind it, or what is wrong. */
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
  // Points of a text that does not parse cannot be counted.
  if (parsed.fault !== null) return invalidJson(`${parsed.fault} (point ${reader.points})`, 0)
  reader.read(parsed.value)
  return end
}

/** Sees to the bracket that closes a batch, and that nothing follows. */
function endOfBatch (body: Buffer, at: number, reader: PointReader): DecodeFault | null {
  if (body[at] !== BRACKET_CLOSE) return invalidJson('is not valid JSON: the array of points is not closed', 0)
  if (skipBlanks(body, at + 1) !== body.length) return invalidJson('is not valid JSON: something follows the array of points', 0)
  return reader.fault()
}

function refuseOther (body: Buffer): DecodeFault {
  const parsed = parseValue(body, POINT_BOUNDS)
  if (parsed.fault !== null) return invalidJson(parsed.fault, 0)
  const message = 'The body must be an array of points: send one point to /telemetry, or put it into an array here.'
  return { code: 'invalid_point', message, points: 1 }
}

/** A point a line. Lines that are blank are no points; each line is parsed by itself. */
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

/** Where the comma or bracket behind a known point stands; below 0: something else does. */
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

/** Parses one text after the checks that JSON.parse does not make. A fault reads behind "the body". */
export function parseJsonText (bytes: Buffer, bounds: TextBounds): Parsed {
  const fault = textFault(bytes)
  return fault === null ? parseValue(bytes, bounds) : { fault }
}

/** The point that stands alone, with white space, in [start, end), which is UTF-8: only what the reader looks at. */
function parsePoint (body: Buffer, start: number, end: number, reader: PointReader): Parsed {
  const text = cutPoint(body, start, POINT_BOUNDS, reader.ignoresUnknown, reader.schema)
  if (text === null || endOfCut() > end || skipBlanks(body, endOfCut()) < end) return parseValue(body.subarray(start, end), POINT_BOUNDS)
  reader.parts += partsOfCut()
  return parse(text)
}

function textFault (bytes: Buffer): string | null {
  if (bytes.length === 0) return 'is empty'
  if (BYTE_ORDER_MARK.every((byte, at) => bytes[at] === byte)) return 'begins with a byte order mark: send UTF-8 without one'
  return isUtf8(bytes) ? null : 'is not valid UTF-8'
}

/** Of bytes that are UTF-8. @param levelsAbove arrays and objects that the value stands in */
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

/** What JSON.parse would take too long for: two million brackets over a second, half a million keys two and a half. */
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

/** Where the string that begins at `start` has its closing quote; the end of the bytes without one. */
function stringEnd (bytes: Uint8Array, start: number): number {
  let at = start + 1
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}

/** Where the element of an array that begins at `start` ends: at the comma or bracket behind it, or the end of the bytes. */
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

/** As skipBlanks, within a line. */
function skipLineBlanks (bytes: Uint8Array, start: number): number {
  let at = start
  while (isLineBlank(bytes[at])) at++
  return at
}

function isLineBlank (byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d
}
