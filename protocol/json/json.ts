/**
 * JSON and NDJSON from bytes to columns.
 *
 * A body is taken whole or not at all, and what a sender may write is decided here, once:
 *
 *   what                               | decision
 *   -----------------------------------|---------------------------------------------------------------------------
 *   body of one point                  | an object; an array is refused and told to go to /telemetry/batch
 *   body of a batch                    | an array of objects, also an empty one; an object is refused
 *   NDJSON                             | an object a line, ended by LF or CRLF; blank lines do not count; no end of
 *                                      | line is needed after the last; no points at all is fine
 *   white space                        | any that JSON allows, anywhere
 *   order of fields                    | any
 *   the same field twice               | the last one counts, as in JSON.parse
 *   unknown fields, also __proto__     | refused with a list of the known ones, or skipped (UNKNOWN_FIELDS=ignore)
 *   satellite_id                       | string of 1 to 64 Unicode characters; refused: control characters (NUL, C0,
 *                                      | DEL, C1), lone surrogates (also written \ud800), white space at either end
 *   metrics                            | finite number or null or absent, at least one a number; -0 is a number
 *   numbers as strings                 | refused
 *   1e999                              | refused: beyond the range of numbers (1e-999 is 0, as in JSON.parse)
 *   NaN, Infinity, comments, trailing  | refused: not JSON
 *   commas, single quotes              |
 *   time or timestamp                  | two names for one field; both refused, unless one is null
 *   null or absent time                | time of receipt
 *   time as text                       | YYYY-MM-DDThh:mm[:ss[.fraction]] with Z or ±hh:mm, t and z too; refused:
 *                                      | without zone, ±hhmm, a comma, a space for T, 24:00, a second 60
 *   time as number                     | epoch milliseconds
 *   finer than a microsecond           | cut off, of a text as of a number
 *   time outside the window            | refused (TIME_WINDOW_PAST, TIME_WINDOW_FUTURE; both bounds are inside)
 *   nesting                            | at most 16 levels, told before the text is parsed
 *   size                               | at most POINTS_MAX points a body and PARTS_MAX fields and elements a point
 *   bytes that are not UTF-8           | refused, nothing is replaced
 *   byte order mark                    | refused
 *
 * Two paths decide alike. json-fast.ts reads what almost all senders write from the bytes, without an object per point;
 * at the first byte that it does not know it gives up, and json-exact.ts reads the whole body again and finds the words
 * for a refusal.
 *
 * All functions: `body` is used only during the call; `columns` are cleared first, hold all points of the body
 * after null, and none after a fault. Whoever takes the points calls keep() of `satellites` before the next body.
 * `nowMicros` is the time of receipt in whole µs since 1970-01-01 UTC.
 */
import type { PointColumns } from '../columns.js'
import { tooManyPoints, type DecodeFault } from '../faults.js'
import { readBatchExactly, readLinesExactly, readPointExactly, type ReadKnown } from './json-exact.js'
import { fastPoints, readBatchFast, readLinesFast, readPointFast, type FastRead } from './json-fast.js'
import { PointReader, type DecodeRules } from '../point.js'
import type { SatelliteTable } from '../satellites.js'

type Decoder = (
  body: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
) => DecodeFault | null

type ReadExactly = (body: Buffer, reader: PointReader, readKnown: ReadKnown) => DecodeFault | null

function decoder (readFast: FastRead, readExactly: ReadExactly): Decoder {
  return (body, nowMicros, rules, satellites, columns) => {
    columns.clear()
    satellites.begin()
    const result = readFast(body, nowMicros, rules, satellites, columns)
    if (result === 'done') return null
    const { count } = columns
    columns.clear()
    if (result === 'too_many') return tooManyPoints(count)
    const reader = new PointReader(nowMicros, rules, satellites, columns)
    const fault = readExactly(body, reader, fastPoints(body, nowMicros, rules, satellites, columns))
    if (fault !== null) columns.clear()
    return fault
  }
}

/** One point: an object. */
export const decodeJsonPoint: Decoder = decoder(readPointFast, readPointExactly)

/** An array of points. */
export const decodeJsonBatch: Decoder = decoder(readBatchFast, readBatchExactly)

/** Newline-delimited JSON: a point a line. Faults carry the point's position; where a line does not parse they name it. */
export const decodeNdjson: Decoder = decoder(readLinesFast, readLinesExactly)
