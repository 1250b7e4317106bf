/**
 * Reads the points of a body from bytes to columns; see json-fast.ts.
 *
 * Methods take a position, and return the position after what they read, or GIVE_UP. Values are written to fields and
 * scratch arrays, because returning a double would allocate it on the heap.
 */
import { POINTS_MAX, type PointColumns } from '../columns.js'
import type { DecodeRules } from '../point.js'
import type { Satellite, SatelliteTable } from '../satellites.js'
import { FIRST_METRIC, NAME_BYTES_MAX, SATELLITE_ID, TIME, TIMESTAMP, type PointSchema } from '../schema.js'
import { microsOfMillis, readIsoTime } from '../time.js'
import type { ValueType } from '../value-types.js'

const GIVE_UP = -1

const NEWLINE = 0x0a
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
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d
const FIRST_PRINTABLE = 0x20
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')

/** `seenIn` starts over after this many points. */
const POINT_NUMBERS_END = 2 ** 30

/** More digits than any language prints; longer numbers are left to the exact path, which limits them. */
export const NUMBER_BYTES_MAX = 1_100
/** Powers of ten up to this one are exact as doubles. */
const EXACT_POWER_MAX = 22
const POWERS_OF_TEN = Float64Array.from({ length: EXACT_POWER_MAX + 1 }, (_, power) => Number(`1e${power}`))
/** Integers below this are exact; a mantissa below it was never rounded while it was read. */
const EXACT_MANTISSA_END = 2 ** 53

/** 1 for white space. In NDJSON, a newline ends the point. */
export const BLANKS_OF_JSON = blanks(' \t\r\n')
export const BLANKS_OF_LINE = blanks(' \t\r')

function blanks (characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of Buffer.from(characters)) table[byte] = 1
  return table
}

/**
 * The body, followed by zero bytes, so that readers need not check for its end: no byte of a point is zero. Reading
 * past the end of the original body would be correct too, but once V8 has seen that, the loops permanently run at half
 * their speed, and any truncated body would cause it. The copy costs about a twentieth. As large as the largest body so
 * far.
 */
let padded = Buffer.alloc(65_536)
/** More than any reader looks ahead without checking a byte. */
const PADDING_BYTES = 64

function pad (body: Buffer): Buffer {
  const bytesMin = body.length + PADDING_BYTES
  if (bytesMin > padded.length) padded = Buffer.alloc(2 ** Math.ceil(Math.log2(bytesMin)))
  body.copy(padded)
  padded.fill(0, body.length, body.length + PADDING_BYTES)
  return padded
}

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= ZERO + 9

/** Reads bodies of one schema whose metrics take any float. */
export class FastReader {
  /** It gave up because there are more than POINTS_MAX points. */
  hasTooMany = false
  private satellite: Satellite | null = null
  /** Whether the current point has a metric that is not null. */
  private hasMetric = false
  /** Where its metrics start in the values of the columns. */
  protected first = 0
  /** Its number, compared with seenIn: the last point that had each field. */
  private point = 0
  private readonly seenIn: Int32Array
  /**
   * The field that followed each field last time: a guess to try first, as senders keep the order of their fields. The
   * last entry is for the start of an object.
   */
  private readonly successors: Uint16Array
  protected bytes: Buffer = padded
  private length = 0
  private blanks: Uint8Array = BLANKS_OF_JSON
  private nowMicros = 0
  private oldestMicros = 0
  private newestMicros = 0

  constructor (
    protected readonly schema: PointSchema, private satellites: SatelliteTable, protected columns: PointColumns
  ) {
    const { length } = schema.fields
    this.seenIn = new Int32Array(length)
    this.successors = Uint16Array.from({ length: length + 1 }, (_, field) => (
      field === length ? 0 : (field + 1) % length
    ))
  }

  begin (
    body: Buffer, blanks: Uint8Array, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable,
    columns: PointColumns
  ): void {
    this.hasTooMany = false
    this.satellites = satellites
    this.columns = columns
    this.bytes = pad(body)
    this.length = body.length
    this.blanks = blanks
    this.nowMicros = nowMicros
    this.oldestMicros = nowMicros - rules.timeWindowPastMs * 1000
    this.newestMicros = nowMicros + rules.timeWindowFutureMs * 1000
  }

  /** Whether the body is one object. */
  readSingle (): boolean {
    const after = this.readPoint(this.skip(0))
    return after !== GIVE_UP && this.skip(after) === this.length
  }

  /** Whether the body is an array of objects. */
  readArray (): boolean {
    let at = this.skip(0)
    if (this.bytes[at] !== BRACKET_OPEN) return false
    at = this.skip(at + 1)
    if (this.bytes[at] === BRACKET_CLOSE) return this.skip(at + 1) === this.length
    for (;;) {
      at = this.readPoint(at)
      if (at === GIVE_UP) return false
      at = this.skip(at)
      const byte = this.bytes[at]
      if (byte === BRACKET_CLOSE) return this.skip(at + 1) === this.length
      if (byte !== COMMA) return false
      at = this.skip(at + 1)
    }
  }

  /** Whether the body is one object per line. */
  readLines (): boolean {
    let blankLines = 0
    for (let at = this.skip(0); at < this.length; at = this.skip(at)) {
      if (this.bytes[at] !== NEWLINE) {
        at = this.readPoint(at)
        if (at === GIVE_UP) return false
        at = this.skip(at)
        if (at < this.length && this.bytes[at] !== NEWLINE) return false
      } else if (++blankLines > POINTS_MAX) {
        return false
      }
      at++
    }
    return true
  }

  private skip (position: number): number {
    let at = position
    while (this.blanks[this.bytes[at] ?? 0] === 1) at++
    return at
  }

  /** Reads the object at `position` into the columns, if it is a valid point. */
  readPoint (position: number): number {
    const bytes = this.bytes
    if (bytes[position] !== BRACE_OPEN) return GIVE_UP
    const { schema, columns, successors, seenIn } = this
    const { firstAlias } = schema
    const point = this.nextPoint()
    let at = position
    let previous = seenIn.length
    this.satellite = null
    this.hasMetric = false
    this.first = columns.begin()
    do {
      at = this.skip(at + 1)
      if (bytes[at] !== QUOTE) return GIVE_UP
      let field = successors[previous] as number
      let nameEnd = at + 1 + schema.nameLength(field)
      if (bytes[nameEnd] !== QUOTE || !schema.isFieldAt(field, bytes, at + 1)) {
        nameEnd = this.nameEnd(at + 1)
        field = schema.fieldAt(bytes, at + 1, nameEnd - at - 1)
        if (field < 0) return GIVE_UP
        successors[previous] = field
      }
      previous = field
      if (field >= firstAlias) field = schema.target(field)
      if (seenIn[field] === point) return GIVE_UP
      seenIn[field] = point
      at = this.skip(nameEnd + 1)
      if (bytes[at] !== COLON) return GIVE_UP
      at = this.readValue(field, this.skip(at + 1))
      if (at === GIVE_UP) return GIVE_UP
      at = this.skip(at)
    } while (bytes[at] === COMMA)
    if (bytes[at] !== BRACE_CLOSE || (seenIn[TIME] === point && seenIn[TIMESTAMP] === point)) return GIVE_UP
    return this.hold() ? at + 1 : GIVE_UP
  }

  private nextPoint (): number {
    if (++this.point === POINT_NUMBERS_END) {
      this.point = 1
      this.seenIn.fill(0)
    }
    return this.point
  }

  private hold (): boolean {
    if (this.satellite === null || !this.hasMetric) return false
    const { columns } = this
    if (columns.count === POINTS_MAX) {
      this.hasTooMany = true
      return false
    }
    const times = columns.timesMicros
    const timeMicros = times[columns.count] as number
    if (Number.isNaN(timeMicros)) times[columns.count] = this.nowMicros
    else if (!(timeMicros >= this.oldestMicros && timeMicros <= this.newestMicros)) return false
    columns.hold(this.satellite)
    return true
  }

  /** Position of the quote after the name at `position`; any later one if it is longer than a name. */
  protected nameEnd (position: number): number {
    const bytes = this.bytes
    const limit = position + NAME_BYTES_MAX + 1
    let at = position
    while (bytes[at] !== QUOTE && at < limit) at++
    return at
  }

  private readValue (field: number, position: number): number {
    const byte = this.bytes[position]
    if (field === SATELLITE_ID) return byte === QUOTE ? this.readSatellite(position + 1) : GIVE_UP
    if (byte === LOWER_N) return this.readNull(position)
    if (field < FIRST_METRIC) return this.readTime(position)
    this.hasMetric = true
    return this.readMetric(field - FIRST_METRIC, position)
  }

  protected readMetric (metric: number, position: number): number {
    return this.readNumber(position, this.columns.values, this.first + metric)
  }

  private readNull (position: number): number {
    const bytes = this.bytes
    const isNull = bytes[position + 1] === 0x75 && bytes[position + 2] === 0x6c && bytes[position + 3] === 0x6c
    return isNull ? position + 4 : GIVE_UP
  }

  private readSatellite (start: number): number {
    const bytes = this.bytes
    let end = start
    let byte = bytes[end] ?? 0
    while (byte !== QUOTE) {
      if (byte < FIRST_PRINTABLE || byte === BACKSLASH) return GIVE_UP
      byte = bytes[++end] ?? 0
    }
    this.satellite = this.satellites.byBytes(bytes, start, end)
    return this.satellite === null ? GIVE_UP : end + 1
  }

  private readTime (position: number): number {
    const { timesMicros, count } = this.columns
    if (this.bytes[position] === QUOTE) {
      const after = readIsoTime(this.bytes, position + 1, timesMicros, count)
      return after !== GIVE_UP && this.bytes[after] === QUOTE ? after + 1 : GIVE_UP
    }
    const after = this.readNumber(position, timesMicros, count)
    timesMicros[count] = microsOfMillis(timesMicros[count] as number)
    return after
  }

  /**
   * Reads the number at `position` into numbers[slot]. If mantissa and power of ten are exact as doubles, a single
   * operation rounds only once, like JSON.parse.
   */
  private readNumber (position: number, numbers: Float64Array, slot: number): number {
    const bytes = this.bytes
    const isNegative = bytes[position] === MINUS
    let at = isNegative ? position + 1 : position
    // A number that continues beyond it is not followed by anything that may follow a value.
    const limit = position + NUMBER_BYTES_MAX
    let byte = bytes[at] ?? 0
    if (!isDigit(byte)) return GIVE_UP
    let mantissa = byte - ZERO
    byte = bytes[++at] ?? 0
    if (mantissa === 0 && isDigit(byte)) return GIVE_UP
    while (isDigit(byte) && at < limit) {
      mantissa = mantissa * 10 + (byte - ZERO)
      byte = bytes[++at] ?? 0
    }
    let power = 0
    if (byte === DOT) {
      const first = ++at
      byte = bytes[at] ?? 0
      while (isDigit(byte) && at < limit) {
        mantissa = mantissa * 10 + (byte - ZERO)
        byte = bytes[++at] ?? 0
      }
      if (at === first) return GIVE_UP
      power = first - at
    }
    if ((byte | 0x20) === LOWER_E) {
      const sign = bytes[at + 1] ?? 0
      const first = sign === MINUS || sign === PLUS ? at + 2 : at + 1
      let exponent = 0
      for (at = first; isDigit(bytes[at] ?? 0) && at < limit; at++) exponent = exponent * 10 + (bytes[at] ?? 0) - ZERO
      if (at === first) return GIVE_UP
      power += sign === MINUS ? -exponent : exponent
    }
    if (mantissa >= EXACT_MANTISSA_END || power > EXACT_POWER_MAX || power < -EXACT_POWER_MAX) {
      return this.readLongNumber(position, at, numbers, slot)
    }
    const size = power < 0 ? mantissa / (POWERS_OF_TEN[-power] ?? NaN) : mantissa * (POWERS_OF_TEN[power] ?? NaN)
    numbers[slot] = isNegative ? -size : size
    return at
  }

  /** A valid number with more digits than a double holds, as languages print results like 0.30000000000000004. */
  private readLongNumber (start: number, end: number, numbers: Float64Array, slot: number): number {
    if (end - start > NUMBER_BYTES_MAX) return GIVE_UP
    const value = Number(this.bytes.toString('latin1', start, end))
    numbers[slot] = value
    return Number.isFinite(value) ? end : GIVE_UP
  }
}

/** Reads bodies of a schema whose metrics do not all take any float; see ValueType. */
export class TypedReader extends FastReader {
  protected override readMetric (metric: number, position: number): number {
    const { bytes, columns: { values } } = this
    const type = this.schema.types[metric] as ValueType
    const slot = this.first + metric
    const byte = bytes[position]
    let after: number
    if (byte === QUOTE) {
      const end = this.nameEnd(position + 1)
      values[slot] = type.ofText(bytes, position + 1, end)
      after = end + 1
    } else if (byte === LOWER_T || byte === LOWER_F) {
      const word = byte === LOWER_T ? TRUE : FALSE
      if (!word.every((letter, at) => bytes[position + at] === letter)) return GIVE_UP
      values[slot] = type.ofBoolean(byte === LOWER_T)
      after = position + word.length
    } else {
      after = super.readMetric(metric, position)
      if (after === GIVE_UP) return GIVE_UP
      values[slot] = type.accept(values[slot] as number)
    }
    return Number.isNaN(values[slot]) ? GIVE_UP : after
  }
}
