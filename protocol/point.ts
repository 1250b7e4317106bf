/**
 * Telemetry points as parsed from JSON or plain msgpack, and the rules that every decoder enforces.
 *
 * PointReader takes parsed values, and writes the valid ones into columns. It copies known fields only, so that nothing
 * else from a sender ends up in another object. It is the slow, exact path: it finds every fault, and says what is
 * expected instead.
 */
import type { PointColumns } from './columns.js'
import { FAULT_DETAILS_MAX, type DecodeFault, type FaultDetail } from './faults.js'
import { SATELLITE_ID_RULE, type Satellite, type SatelliteTable } from './satellites.js'
import { ECHO_MAX, listNames, similarName } from './names.js'
import type { PointSchema } from './schema.js'
import { microsOfMillis, parseIsoTime } from './time.js'
import type { ValueType } from './value-types.js'

/** Validation settings of all decoders. */
export interface DecodeRules {
  /** Oldest accepted time before now, in milliseconds. */
  readonly timeWindowPastMs: number
  /** Newest accepted time after now, in milliseconds. */
  readonly timeWindowFutureMs: number
  readonly unknownFields: 'reject' | 'ignore'
}

const UNITS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1_000]] as const

/** Formats a duration in the largest unit in which it is a whole number. */
function formatDuration (ms: number): string {
  const unit = UNITS.find(([, size]) => ms >= size && ms % size === 0)
  return unit === undefined ? `${ms} ms` : `${ms / unit[1]} ${unit[0]}`
}

/** Describes a value in terms of JSON. */
function kindOf (value: unknown): string {
  if (value === undefined) return 'absent'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isFinite(value) ? 'a number' : 'out of range'
  if (typeof value === 'bigint') return 'an integer of more than 53 bits'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Whether a time is in the accepted window around now, inclusive. Both are in µs. */
export function isInTimeWindow (timeMicros: number, nowMicros: number, rules: DecodeRules): boolean {
  const oldestMicros = nowMicros - rules.timeWindowPastMs * 1000
  return timeMicros >= oldestMicros && timeMicros <= nowMicros + rules.timeWindowFutureMs * 1000
}

/** Explains why a time is outside the window. */
export function timeWindowMessage (timeMicros: number, nowMicros: number, rules: DecodeRules): string {
  const side = timeMicros < nowMicros ? 'too old' : 'too far in the future'
  const back = formatDuration(rules.timeWindowPastMs)
  const ahead = formatDuration(rules.timeWindowFutureMs)
  return `is ${side}: times are accepted from ${back} before to ${ahead} after the server's clock`
}

/** What is wrong with a value that ValueType.read() does not take. */
function metricFault (type: ValueType, value: unknown): string {
  const isNumber = typeof value === 'number' && Number.isFinite(value)
  return `must be ${type.rule} or null, but is ${isNumber ? value : kindOf(value)}${type.hint(value)}`
}

/** Explains that no metric has a value. */
export function noMetricMessage (schema: PointSchema): string {
  return `has no value: at least one of ${listNames(schema.metrics)} must not be null`
}

/**
 * Reads the points of one body into columns, and collects the first FAULT_DETAILS_MAX faults.
 * After a fault the columns have only some of the points, and the caller clears them.
 */
export class PointReader {
  /** Points read, including invalid ones. */
  points = 0
  /** Fields and elements of points read one by one, limited by the caller. */
  parts = 0
  private readonly details: FaultDetail[] = []
  readonly schema: PointSchema
  private readonly metrics: Float64Array
  /** By metric; undefined for one without aliases. */
  private readonly aliases: ReadonlyArray<readonly string[] | undefined>

  constructor (
    private readonly nowMicros: number,
    private readonly rules: DecodeRules,
    private readonly satellites: SatelliteTable,
    private readonly columns: PointColumns
  ) {
    this.schema = columns.schema
    this.metrics = new Float64Array(this.schema.metricCount)
    this.aliases = this.schema.aliasLists
  }

  /** There are enough faults for an answer, so the remaining points need only be counted. */
  get isFull (): boolean {
    return this.details.length >= FAULT_DETAILS_MAX
  }

  /** Unknown fields need not be read. */
  get ignoresUnknown (): boolean {
    return this.rules.unknownFields === 'ignore'
  }

  /** Reads the next point: any parsed value. */
  read (value: unknown): void {
    this.points++
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.refuse(`must be an object with the fields of a point, but is ${kindOf(value)}`)
      return
    }
    // Only known names are read, none of which are properties of Object.prototype.
    const fields = value as Readonly<Record<string, unknown>>
    const before = this.details.length
    const satellite = this.readSatellite(fields['satellite_id'])
    const timeMicros = this.readTime(fields)
    this.readMetrics(fields)
    if (this.rules.unknownFields === 'reject') this.refuseUnknown(fields)
    if (satellite !== null && this.details.length === before) this.push(satellite, timeMicros)
  }

  /** Records a fault of the latest point. */
  refuse (message: string, field?: string): void {
    if (this.isFull) return
    const index = this.points - 1
    this.details.push(field === undefined ? { index, message } : { index, field, message })
  }

  /** All faults together; null if there are none. */
  fault (code: DecodeFault['code'] = 'invalid_point'): DecodeFault | null {
    const first = this.details[0]
    if (first === undefined) return null
    const field = first.field === undefined ? '' : ` ${first.field}`
    const message = `No point of the body was accepted. Point ${first.index}:${field} ${first.message}.`
    return { code, message, details: this.details, points: this.points }
  }

  private push (satellite: Satellite, timeMicros: number): void {
    const first = this.columns.push(satellite, timeMicros) * this.schema.metricCount
    this.columns.values.set(this.metrics, first)
  }

  private readSatellite (value: unknown): Satellite | null {
    const satellite = typeof value === 'string' ? this.satellites.byId(value) : null
    if (satellite === null) {
      const kind = typeof value === 'string' ? '' : `, but is ${kindOf(value)}`
      this.refuse(SATELLITE_ID_RULE + kind, 'satellite_id')
    }
    return satellite
  }

  /** The time in µs; meaningless after a fault. */
  private readTime (fields: Readonly<Record<string, unknown>>): number {
    const time = fields['time'] ?? null
    const timestamp = fields['timestamp'] ?? null
    if (time !== null && timestamp !== null) {
      this.refuse('is another name for time: send only one of them', 'timestamp')
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
    return isInSeconds ? `${message}; a number is in milliseconds, but this one looks like seconds` : message
  }

  private readMetrics (fields: Readonly<Record<string, unknown>>): void {
    let values = 0
    for (const [index, name] of this.schema.metrics.entries()) {
      const aliases = this.aliases[index]
      const value = aliases === undefined ? fields[name] : this.readAliased(name, aliases, fields)
      if (value === null || value === undefined) {
        this.metrics[index] = NaN
        continue
      }
      values++
      const type = this.schema.types[index] as ValueType
      const read = type.read(value)
      if (Number.isNaN(read)) this.refuse(metricFault(type, value), name)
      this.metrics[index] = read
    }
    if (values === 0) this.refuse(noMetricMessage(this.schema))
  }

  /** The value of a metric that has aliases: of the one name that was sent. */
  private readAliased (name: string, aliases: readonly string[], fields: Readonly<Record<string, unknown>>): unknown {
    const sent = [name, ...aliases].filter((each) => fields[each] !== undefined)
    if (sent.length > 1) this.refuse(`is another name for ${name}: send one of the two`, sent[1])
    return fields[sent[0] ?? name]
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
  const known = `the fields of a point are ${listNames(schema.names)}`
  const near = similarName(name, schema.fields)
  return near === null
    ? `is not a field of a point; ${known}`
    : `is not a field of a point; did you mean ${near}? ${known}`
}

/** A value of `time` in µs, or NaN. */
function timeOf (value: unknown): number {
  if (typeof value === 'string') return parseIsoTime(value)
  return typeof value === 'number' && Number.isFinite(value) ? microsOfMillis(value) : NaN
}

const TIME_RULE = 'must be ISO 8601 with a zone, such as 2026-11-23T12:00:00.000Z, or epoch milliseconds as a number'
const WITHOUT_ZONE = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,12})?)?$/

/** What is wrong with a value of `time` for which timeOf returns NaN. */
function timeFault (value: unknown): string {
  if (typeof value !== 'string') return `${TIME_RULE}, but is ${kindOf(value)}`
  if (value.length <= ECHO_MAX && WITHOUT_ZONE.test(value)) {
    return 'has no time zone: end it with Z or an offset such as +02:00'
  }
  if (value.length <= ECHO_MAX && /^\d+$/.test(value)) return `${TIME_RULE}; send the number without quotes`
  return TIME_RULE
}
