/**
 * A telemetry point as JSON and plain msgpack carry it, and the rules that every decoder applies.
 *
 * PointReader takes parsed values one after another and writes the valid ones into columns. It copies the fields that
 * it knows and nothing else; what a sender puts beside them never reaches another object. It is the exact and patient
 * path: it finds every fault and says what would be right.
 */
import { closest, distance } from 'fastest-levenshtein'
import type { PointColumns } from './columns.js'
import { FAULT_DETAILS_MAX, type DecodeFault, type FaultDetail } from './faults.js'
import { SATELLITE_ID_RULE, type Satellite, type SatelliteTable } from './satellites.js'
import { listNames, type PointSchema } from './schema.js'
import { microsOfMillis, parseIsoTime } from './time.js'

/** Settings of validation; all decoders share them. */
export interface DecodeRules {
  /** Oldest accepted time before now, in milliseconds. */
  readonly timeWindowPastMs: number
  /** Newest accepted time after now, in milliseconds. */
  readonly timeWindowFutureMs: number
  readonly unknownFields: 'reject' | 'ignore'
}

/** Longest part of a sender's own text that a message repeats, in UTF-16 units. */
const ECHO_MAX = 64
/** A field is "near" a known one if a third of its letters, at most, differ. */
const NEAR_SHARE = 1 / 3

const UNITS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1_000]] as const

/** A duration in the largest unit that gives a whole number. */
function formatDuration (ms: number): string {
  const unit = UNITS.find(([, size]) => ms >= size && ms % size === 0)
  return unit === undefined ? `${ms} ms` : `${ms / unit[1]} ${unit[0]}`
}

/** What a value is, in the words of JSON. */
function kindOf (value: unknown): string {
  if (value === undefined) return 'absent'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isFinite(value) ? 'a number' : 'beyond the range of numbers'
  if (typeof value === 'bigint') return 'an integer of more than 53 bits'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Whether a time lies in the accepted window around now (both in µs); the bounds belong to it. */
export function isInTimeWindow (timeMicros: number, nowMicros: number, rules: DecodeRules): boolean {
  return timeMicros >= nowMicros - rules.timeWindowPastMs * 1000 && timeMicros <= nowMicros + rules.timeWindowFutureMs * 1000
}

/** Says why a time is outside the window. */
export function timeWindowMessage (timeMicros: number, nowMicros: number, rules: DecodeRules): string {
  const side = timeMicros < nowMicros ? 'too old' : 'too far in the future'
  const back = formatDuration(rules.timeWindowPastMs)
  const ahead = formatDuration(rules.timeWindowFutureMs)
  return `is ${side}: times are accepted from ${back} before until ${ahead} after the server's clock`
}

/** What is wrong with the value of a metric, or null if it is a finite number, null or absent. */
export function metricFault (value: unknown): string | null {
  if (value === null || value === undefined || (typeof value === 'number' && Number.isFinite(value))) return null
  const hint = typeof value === 'string' ? '; send it without quotes' : ''
  return `must be a finite number or null, but is ${kindOf(value)}${hint}`
}

/** Says that no metric has a value. */
export function noMetricMessage (schema: PointSchema): string {
  return `has no value: at least one of ${listNames(schema.metrics)} must be a number`
}

/**
 * Reads the points of one body into columns and keeps the first FAULT_DETAILS_MAX faults.
 * After a fault the columns hold only some of the points: the caller clears them and takes nothing.
 */
export class PointReader {
  /** Points seen, with those that have faults. */
  points = 0
  /** Fields and elements of points that were read one by one; whoever reads bounds them. */
  parts = 0
  private readonly details: FaultDetail[] = []
  readonly schema: PointSchema
  private readonly metrics: Float64Array

  constructor (
    private readonly nowMicros: number,
    private readonly rules: DecodeRules,
    private readonly satellites: SatelliteTable,
    private readonly columns: PointColumns
  ) {
    this.schema = columns.schema
    this.metrics = new Float64Array(this.schema.metricCount)
  }

  /** Enough faults for an answer: the points that are left need only be counted. */
  get isFull (): boolean {
    return this.details.length >= FAULT_DETAILS_MAX
  }

  /** Fields that are not known need not be read. */
  get ignoresUnknown (): boolean {
    return this.rules.unknownFields === 'ignore'
  }

  /** Takes the next point: any value that a parser gave. */
  read (value: unknown): void {
    this.points++
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.refuse(`must be an object with the fields of a point, but is ${kindOf(value)}`)
      return
    }
    // Known names alone are read by name: none of them is one of Object.prototype's.
    const fields = value as Readonly<Record<string, unknown>>
    const before = this.details.length
    const satellite = this.readSatellite(fields['satellite_id'])
    const timeMicros = this.readTime(fields)
    this.readMetrics(fields)
    if (this.rules.unknownFields === 'reject') this.refuseUnknown(fields)
    if (satellite !== null && this.details.length === before) this.push(satellite, timeMicros)
  }

  /** Notes a fault of the point that was read or counted last. */
  refuse (message: string, field?: string): void {
    if (this.isFull) return
    const index = this.points - 1
    this.details.push(field === undefined ? { index, message } : { index, field, message })
  }

  /** The faults as one value, or null if there are none. */
  fault (code: DecodeFault['code'] = 'invalid_point'): DecodeFault | null {
    const first = this.details[0]
    if (first === undefined) return null
    const field = first.field === undefined ? '' : ` ${first.field}`
    const message = `Nothing of the body was taken. Point ${first.index}:${field} ${first.message}.`
    return { code, message, details: this.details, points: this.points }
  }

  private push (satellite: Satellite, timeMicros: number): void {
    const first = this.columns.push(satellite, timeMicros) * this.schema.metricCount
    this.columns.values.set(this.metrics, first)
  }

  private readSatellite (value: unknown): Satellite | null {
    const satellite = typeof value === 'string' ? this.satellites.byId(value) : null
    if (satellite === null) {
      this.refuse(typeof value === 'string' ? SATELLITE_ID_RULE : `${SATELLITE_ID_RULE}, but is ${kindOf(value)}`, 'satellite_id')
    }
    return satellite
  }

  /** The time in µs; after a fault any number. */
  private readTime (fields: Readonly<Record<string, unknown>>): number {
    const time = fields['time'] ?? null
    const timestamp = fields['timestamp'] ?? null
    if (time !== null && timestamp !== null) {
      this.refuse('is another name for time: send one of the two', 'timestamp')
      return this.nowMicros
    }
    const value = time ?? timestamp
    if (value === null) return this.nowMicros
    const field = time === null ? 'timestamp' : 'time'
    const micros = timeOf(value)
    if (Number.isNaN(micros)) this.refuse(timeFault(value), field)
    else if (!isInTimeWindow(micros, this.nowMicros, this.rules)) this.refuse(this.windowFault(value, micros), field)
    return micros
  }

  private windowFault (value: unknown, micros: number): string {
    const message = timeWindowMessage(micros, this.nowMicros, this.rules)
    const isInSeconds = typeof value === 'number' && isInTimeWindow(micros * 1000, this.nowMicros, this.rules)
    return isInSeconds ? `${message}; a number means milliseconds, and this one looks like seconds` : message
  }

  private readMetrics (fields: Readonly<Record<string, unknown>>): void {
    let given = 0
    for (const [index, name] of this.schema.metrics.entries()) {
      const value = fields[name]
      const fault = metricFault(value)
      if (fault !== null) this.refuse(fault, name)
      if (value !== null && value !== undefined) given++
      this.metrics[index] = typeof value === 'number' ? value : NaN
    }
    if (given === 0) this.refuse(noMetricMessage(this.schema))
  }

  private refuseUnknown (fields: Readonly<Record<string, unknown>>): void {
    for (const name of Object.keys(fields)) {
      if (this.schema.isField(name)) continue
      this.refuse(unknownFieldMessage(name, this.schema), name.slice(0, ECHO_MAX))
      if (this.isFull) return
    }
  }
}

function unknownFieldMessage (name: string, schema: PointSchema): string {
  const known = `the fields of a point are ${listNames(schema.fields)}`
  // The distance costs time in proportion to the length, which the sender chooses.
  const near = name.length <= ECHO_MAX ? closest(name, schema.fields) : null
  const isNear = near !== null && distance(name, near) <= near.length * NEAR_SHARE
  return isNear ? `is not a field of a point; did you mean ${near}? ${known}` : `is not a field of a point; ${known}`
}

/** The time in µs that a value of `time` gives, or NaN. */
function timeOf (value: unknown): number {
  if (typeof value === 'string') return parseIsoTime(value)
  return typeof value === 'number' && Number.isFinite(value) ? microsOfMillis(value) : NaN
}

const TIME_RULE = 'must be ISO 8601 with a zone, such as 2026-11-23T12:00:00.000Z, or epoch milliseconds as a number'
const WITHOUT_ZONE = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,12})?)?$/

/** What is wrong with a value of `time` that timeOf does not take. */
function timeFault (value: unknown): string {
  if (typeof value !== 'string') return `${TIME_RULE}, but is ${kindOf(value)}`
  if (value.length <= ECHO_MAX && WITHOUT_ZONE.test(value)) return 'has no time zone: end it with Z or an offset such as +02:00'
  if (value.length <= ECHO_MAX && /^\d+$/.test(value)) return `${TIME_RULE}; send the number without quotes`
  return TIME_RULE
}
