/**
 * Rows of a frame: [satellite_id, time, metric …].
 *
 * Two functions with the same rules: readRow is the hot path, from bytes into columns, and answers only yes or no;
 * explainRow explains a no.
 */
import type { PointColumns } from '../columns.js'
import { NOT_A_NUMBER, type MsgpackReader } from './msgpack-reader.js'
import { noMetricMessage, isInTimeWindow, timeWindowMessage, type DecodeRules, type PointReader } from '../point.js'
import { SATELLITE_ID_RULE, type SatelliteTable } from '../satellites.js'
import { listNames } from '../names.js'
import type { PointSchema } from '../schema.js'
import type { ValueType } from '../value-types.js'

/** Satellite and time, before the metrics. */
const HEAD_ELEMENTS = 2
/** With at least one metric. */
const ROW_ELEMENTS_MIN = HEAD_ELEMENTS + 1

const TIME_RULE = 'must be whole microseconds since 1970-01-01 UTC (int, or float 64 with an integer value) or nil'

/**
 * Reads one row into columns. False, at an undefined position, if it is invalid or truncated: then the whole packet is
 * refused, and whatever is left in the columns does not matter.
 */
export function readRow (
  reader: MsgpackReader, nowMicros: number, oldestMicros: number, newestMicros: number,
  satellites: SatelliteTable, columns: PointColumns
): boolean {
  const elements = reader.readArrayLength()
  if (elements < ROW_ELEMENTS_MIN || elements > HEAD_ELEMENTS + columns.schema.metricCount) return false
  const length = reader.readTextLength()
  if (length < 0) return false
  const satellite = satellites.byBytes(reader.bytes, reader.at, reader.at + length)
  if (satellite === null) return false
  reader.at += length
  const timeMicros = reader.takeNil() ? nowMicros : reader.readWhole()
  // NOT_A_NUMBER is outside every window.
  if (timeMicros < oldestMicros || timeMicros > newestMicros) return false
  const { schema } = columns
  const first = columns.push(satellite, timeMicros) * schema.metricCount
  if (!schema.takesAnyFloat) return readTyped(reader, elements - HEAD_ELEMENTS, first, columns)
  const { values } = columns
  let hasMetric = false
  for (let metric = 0; metric < elements - HEAD_ELEMENTS; metric++) {
    if (reader.takeNil()) continue
    const value = reader.readNumber()
    if (value === NOT_A_NUMBER) return false
    values[first + metric] = value
    hasMetric = true
  }
  return hasMetric
}

/** The metrics of a row, of any types. */
function readTyped (reader: MsgpackReader, count: number, first: number, columns: PointColumns): boolean {
  const { schema: { types }, values } = columns
  let hasMetric = false
  for (let metric = 0; metric < count; metric++) {
    if (reader.takeNil()) continue
    const value = readValue(reader, types[metric] as ValueType)
    if (Number.isNaN(value)) return false
    values[first + metric] = value
    hasMetric = true
  }
  return hasMetric
}

/** A value of the type; NaN: it is of another. */
function readValue (reader: MsgpackReader, type: ValueType): number {
  const kind = type.name === 'bool' || type.name === 'state' ? reader.peek() : 'number'
  if (kind === 'boolean') return type.ofBoolean(reader.readBoolean())
  if (kind === 'text') {
    const length = reader.readTextLength()
    if (length < 0) return NaN
    const start = reader.at
    reader.at += length
    return type.ofText(reader.bytes, start, reader.at)
  }
  const number = reader.readNumber()
  return number === NOT_A_NUMBER ? NaN : type.accept(number)
}

/** Tells `faults` what is wrong with the row at the cursor, which is complete, and which readRow refused. */
export function explainRow (
  reader: MsgpackReader, faults: PointReader, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable
): void {
  const elements = reader.readArrayLength()
  const { schema } = faults
  if (elements < 0) {
    faults.refuse(rowRule(schema))
  } else if (elements > HEAD_ELEMENTS + schema.metricCount) {
    faults.refuse(`${rowRule(schema)}, but has ${elements} elements: more metrics than are known`)
  } else if (elements < ROW_ELEMENTS_MIN) {
    faults.refuse(`${rowRule(schema)} with at least one metric, but has ${elements} elements`)
  } else if (explainSatellite(reader, faults, satellites) && explainTime(reader, faults, nowMicros, rules)) {
    explainMetrics(reader, elements - HEAD_ELEMENTS, faults)
  }
}

function rowRule (schema: PointSchema): string {
  return `must be an array [satellite_id, time, ${listNames(schema.metrics)}]`
}

/** True, with the cursor after it, if it is valid. */
function explainSatellite (reader: MsgpackReader, faults: PointReader, satellites: SatelliteTable): boolean {
  const length = reader.readTextLength()
  const isValid = length >= 0 && satellites.byBytes(reader.bytes, reader.at, reader.at += length) !== null
  if (!isValid) faults.refuse(SATELLITE_ID_RULE, 'satellite_id')
  return isValid
}

/** True, with the cursor after it, if it is valid. */
function explainTime (reader: MsgpackReader, faults: PointReader, nowMicros: number, rules: DecodeRules): boolean {
  if (reader.takeNil()) return true
  const timeMicros = reader.readWhole()
  if (timeMicros === NOT_A_NUMBER) {
    faults.refuse(TIME_RULE, 'time')
    return false
  }
  if (isInTimeWindow(timeMicros, nowMicros, rules) && Number.isSafeInteger(timeMicros)) return true
  const unit = isInTimeWindow(timeMicros * 1000, nowMicros, rules) ? 'milliseconds' : 'seconds'
  const isOtherUnit = unit === 'milliseconds' || isInTimeWindow(timeMicros * 1e6, nowMicros, rules)
  const hint = isOtherUnit ? `; times in rows are microseconds, but this looks like ${unit}` : ''
  faults.refuse(timeWindowMessage(timeMicros, nowMicros, rules) + hint, 'time')
  return false
}

/** Finds the metric at fault; if there is none, all are nil. */
function explainMetrics (reader: MsgpackReader, count: number, faults: PointReader): void {
  for (let metric = 0; metric < count; metric++) {
    const type = faults.schema.types[metric] as ValueType
    const start = reader.at
    if (reader.takeNil() || !Number.isNaN(readValue(reader, type))) continue
    reader.at = start
    const length = reader.peek() === 'text' ? reader.readTextLength() : -1
    const hint = length < 0 ? '' : type.hint(reader.bytes.toString('utf8', reader.at, reader.at + length))
    faults.refuse(`must be ${type.rule} or nil${hint}`, faults.schema.metrics[metric])
    return
  }
  faults.refuse(noMetricMessage(faults.schema))
}
