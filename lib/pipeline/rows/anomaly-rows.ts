/**
 * Anomaly rows: tuples of COPY … (FORMAT binary), all numbers big-endian. They start like telemetry rows, so that both
 * sort alike and an anomaly can be matched to its point.
 *
 *   +0      int16    fields: 8
 *   +2      int32    8
 *   +6      int64    time of the point, microseconds since 2000-01-01 00:00 UTC
 *   +14     int32    n
 *   +18     n bytes  satellite_id, UTF-8
 *   +18+n   int32 and bytes of the metric's name, after that of its stream: Stream.qualify
 *           int32 8 and the value, float64
 *           int32 8 and the limit, float64
 *           int32 and bytes of the severity
 *           int32 and bytes of the side
 *           int32 8 and the version of the limits, int64
 */
import type { PointColumns } from '../../../protocol/columns.js'
import { STREAM_NAME_BYTES_MAX, type Stream } from '../../../protocol/catalogue.js'
import { SATELLITE_ID_BYTES_MAX, type Satellite } from '../../../protocol/satellites.js'
import { NAME_BYTES_MAX, type PointSchema } from '../../../protocol/schema.js'
import type { AnomalyColumns } from '../../limits/anomaly-columns.js'
import { ANOMALY_SIDES, SEVERITIES } from '../../limits/limit-set.js'
import type { ValueType } from '../../../protocol/value-types.js'
import {
  HEAD_FIELDS, ROW_ID_LENGTH_OFFSET, ROW_ID_OFFSET, fieldEnd, isoTime, mayBe, readValue, rowTimeMicros, viewOf,
  writeRowHead, writeRowTime
} from './rows.js'

/** Columns in the order of the fields above. */
export const ANOMALY_COLUMNS: readonly string[] = [
  'time', 'satellite_id', 'metric', 'value', 'limit_value', 'severity', 'side', 'limits_version'
]

/** An anomaly as clients see it. */
export interface Anomaly {
  /** ISO 8601 with microseconds; null if out of range. */
  readonly time: string | null
  readonly satellite_id: string
  readonly metric: string
  readonly value: number
  readonly limit: number
  readonly severity: string
  readonly side: string
  /** Version of the limits it was judged by. */
  readonly limits_version: number
}

const TWO_POW_32 = 4_294_967_296

function field (text: string): Buffer {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** Severity and side with their lengths, by kind (see AnomalyColumns). */
const KIND_FIELDS = SEVERITIES.flatMap((severity) => (
  ANOMALY_SIDES.map((side) => Buffer.concat([field(severity), field(side)]))
))
const KIND_BYTES_MAX = Math.max(...KIND_FIELDS.map(({ length }) => length))
/** Bytes of a row without its satellite_id. */
const ROW_FIXED_BYTES_MAX = ROW_ID_OFFSET + 36 + 4 + STREAM_NAME_BYTES_MAX + 1 + NAME_BYTES_MAX + KIND_BYTES_MAX
/** Bytes of all anomalies that one point can have: one per metric. */
export const pointAnomalyBytesMax = ({ metricCount }: PointSchema): number => (
  metricCount * (ROW_FIXED_BYTES_MAX + SATELLITE_ID_BYTES_MAX)
)

const NONE = Buffer.alloc(0)
const FIRST_BUFFER_BYTES = 4096

/** The anomaly rows of an open batch, in a buffer that grows and is reused. */
export class AnomalyRowBuffer {
  rows = 0
  bytes = 0
  private buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES)
  private view = new DataView(this.buffer.buffer)
  private readonly metricCount: number
  /** Names with their lengths, by metric. */
  private readonly metricFields: readonly Buffer[]

  constructor (stream: Stream) {
    this.metricCount = stream.schema.metricCount
    this.metricFields = stream.schema.metrics.map((name) => field(stream.qualify(name)))
  }

  /**
   * Appends the anomalies from `first` on whose points come before `endPoint`.
   * @returns the first one not appended
   */
  append (columns: PointColumns, anomalies: AnomalyColumns, first = 0, endPoint = columns.count): number {
    let index = first
    for (; index < anomalies.count && (anomalies.points[index] as number) < endPoint; index++) {
      this.write(columns, anomalies, index)
    }
    this.rows += index - first
    return index
  }

  /** Returns the rows, as a view that is valid until the next append, and starts over. */
  take (): Buffer {
    const rows = this.rows === 0 ? NONE : this.buffer.subarray(0, this.bytes)
    this.rows = 0
    this.bytes = 0
    return rows
  }

  private write (columns: PointColumns, anomalies: AnomalyColumns, index: number): void {
    const { points, metrics, kinds, limits, version } = anomalies
    const point = points[index] as number
    const metric = metrics[index] as number
    const satellite = columns.satellites[point] as Satellite
    if (this.bytes + ROW_FIXED_BYTES_MAX + satellite.length > this.buffer.length) this.grow()
    const { view, buffer } = this
    const timeMicros = columns.timesMicros[point] as number
    let at = writeRowHead(view, buffer, this.bytes, ANOMALY_COLUMNS.length, satellite, timeMicros)
    at = put(buffer, at, this.metricFields[metric] as Buffer)
    at = putFloat(view, at, columns.values[point * this.metricCount + metric] as number)
    at = putFloat(view, at, limits[index] as number)
    at = put(buffer, at, KIND_FIELDS[kinds[index] as number] as Buffer)
    view.setInt32(at, 8)
    view.setInt32(at + 4, Math.floor(version / TWO_POW_32))
    view.setUint32(at + 8, version % TWO_POW_32)
    this.bytes = at + 12
  }

  /** Doubling is enough, since any row fits the first buffer. */
  private grow (): void {
    const larger = Buffer.allocUnsafeSlow(this.buffer.length * 2)
    this.buffer.copy(larger, 0, 0, this.bytes)
    this.buffer = larger
    this.view = new DataView(larger.buffer)
  }
}

function put (target: Buffer, at: number, piece: Buffer): number {
  for (let i = 0; i < piece.length; i++) target[at + i] = piece[i] as number
  return at + piece.length
}

function putFloat (view: DataView, at: number, value: number): number {
  view.setInt32(at, 8)
  view.setFloat64(at + 4, value)
  return at + 12
}

/** One anomaly as a row, outside of batches. @param timeMicros of its point, since 1970; replaces its `time` */
export function anomalyRow (anomaly: Omit<Anomaly, 'time'>, timeMicros: number): Buffer {
  const { satellite_id: satellite, metric, value, limit, severity, side, limits_version: version } = anomaly
  const head = Buffer.alloc(ROW_ID_LENGTH_OFFSET)
  head.writeInt16BE(ANOMALY_COLUMNS.length)
  head.writeInt32BE(8, 2)
  writeRowTime(viewOf(head), 0, timeMicros)
  const numbers = Buffer.alloc(36)
  const view = viewOf(numbers)
  putFloat(view, putFloat(view, 0, value), limit)
  numbers.writeInt32BE(8, 24)
  numbers.writeBigInt64BE(BigInt(version), 28)
  return Buffer.concat([
    head, field(satellite), field(metric), numbers.subarray(0, 24), field(severity), field(side), numbers.subarray(24)
  ])
}

/** End of the anomaly row at `start`. */
export function anomalyRowEnd (view: DataView, start: number): number {
  let at = start + 2
  for (let left = view.getInt16(start); left > 0; left--) at += 4 + view.getInt32(at)
  return at
}

/** Whether the bytes are an anomaly row. Those of a point with as many fields have no severity and side. */
export function isAnomalyRow (bytes: Buffer): boolean {
  try {
    const view = viewOf(bytes)
    if (view.getInt16(0) !== ANOMALY_COLUMNS.length || anomalyRowEnd(view, 0) !== bytes.length) return false
    const { severity, side } = readAnomalyRow(bytes)
    return SEVERITIES.some((each) => each === severity) && ANOMALY_SIDES.some((each) => each === side)
  } catch {
    return false
  }
}

/** Decodes one anomaly row. */
export function readAnomalyRow (row: Buffer): Anomaly {
  const view = viewOf(row)
  const idEnd = ROW_ID_OFFSET + view.getInt32(ROW_ID_LENGTH_OFFSET)
  const metricEnd = idEnd + 4 + view.getInt32(idEnd)
  const severityAt = metricEnd + 24
  const severityEnd = severityAt + 4 + view.getInt32(severityAt)
  const sideEnd = severityEnd + 4 + view.getInt32(severityEnd)
  return {
    time: isoTime(rowTimeMicros(view, 0)),
    satellite_id: row.toString('utf8', ROW_ID_OFFSET, idEnd),
    metric: row.toString('utf8', idEnd + 4, metricEnd),
    value: view.getFloat64(metricEnd + 4),
    limit: view.getFloat64(metricEnd + 16),
    severity: row.toString('utf8', severityAt + 4, severityEnd),
    side: row.toString('utf8', severityEnd + 4, sideEnd),
    limits_version: Number(view.getBigInt64(sideEnd + 4))
  }
}

/** The point of each anomaly. Both lists are in the order in which the points arrived. */
export function pointsOfAnomalies (
  points: readonly Buffer[], anomalies: readonly Buffer[], stream: Stream
): Buffer[] {
  const { schema } = stream
  const indexes = new Map(schema.metrics.map((metric, index) => [stream.qualify(metric), index]))
  let next = 0
  let lastMetric = -1
  return anomalies.map((anomaly) => {
    const { metric: name, value } = readAnomalyRow(anomaly)
    const known = indexes.get(name) ?? -1
    for (; next < points.length; next++, lastMetric = -1) {
      const point = points[next] as Buffer
      if (!haveSameHead(point, anomaly)) continue
      const metric = known === -1 ? laterMetric(point, Math.max(schema.metricCount, lastMetric + 1), value) : known
      if (metric <= lastMetric || (known !== -1 && metricOf(point, metric, schema) !== value)) continue
      lastMetric = metric
      return point
    }
    throw new RangeError('a frame has an anomaly without its point')
  })
}

/** Whether time and satellite are the same: everything from the third byte to the end of the id. */
function haveSameHead (point: Buffer, anomaly: Buffer): boolean {
  const end = ROW_ID_OFFSET + anomaly.readInt32BE(ROW_ID_LENGTH_OFFSET)
  return point.length > end && point.compare(anomaly, 2, end, 2, end) === 0
}

/** A metric of a later catalogue, from `first` on, that may have this value; -1: none has. */
function laterMetric (point: Buffer, first: number, value: number): number {
  const count = point.readInt16BE(0) - HEAD_FIELDS
  const view = viewOf(point)
  let at = metricAt(view, first)
  for (let metric = first; metric < count; metric++) {
    if (mayBe(view, at, value)) return metric
    at = fieldEnd(view, at)
  }
  return -1
}

/** Value of a metric in a telemetry row; NaN for null. */
function metricOf (point: Buffer, metric: number, { types }: PointSchema): number {
  const view = viewOf(point)
  return readValue(view, metricAt(view, metric), (types[metric] as ValueType).name)
}

function metricAt (view: DataView, metric: number): number {
  let at = ROW_ID_OFFSET + view.getInt32(ROW_ID_LENGTH_OFFSET)
  for (let before = 0; before < metric; before++) at = fieldEnd(view, at)
  return at
}
