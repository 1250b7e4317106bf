/**
 * Telemetry rows: each point is a tuple of COPY … (FORMAT binary), all numbers big-endian.
 * Source: PostgreSQL manual, "COPY", section "Binary Format".
 *
 *   +0      int16    fields: 2 + metrics
 *   +2      int32    8
 *   +6      int64    time, microseconds since 2000-01-01 00:00 UTC
 *   +14     int32    n
 *   +18     n bytes  satellite_id, UTF-8
 *   +18+n   for each metric of the stream: int32 length and the value by its type, or int32 -1 for null:
 *           float 8 float64, float32 4 float32, int 8 int64, bool 1 byte 0 or 1, state 2 int16
 *
 * Rows follow one another without COPY's header and trailer; payload.ts puts them in frames. Time and satellite come
 * first, at fixed offsets, for the sake of sorting.
 */
import type { PointColumns } from '../../../protocol/columns.js'
import { SATELLITE_ID_BYTES_MAX, type Satellite } from '../../../protocol/satellites.js'
import type { PointSchema } from '../../../protocol/schema.js'
import { METRIC_TYPES, type MetricType, type ValueType } from '../../../protocol/value-types.js'
import { PayloadBuffers } from './payload-buffers.js'

/** Columns in the order of the fields above. */
export const rowColumns = ({ metrics }: PointSchema): readonly string[] => ['time', 'satellite_id', ...metrics]

const ROW_TIME_OFFSET = 6
export const ROW_ID_LENGTH_OFFSET = 14
export const ROW_ID_OFFSET = 18

/** 2000-01-01, the epoch of timestamptz, in microseconds since 1970. */
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000
const TWO_POW_32 = 4_294_967_296
/** Fields before the metrics. */
export const HEAD_FIELDS = 2
/** Of a field with a float or an int: no other is larger. */
const VALUE_BYTES = 12
const LENGTH_BYTES = 4
/** Of a field that is null. */
export const NULL_BYTES = 4
/** Bytes of a row without its satellite_id, all metrics present. */
const rowFixedBytesMax = ({ metricCount }: PointSchema): number => ROW_ID_OFFSET + VALUE_BYTES * metricCount
/** Bytes of any row. */
export const rowBytesMax = (schema: PointSchema): number => rowFixedBytesMax(schema) + SATELLITE_ID_BYTES_MAX
const NO_BYTES = Buffer.alloc(0)

/** Writes the time of the row at `start`. @param timeMicros since 1970 */
export function writeRowTime (view: DataView, start: number, timeMicros: number): void {
  writeInt64(view, start + ROW_TIME_OFFSET, timeMicros - POSTGRES_EPOCH_MICROS)
}

/** Writes the start of a telemetry or anomaly row: fields, time and satellite. Returns the position after it. */
export function writeRowHead (
  view: DataView, buffer: Buffer, start: number, fields: number, satellite: Satellite, timeMicros: number
): number {
  const { arena, start: first, length } = satellite
  view.setInt16(start, fields)
  view.setInt32(start + 2, 8)
  writeRowTime(view, start, timeMicros)
  view.setInt32(start + ROW_ID_LENGTH_OFFSET, length)
  const at = start + ROW_ID_OFFSET
  // For ids of about ten bytes a loop is faster than TypedArray.set.
  for (let i = 0; i < length; i++) buffer[at + i] = arena[first + i] as number
  return at + length
}

/** The rows of an open batch, in a buffer that grows. */
export class RowBuffer {
  rows = 0
  /** Written so far, including headBytes. */
  bytes: number
  private buffer: Buffer
  private view: DataView

  /**
   * @param bytesExpected size of the first buffer; later ones follow the size of batches
   * @param headBytes left free before the first row
   * @param rooms memory for the payloads that take() returns
   */
  constructor (
    private bytesExpected: number,
    private readonly headBytes = 0,
    private readonly rooms = new PayloadBuffers()
  ) {
    this.bytes = headBytes
    this.buffer = rooms.take(bytesExpected)
    this.view = viewOf(this.buffer)
  }

  /** Appends the points from `first` up to, not including, `end`. */
  append (columns: PointColumns, first = 0, end = columns.count): void {
    const { satellites, timesMicros, values, schema, schema: { metricCount } } = columns
    const fixedBytesMax = rowFixedBytesMax(schema)
    const fields = HEAD_FIELDS + metricCount
    const { types, isAllFloat } = schema
    for (let point = first; point < end; point++) {
      // The decoder has filled it up to count.
      const satellite = satellites[point] as Satellite
      const { length } = satellite
      if (this.bytes + fixedBytesMax + length > this.buffer.length) this.grow(fixedBytesMax + length)
      const timeMicros = timesMicros[point] as number
      const at = writeRowHead(this.view, this.buffer, this.bytes, fields, satellite, timeMicros)
      const first = point * metricCount
      this.bytes = isAllFloat
        ? this.writeFloats(at, values, first, first + metricCount)
        : this.writeTyped(at, values, first, types)
    }
    this.rows += end - first
  }

  /** Returns the rows, followed by a copy of `tail`, and starts over. */
  take (tail: Buffer = NO_BYTES): Buffer {
    if (this.bytes + tail.length > this.buffer.length) this.grow(tail.length)
    const bytes = this.bytes + tail.copy(this.buffer, this.bytes)
    // Follows the size of batches up at once and down slowly, so that few buffers have to grow or are half empty.
    this.bytesExpected = Math.max(4096, bytes + (bytes >>> 3), this.bytesExpected - (this.bytesExpected >>> 4))
    this.rows = 0
    this.bytes = this.headBytes
    return bytes * 2 < this.buffer.length ? this.copyOut(bytes) : this.giveAway(bytes)
  }

  private giveAway (bytes: number): Buffer {
    const payload = this.rooms.lend(this.buffer, bytes)
    this.use(this.rooms.take(this.bytesExpected))
    return payload
  }

  /** For a small batch in a large buffer: a journal counts the bytes of payloads, not of the buffers behind them. */
  private copyOut (bytes: number): Buffer {
    const payload = this.rooms.payload(bytes)
    this.buffer.copy(payload, 0, 0, bytes)
    if (this.bytesExpected * 2 < this.buffer.length) this.replace(this.bytesExpected)
    return payload
  }

  private replace (bytesMin: number): void {
    const { buffer } = this
    this.use(this.rooms.take(bytesMin))
    buffer.copy(this.buffer, 0, 0, this.bytes)
    this.rooms.giveRoomBack(buffer)
  }

  private use (buffer: Buffer): void {
    this.buffer = buffer
    this.view = viewOf(buffer)
  }

  private writeFloats (start: number, values: Float64Array, first: number, end: number): number {
    const { view } = this
    let at = start
    for (let metric = first; metric < end; metric++) {
      const value = values[metric] as number
      if (Number.isNaN(value)) {
        view.setInt32(at, -1)
        at += NULL_BYTES
      } else {
        view.setInt32(at, 8)
        view.setFloat64(at + 4, value)
        at += VALUE_BYTES
      }
    }
    return at
  }

  private writeTyped (start: number, values: Float64Array, first: number, types: readonly ValueType[]): number {
    const { view } = this
    let at = start
    for (let metric = 0; metric < types.length; metric++) {
      const value = values[first + metric] as number
      if (Number.isNaN(value)) {
        view.setInt32(at, -1)
        at += NULL_BYTES
      } else {
        at = writeValue(view, at, (types[metric] as ValueType).name, value)
      }
    }
    return at
  }

  private grow (bytesNeeded: number): void {
    this.replace(Math.max(this.buffer.length * 2, this.bytes + bytesNeeded))
  }
}

export function viewOf (buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
}

function writeValue (view: DataView, at: number, type: MetricType, value: number): number {
  const bytes = VALUE_LENGTHS[type]
  const start = at + LENGTH_BYTES
  view.setInt32(at, bytes)
  switch (type) {
    case 'float': view.setFloat64(start, value); break
    case 'float32': view.setFloat32(start, value); break
    case 'int': writeInt64(view, start, value); break
    case 'bool': view.setUint8(start, value); break
    case 'state': view.setInt16(start, value)
  }
  return start + bytes
}

const VALUE_LENGTHS: Readonly<Record<MetricType, number>> = { float: 8, float32: 4, int: 8, bool: 1, state: 2 }

function writeInt64 (view: DataView, at: number, value: number): void {
  const high = Math.floor(value / TWO_POW_32)
  view.setInt32(at, high)
  view.setUint32(at + 4, value - high * TWO_POW_32)
}

/** The value of a metric whose field starts at `at`, as in PointColumns; NaN: null. */
export function readValue (view: DataView, at: number, type: MetricType): number {
  if (view.getInt32(at) === -1) return NaN
  const start = at + LENGTH_BYTES
  switch (type) {
    case 'float': return view.getFloat64(start)
    case 'float32': return view.getFloat32(start)
    case 'int': return view.getInt32(start) * TWO_POW_32 + view.getUint32(start + 4)
    case 'bool': return view.getUint8(start)
    case 'state': return view.getInt16(start)
  }
}

/** Whether the field that starts at `at` has this value, of whichever type has fields of its length. */
export function mayBe (view: DataView, at: number, value: number): boolean {
  const length = view.getInt32(at)
  return METRIC_TYPES.some((type) => VALUE_LENGTHS[type] === length && readValue(view, at, type) === value)
}

/** End of the field that starts at `at`. */
export function fieldEnd (view: DataView, at: number): number {
  return at + LENGTH_BYTES + Math.max(view.getInt32(at), 0)
}

/** End of the row at `start`. The view must contain all of it. */
export function rowEnd (view: DataView, start: number): number {
  let at = start + ROW_ID_OFFSET + view.getInt32(start + ROW_ID_LENGTH_OFFSET)
  for (let metrics = view.getInt16(start) - HEAD_FIELDS; metrics > 0; metrics--) {
    const bytes = view.getInt32(at)
    at += bytes > 0 ? LENGTH_BYTES + bytes : NULL_BYTES
  }
  return at
}

/** Time of the row at `start`, microseconds since 1970. */
export function rowTimeMicros (view: DataView, start: number): number {
  const at = start + ROW_TIME_OFFSET
  return view.getInt32(at) * TWO_POW_32 + view.getUint32(at + 4) + POSTGRES_EPOCH_MICROS
}

/** ISO 8601 to the microsecond; null if out of range. @param micros since 1970 */
export function isoTime (micros: number): string | null {
  const millis = Math.floor(micros / 1000)
  const date = new Date(millis)
  if (Number.isNaN(date.getTime())) return null
  return date.toISOString().replace('Z', `${String(micros - millis * 1000).padStart(3, '0')}Z`)
}

/** A point in readable form. */
export type ReadablePoint = Record<string, string | number | boolean | null>

/**
 * A row in readable form, for quarantine and inspection: a state is its number, as in the table. Metrics that are newer
 * than the row are null.
 */
export function rowToPoint (row: Buffer, { metrics, types }: PointSchema): ReadablePoint {
  const view = new DataView(row.buffer, row.byteOffset, row.length)
  const idEnd = ROW_ID_OFFSET + view.getInt32(ROW_ID_LENGTH_OFFSET)
  const point: ReadablePoint = {
    satellite_id: row.toString('utf8', ROW_ID_OFFSET, idEnd),
    time: isoTime(rowTimeMicros(view, 0))
  }
  let at = idEnd
  for (const [metric, name] of metrics.entries()) {
    const type = (types[metric] as ValueType).name
    const value = at < row.length ? readValue(view, at, type) : NaN
    point[name] = Number.isNaN(value) ? null : type === 'bool' ? value === 1 : value
    if (at < row.length) at = fieldEnd(view, at)
  }
  return point
}
