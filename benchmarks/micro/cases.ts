/** The parts of the hot path, each on bodies of 1000 points of 100 satellites, and on single points. */
import { crc32 } from 'node:zlib'
import { PointColumns } from '../../protocol/columns.js'
import type { DecodeFault } from '../../protocol/faults.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../protocol/json/json.js'
import { readBatchExactly } from '../../protocol/json/json-exact.js'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { decodeMsgpackBatch } from '../../protocol/packet/packet-body.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { PointReader, type DecodeRules } from '../../protocol/point.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { AnomalyColumns } from '../../lib/limits/anomaly-columns.js'
import type { LimitSet } from '../../lib/limits/limit-set.js'
import { LimitTable } from '../../lib/limits/limit-table.js'
import { RowBuffer } from '../../lib/pipeline/rows/rows.js'
import { CopySorter } from '../../lib/drain/copy-rows.js'
import { encodeBody, encodeFrame, encodeJsonWithoutTime } from '../bodies.js'
import { pointsOf, satelliteOf, type BenchPoint } from '../points.js'
import type { MicroCase } from './measure.js'

const POINTS = 1000
const SATELLITES = 100
const OVERRIDES = 1000
/** Frames per COPY under load. */
const FRAMES = 20
/** The bodies' times are in 2009. */
const RULES: DecodeRules = {
  timeWindowPastMs: 36_500 * 86_400_000,
  timeWindowFutureMs: 300_000,
  unknownFields: 'reject'
}

type Decoder = (
  body: Buffer,
  nowMicros: number,
  rules: DecodeRules,
  satellites: SatelliteTable,
  columns: PointColumns
) => DecodeFault | null

const points = pointsOf({ satellites: SATELLITES, bodies: 1, batch: POINTS }, 0)
const satellites = new SatelliteTable()
const columns = new PointColumns(BUILT_IN.telemetry.schema)
const nowMicros = Date.now() * 1000

function decoding (name: string, decode: Decoder, body: Buffer, count: number): MicroCase {
  return {
    name,
    points: count,
    call: () => {
      const fault = decode(body, nowMicros, RULES, satellites, columns)
      satellites.keep()
      if (fault !== null || columns.count !== count) {
        throw new Error(`${name}: ${fault?.message ?? `${columns.count} points`}`)
      }
    }
  }
}

const decodeExactly: Decoder = (body, now, rules, table, into) => {
  into.clear()
  return readBatchExactly(body, new PointReader(now, rules, table, into))
}

function validating (): MicroCase {
  const values = JSON.parse(encodeBody('json', points, false).toString()) as unknown[]
  return {
    name: 'validate parsed points',
    points: POINTS,
    call: () => {
      columns.clear()
      const reader = new PointReader(nowMicros, RULES, satellites, columns)
      for (const value of values) reader.read(value)
      if (reader.fault() !== null) throw new Error('a point is invalid')
    }
  }
}

/** Columns of the points, filled once. */
function filled (): PointColumns {
  const own = new PointColumns(BUILT_IN.telemetry.schema)
  const fault = decodeJsonBatch(encodeBody('json', points, false), nowMicros, RULES, satellites, own)
  if (fault !== null) throw new Error(fault.message)
  satellites.keep()
  return own
}

/** Limits that no point violates: measures the check itself. */
const LIMITS: LimitSet = {
  default: Object.fromEntries(BUILT_IN.telemetry.metrics.map(({ name, limits }) => [name, limits])),
  overrides: {}
}

/** With an override for each of very many satellites, including those of the points. */
const MANY_LIMITS: LimitSet = {
  ...LIMITS,
  overrides: Object.fromEntries(Array.from({ length: OVERRIDES }, (_, number) =>
    [satelliteOf(number, OVERRIDES), { battery_charge_percent: { low: { critical: number % 10 } } }]))
}

function judging (name: string, own: PointColumns, set: LimitSet): MicroCase {
  const table = new LimitTable({ version: 1, set }, BUILT_IN.telemetry.schema)
  const anomalies = new AnomalyColumns()
  return { name, points: POINTS, call: () => { table.judge(own, satellites.generation, anomalies) } }
}

/** As computed doubles are written. */
function withAllDigits (point: BenchPoint): BenchPoint {
  return { ...point, battery: point.battery + 1 / 3, signal: point.signal - 1 / 3 }
}

function rowsOf (own: PointColumns): Buffer {
  const buffer = new RowBuffer(64 * 1024)
  buffer.append(own)
  return buffer.take()
}

export function microCases (): MicroCase[] {
  const own = filled()
  const buffer = new RowBuffer(64 * 1024)
  const payload = rowsOf(own)
  const frames = Array.from({ length: FRAMES }, () => payload)
  const sorter = new CopySorter()
  const encoder = new PacketEncoder(1_000_000)
  const frame = Buffer.from(encodeFrame(encoder, points, () => nowMicros))
  return [
    decoding('JSON array, fast path', decodeJsonBatch, encodeBody('json', points, false), POINTS),
    decoding('JSON array, fast path, without time', decodeJsonBatch, encodeJsonWithoutTime(points, false), POINTS),
    decoding(
      'JSON array, numbers of 17 digits',
      decodeJsonBatch,
      encodeBody('json', points.map(withAllDigits), false),
      POINTS
    ),
    decoding('JSON array, exact path', decodeExactly, encodeBody('json', points, false), POINTS),
    decoding('JSON, one point', decodeJsonPoint, encodeBody('json', points.slice(0, 1), true), 1),
    decoding('NDJSON', decodeNdjson, encodeBody('ndjson', points, false), POINTS),
    decoding('msgpack frame', decodeMsgpackBatch, frame, POINTS),
    validating(),
    {
      name: 'encode msgpack frame (sender)',
      points: POINTS,
      call: () => { encodeFrame(encoder, points, () => nowMicros) }
    },
    judging('check limits', own, LIMITS),
    judging(`check limits, ${OVERRIDES} overrides`, own, MANY_LIMITS),
    { name: 'encode rows', points: POINTS, call: () => { buffer.append(own); buffer.take() } },
    {
      name: `sort ${FRAMES} frames for COPY`,
      points: POINTS * FRAMES,
      call: () => { sorter.sort(frames, POINTS * FRAMES) }
    },
    { name: 'CRC32 of rows', points: POINTS, call: () => { crc32(payload) } }
  ]
}
