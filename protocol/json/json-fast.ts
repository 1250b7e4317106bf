/**
 * The fast path of JSON: from bytes to columns in one pass, without an object per point, and without strings except for
 * numbers with more digits than a double holds.
 *
 * It reads what almost all senders write: flat objects with known fields, each once and in any order, and strings
 * without escapes. At anything else, and at any fault, it gives up, and json-exact.ts decides. So it never explains
 * anything, and being too strict costs only time. What it accepts must have exactly the values of JSON.parse, which a
 * property test checks.
 */
import type { PointColumns } from '../columns.js'
import type { DecodeRules } from '../point.js'
import type { SatelliteTable } from '../satellites.js'
import type { PointSchema } from '../schema.js'
import { BLANKS_OF_JSON, BLANKS_OF_LINE, FastReader, TypedReader } from './fast-reader.js'

const readers = new WeakMap<PointSchema, FastReader>()

/** The reader of the schema, at the start of a body. */
function readerFor (
  body: Buffer, blanks: Uint8Array, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable,
  columns: PointColumns
): FastReader {
  let reader = readers.get(columns.schema)
  if (reader === undefined) {
    const Reader = columns.schema.takesAnyFloat ? FastReader : TypedReader
    reader = new Reader(columns.schema, satellites, columns)
    readers.set(columns.schema, reader)
  }
  reader.begin(body, blanks, nowMicros, rules, satellites, columns)
  return reader
}

/** `unsure`: something that only the exact path supports; the columns have some of the points. */
export type FastResult = 'done' | 'unsure' | 'too_many'

/** Parameters as for the decoders of json.ts. */
export type FastRead = (
  body: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
) => FastResult

function resultOf (reader: FastReader, done: boolean): FastResult {
  if (done) return 'done'
  return reader.hasTooMany ? 'too_many' : 'unsure'
}

/** A ReadKnown for the exact path. Until it is done, no other body may be read. */
export function fastPoints (
  ...[body, nowMicros, rules, satellites, columns]: Parameters<FastRead>
): (at: number) => number {
  // Started on demand, since that copies the body.
  let reader: FastReader | null = null
  return (at) => {
    reader ??= readerFor(body, BLANKS_OF_JSON, nowMicros, rules, satellites, columns)
    return reader.readPoint(at)
  }
}

/** One object. */
export const readPointFast: FastRead = (body, nowMicros, rules, satellites, columns) => {
  const reader = readerFor(body, BLANKS_OF_JSON, nowMicros, rules, satellites, columns)
  return resultOf(reader, reader.readSingle())
}

/** An array of objects. */
export const readBatchFast: FastRead = (body, nowMicros, rules, satellites, columns) => {
  const reader = readerFor(body, BLANKS_OF_JSON, nowMicros, rules, satellites, columns)
  return resultOf(reader, reader.readArray())
}

/** One object per line. */
export const readLinesFast: FastRead = (body, nowMicros, rules, satellites, columns) => {
  const reader = readerFor(body, BLANKS_OF_LINE, nowMicros, rules, satellites, columns)
  return resultOf(reader, reader.readLines())
}
