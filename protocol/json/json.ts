/**
 * JSON and NDJSON from bytes to columns.
 *
 * A body is accepted as a whole or not at all. This table defines what senders may write:
 *
 *   what                               | decision
 *   -----------------------------------|---------------------------------------------------------------------------
 *   body of one point                  | an object; an array is refused with a hint at /telemetry/batch
 *   body of a batch                    | an array of objects, possibly empty; an object is refused
 *   NDJSON                             | one object per line, terminated by LF or CRLF, optionally on the last line;
 *                                      | blank lines are ignored; may have no points
 *   white space                        | any that JSON allows, anywhere
 *   order of fields                    | any
 *   repeated field                     | the last one counts, as in JSON.parse
 *   unknown fields, also __proto__     | refused with a list of the known ones, or skipped (UNKNOWN_FIELDS=ignore)
 *   satellite_id                       | string of 1 to 64 Unicode characters; refused: control characters (NUL, C0,
 *                                      | DEL, C1), lone surrogates (also \ud800), white space at either end
 *   metrics                            | finite number, null or absent, at least one a number; -0 is a number
 *   numbers as strings                 | refused
 *   1e999                              | refused: out of range (1e-999 is 0, as in JSON.parse)
 *   NaN, Infinity, comments, trailing  | refused: not JSON
 *   commas, single quotes              |
 *   time or timestamp                  | two names for one field; refused together, unless one is null
 *   null or absent time                | time of receipt
 *   time as text                       | YYYY-MM-DDThh:mm[:ss[.fraction]] with Z or ±hh:mm, also t and z; refused:
 *                                      | no zone, ±hhmm, a comma, a space for T, 24:00, a second 60
 *   time as number                     | epoch milliseconds
 *   fractions of a microsecond         | truncated, in text and numbers
 *   time outside the window            | refused (TIME_WINDOW_PAST, TIME_WINDOW_FUTURE; inclusive)
 *   nesting                            | at most 16 levels, checked before the text is parsed
 *   size                               | at most POINTS_MAX points a body, and PARTS_MAX fields and elements a point
 *   bytes that are not UTF-8           | refused, never replaced
 *   byte order mark                    | refused
 *
 * Two paths implement it. json-fast.ts reads what almost all senders write directly from the bytes, without an object
 * per point. At the first byte that it does not support it gives up, and json-exact.ts reads the whole body again, and
 * explains what is wrong with it.
 *
 * All functions use `body` only during the call. They clear `columns` first; these have all points of the body after
 * null, and none after a fault. To keep the points' satellites, call satellites.keep() before the next body.
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

/** Newline-delimited JSON: one point per line. Faults have the index of the point, and the number of a bad line. */
export const decodeNdjson: Decoder = decoder(readLinesFast, readLinesExactly)
