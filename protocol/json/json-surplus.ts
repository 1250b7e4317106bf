/**
 * Reduces the text of a point before JSON.parse: drops unknown fields, if they are ignored, and all but the last
 * occurrence of repeated ones. JSON.parse creates objects for everything it reads, and takes up to two microseconds for
 * a name it has not seen before; scanning the bytes takes some tens of nanoseconds. So a body of 700,000 names costs no
 * more than its size suggests.
 *
 * It never refuses anything: if a text is not valid JSON, or exceeds the limits of json-exact.ts, it gives up, and that
 * explains what is wrong. Readers take a position, and return the position after what they read, or GIVE_UP.
 */
import { FIELDS_MAX, NAME_BYTES_MAX, UNKNOWN_FIELD, type PointSchema } from '../schema.js'

const GIVE_UP = -1

const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
const BRACKET_OPEN = 0x5b
const BACKSLASH = 0x5c
const BRACKET_CLOSE = 0x5d
const LOWER_E = 0x65
const LOWER_F = 0x66
const LOWER_N = 0x6e
const LOWER_T = 0x74
const LOWER_U = 0x75
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d
const FIRST_PRINTABLE = 0x20
const FIRST_BEYOND_ASCII = 0x80

const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')
/** The characters that may follow a backslash, besides u. */
const ESCAPES = new Set(Buffer.from('"\\/bfnrt'))
/** By byte; -1: not a hexadecimal digit. */
const HEX_DIGITS = Int8Array.from({ length: 256 }, (_, byte) => (
  '0123456789abcdef'.indexOf(String.fromCharCode(byte).toLowerCase())
))

const unescaped = new Uint8Array(NAME_BYTES_MAX)
/** Position of the last value of each field; 0: absent. */
const starts = new Uint32Array(FIELDS_MAX)
const ends = new Uint32Array(FIELDS_MAX)

/** Limits of a point to be reduced. */
export interface CutBounds {
  /** Fields and elements, on all levels. */
  readonly partsMax: number
  readonly bytesMax: number
  /** Levels of arrays and objects, including the point. */
  readonly levelsMax: number
}

/** Position after the latest point. */
let endOfPoint = 0
let partsOfPoint = 0
/** What the limits still allow in the current point. */
let partsLeft = 0
let levelsLeft = 0
/** Where it must end at the latest. Nothing beyond is read, so that a text that is too long costs no more. */
let limit = 0

export const endOfCut = (): number => endOfPoint
/** Fields and elements of the latest point. */
export const partsOfCut = (): number => partsOfPoint

/**
 * The reduced text of the point at `start`, which ends at endOfCut(); null: it gave up.
 * @param bytes UTF-8
 * @param ignoresUnknown false: returns points with unknown fields unchanged
 */
export function cutPoint (
  bytes: Buffer, start: number, bounds: CutBounds, ignoresUnknown: boolean, schema: PointSchema
): string | null {
  starts.fill(0, 0, schema.fields.length)
  partsLeft = bounds.partsMax
  levelsLeft = bounds.levelsMax - 1
  limit = Math.min(bytes.length, start + bounds.bytesMax)
  let at = start
  if (bytes[at] !== BRACE_OPEN) return null
  let isWhole = true
  let hasUnknown = false
  do {
    const first = skipBlanks(bytes, at + 1)
    const nameEnd = stringEnd(bytes, first)
    const value = nameEnd === GIVE_UP ? GIVE_UP : afterColon(bytes, nameEnd)
    const end = value === GIVE_UP ? GIVE_UP : valueEnd(bytes, value)
    if (end === GIVE_UP || --partsLeft < 0) return null
    const field = fieldOf(bytes, first + 1, nameEnd - 1, schema)
    if (field === UNKNOWN_FIELD) {
      hasUnknown = true
    } else {
      if (starts[field] !== 0) isWhole = false
      starts[field] = value
      ends[field] = end
    }
    at = skipBlanks(bytes, end)
  } while (bytes[at] === COMMA)
  if (bytes[at] !== BRACE_CLOSE || at >= limit) return null
  endOfPoint = at + 1
  partsOfPoint = bounds.partsMax - partsLeft
  isWhole = hasUnknown ? !ignoresUnknown : isWhole
  return isWhole ? bytes.toString('utf8', start, endOfPoint) : knownFields(bytes, schema)
}

function knownFields (bytes: Buffer, { fields }: PointSchema): string {
  let text = ''
  for (const [field, name] of fields.entries()) {
    if (starts[field] === 0) continue
    text += `${text === '' ? '{' : ','}"${name}":${bytes.toString('utf8', starts[field], ends[field])}`
  }
  return text === '' ? '{}' : `${text}}`
}

/** The field named by the text between two quotes. */
function fieldOf (bytes: Uint8Array, start: number, end: number, schema: PointSchema): number {
  const field = schema.fieldAt(bytes, start, end - start)
  return field === UNKNOWN_FIELD ? escapedFieldOf(bytes, start, end, schema) : field
}

/** The same, for a name with escapes. */
function escapedFieldOf (bytes: Uint8Array, start: number, end: number, schema: PointSchema): number {
  let length = 0
  for (let at = start; at < end; at++) {
    let code = bytes[at] ?? 0
    if (code === BACKSLASH) {
      // No known name has any of the characters with a short escape.
      if (bytes[at + 1] !== LOWER_U) return UNKNOWN_FIELD
      code = 0
      for (let digit = at + 2; digit < at + 6; digit++) code = code * 16 + hexDigit(bytes, digit)
      at += 5
    }
    if (length === NAME_BYTES_MAX || code >= FIRST_BEYOND_ASCII) return UNKNOWN_FIELD
    unescaped[length++] = code
  }
  return schema.fieldAt(unescaped, 0, length)
}

function isAt (bytes: Uint8Array, start: number, wanted: Uint8Array): boolean {
  for (let at = 0; at < wanted.length; at++) {
    if (bytes[start + at] !== wanted[at]) return false
  }
  return true
}

function valueEnd (bytes: Uint8Array, at: number): number {
  switch (bytes[at]) {
    case QUOTE: return stringEnd(bytes, at)
    case BRACE_OPEN: return containerEnd(bytes, at, BRACE_CLOSE)
    case BRACKET_OPEN: return containerEnd(bytes, at, BRACKET_CLOSE)
    case LOWER_T: return isAt(bytes, at, TRUE) ? at + TRUE.length : GIVE_UP
    case LOWER_F: return isAt(bytes, at, FALSE) ? at + FALSE.length : GIVE_UP
    case LOWER_N: return isAt(bytes, at, NULL) ? at + NULL.length : GIVE_UP
    default: return numberEnd(bytes, at)
  }
}

/** End of an object or an array. */
function containerEnd (bytes: Uint8Array, start: number, close: number): number {
  if (levelsLeft === 0) return GIVE_UP
  levelsLeft--
  let at = skipBlanks(bytes, start + 1)
  while (bytes[at] !== close) {
    if (--partsLeft < 0) return GIVE_UP
    const nameEnd = close === BRACE_CLOSE ? stringEnd(bytes, at) : at
    const value = nameEnd === at || nameEnd === GIVE_UP ? nameEnd : afterColon(bytes, nameEnd)
    const end = value === GIVE_UP ? GIVE_UP : valueEnd(bytes, value)
    if (end === GIVE_UP) return GIVE_UP
    at = skipBlanks(bytes, end)
    if (bytes[at] === close) break
    // A comma must be followed by another element.
    if (bytes[at] !== COMMA) return GIVE_UP
    at = skipBlanks(bytes, at + 1)
    if (bytes[at] === close) return GIVE_UP
  }
  levelsLeft++
  return at + 1
}

/** Position of the value after a name. */
function afterColon (bytes: Uint8Array, nameEnd: number): number {
  const at = skipBlanks(bytes, nameEnd)
  return bytes[at] === COLON ? skipBlanks(bytes, at + 1) : GIVE_UP
}

function stringEnd (bytes: Uint8Array, start: number): number {
  if (bytes[start] !== QUOTE) return GIVE_UP
  for (let at = start + 1; at < limit; at++) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) return at + 1
    if (byte < FIRST_PRINTABLE) return GIVE_UP
    if (byte !== BACKSLASH) continue
    const escape = bytes[++at] ?? 0
    if (escape !== LOWER_U) {
      if (!ESCAPES.has(escape)) return GIVE_UP
      continue
    }
    for (let digit = 0; digit < 4; digit++) {
      if (hexDigit(bytes, ++at) < 0) return GIVE_UP
    }
  }
  return GIVE_UP
}

function numberEnd (bytes: Uint8Array, start: number): number {
  const first = bytes[start] === MINUS ? start + 1 : start
  let at = digitsEnd(bytes, first)
  if (at === first || (bytes[first] === ZERO && at > first + 1)) return GIVE_UP
  if (bytes[at] === DOT) {
    const fraction = at + 1
    at = digitsEnd(bytes, fraction)
    if (at === fraction) return GIVE_UP
  }
  if (((bytes[at] ?? 0) | 0x20) !== LOWER_E) return at
  const sign = bytes[at + 1]
  const exponent = sign === PLUS || sign === MINUS ? at + 2 : at + 1
  at = digitsEnd(bytes, exponent)
  return at === exponent ? GIVE_UP : at
}

function digitsEnd (bytes: Uint8Array, start: number): number {
  let at = start
  while (at < limit && isDigit(bytes[at] ?? 0)) at++
  return at
}

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= ZERO + 9

function hexDigit (bytes: Uint8Array, at: number): number {
  return HEX_DIGITS[bytes[at] ?? 0] ?? GIVE_UP
}

function skipBlanks (bytes: Uint8Array, start: number): number {
  let at = start
  for (let byte = bytes[at]; byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d; byte = bytes[at]) at++
  return at
}
