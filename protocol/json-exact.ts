/**
 * The exact path of JSON: JSON.parse, then PointReader. Slower than json-fast.ts, knows the whole language, and says
 * what is wrong. The decisions that it holds stand at the head of json.ts.
 */
import { isUtf8 } from 'node:buffer'
import type { DecodeFault } from './faults.js'
import type { PointReader } from './point.js'

/** Levels of arrays and objects, the outermost included. */
export const NESTING_LEVELS_MAX = 16

const NEWLINE = 0x0a
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
  const parsed = parseJsonText(body)
  if (parsed.fault !== null) return invalidJson(parsed.fault, 1)
  if (Array.isArray(parsed.value)) {
    const message = 'The body is an array: send arrays to /telemetry/batch, or one point as an object here.'
    return { code: 'invalid_point', message, points: parsed.value.length }
  }
  reader.read(parsed.value)
  return reader.fault()
}

/** An array of objects; an empty one is no fault. */
export function readBatchExactly (body: Buffer, reader: PointReader): DecodeFault | null {
  const parsed = parseJsonText(body)
  // Points of a text that does not parse cannot be counted.
  if (parsed.fault !== null) return invalidJson(parsed.fault, 0)
  if (!Array.isArray(parsed.value)) {
    const message = 'The body must be an array of points: send one point to /telemetry, or put it into an array here.'
    return { code: 'invalid_point', message, points: 1 }
  }
  for (const value of parsed.value as unknown[]) {
    if (reader.isFull) break
    reader.read(value)
  }
  reader.points = parsed.value.length
  return reader.fault()
}

/** A point a line. Lines that are blank are no points; each line is parsed by itself. */
export function readLinesExactly (body: Buffer, reader: PointReader): DecodeFault | null {
  let code: DecodeFault['code'] = 'invalid_point'
  for (let start = 0, line = 1; start < body.length; line++) {
    const newline = body.indexOf(NEWLINE, start)
    const end = newline < 0 ? body.length : newline
    const bytes = body.subarray(start, end)
    start = end + 1
    if (isBlank(bytes)) continue
    if (reader.isFull) {
      reader.points++
      continue
    }
    const parsed = parseJsonText(bytes)
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

function invalidJson (message: string, points: number): DecodeFault {
  return { code: 'invalid_json', message: `The body ${message}.`, points }
}

/** Parses one text after the checks that JSON.parse does not make. A fault reads behind "the body". */
export function parseJsonText (bytes: Buffer): Parsed {
  if (bytes.length === 0) return { fault: 'is empty' }
  if (BYTE_ORDER_MARK.every((byte, at) => bytes[at] === byte)) {
    return { fault: 'begins with a byte order mark: send UTF-8 without one' }
  }
  if (!isUtf8(bytes)) return { fault: 'is not valid UTF-8' }
  // Before JSON.parse: it takes over a second for two million brackets.
  if (nestsTooDeep(bytes)) return { fault: `has more than ${NESTING_LEVELS_MAX} levels of arrays and objects` }
  try {
    return { value: JSON.parse(bytes.toString('utf8')), fault: null }
  } catch (error) {
    return { fault: `is not valid JSON: ${(error as Error).message}` }
  }
}

/** Whether brackets outside of strings open more than NESTING_LEVELS_MAX levels. Stops at the first that does. */
function nestsTooDeep (bytes: Uint8Array): boolean {
  let levels = 0
  let inString = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (inString) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) {
      inString = true
    } else if (byte === BRACKET_OPEN || byte === BRACE_OPEN) {
      if (++levels > NESTING_LEVELS_MAX) return true
    } else if (byte === BRACKET_CLOSE || byte === BRACE_CLOSE) {
      levels--
    }
  }
  return false
}

/** Only white space of JSON. */
function isBlank (bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}
