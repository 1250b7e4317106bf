/** Random points of a catalogue with metrics of all types, and every way to send them. */
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { TELEMETRY, type Metric, type Stream } from '../../../protocol/catalogue.js'
import { PointColumns } from '../../../protocol/columns.js'
import { decodeJsonBatch, decodeNdjson } from '../../../protocol/json/json.js'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { CODE_ELEMENT_BYTES } from '../../../protocol/packet/packet-key.js'
import { decodePacket } from '../../../protocol/packet/packet.js'
import type { DecodeRules } from '../../../protocol/point.js'
import { isInRange } from '../../../protocol/valid-range.js'
import { PointSchema } from '../../../protocol/schema.js'
import type { SatelliteTable } from '../../../protocol/satellites.js'

/** What a sender may write: a bool also as 1 and 0, a state also by its number. */
type Sent = number | boolean | string | null

export interface TypedPoint {
  readonly satellite: string
  readonly timeMs: number
  /** By metric, as stored; NaN: null. */
  readonly values: readonly number[]
  /** As decoded: before values outside their valid range become null. Default: the same. */
  readonly decoded?: readonly number[]
  readonly sent: readonly Sent[]
}

export const RULES: DecodeRules = {
  timeWindowPastMs: 86_400_000, timeWindowFutureMs: 86_400_000, unknownFields: 'reject'
}
/** Of telemetry, while the points are of another stream. */
const OTHER = new PointSchema(['other'])
const packr = new Packr({ useRecords: false })

/** A value as it is stored, and as it is sent. msgpackr drops the sign of zero. */
function anyValue ({ type, states }: Metric): fc.Arbitrary<readonly [number, Sent]> {
  const same = (value: number): readonly [number, Sent] => [value + 0, value + 0]
  switch (type) {
    case 'float': return fc.double({ noNaN: true, noDefaultInfinity: true }).map(same)
    case 'float32': return fc.oneof(
      fc.float({ noNaN: true, noDefaultInfinity: true }).map(same),
      fc.double({ noNaN: true, min: -1e30, max: 1e30 }).map((value) => [Math.fround(value + 0), value + 0] as const))
    case 'int': return fc.oneof(
      fc.maxSafeInteger(), fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0)).map(same)
    case 'bool': return fc.tuple(fc.boolean(), fc.boolean()).map(([value, asNumber]) => (
      [Number(value), asNumber ? Number(value) : value]))
    case 'state': return fc.tuple(fc.constantFrom(...states), fc.boolean()).map(([{ name, value }, asNumber]) => (
      [value, asNumber ? value : name]))
  }
}

/** Within the range if others are refused. */
function anyAccepted (metric: Metric): fc.Arbitrary<readonly [number, Sent]> {
  const { range, type } = metric
  const end = range?.min ?? range?.max ?? null
  if (range?.outside !== 'refuse' || end === null) return anyValue(metric)
  return anyValue(metric).map(([value, sent]) => isInRange(value, range, type) ? [value, sent] : [end, end])
}

function storedOf ({ type, range }: Metric, value: number): number {
  return range?.outside === 'null' && !isInRange(value, range, type) ? NaN : value
}

/** The same point with a value that is refused; null: the metric has none. */
export function withRefused (point: TypedPoint, { range }: Metric, index: number): TypedPoint | null {
  if (range?.outside !== 'refuse') return null
  const value = range.max === null ? 2 * (range.min as number) : 2 * range.max
  const decoded = (point.decoded ?? point.values).with(index, value)
  return { ...point, values: decoded, decoded, sent: point.sent.with(index, value) }
}

/** @param nowMs the points are within a few seconds before it */
export function anyPoints ({ metrics }: Stream, nowMs: number, maxLength: number): fc.Arbitrary<TypedPoint[]> {
  const anyMetrics = fc.tuple(...metrics.map((metric) => fc.option(anyAccepted(metric), { freq: 3 })))
    .filter((values) => values.some((value) => value !== null))
  return fc.array(
    fc.tuple(fc.constantFrom('A', 'SAT-0001', '🛰'), fc.integer({ min: -20_000, max: 0 }), anyMetrics),
    { minLength: 1, maxLength, size: 'max' }
  ).map((points) => points.map(([satellite, ms, values]) => ({
    satellite,
    timeMs: nowMs + ms,
    values: values.map((value, index) => storedOf(metrics[index] as Metric, value?.[0] ?? NaN)),
    decoded: values.map((value) => value?.[0] ?? NaN),
    sent: values.map((value) => value?.[1] ?? null)
  })))
}

function objectsOf ({ metrics }: Stream, points: readonly TypedPoint[]): object[] {
  return points.map(({ satellite, timeMs, sent }) => Object.fromEntries([
    ['satellite_id', satellite], ['time', timeMs], ...metrics.map(({ name }, metric) => [name, sent[metric]])
  ]) as object)
}

/** A JSON body of a batch. */
export function bodyOf (stream: Stream, points: readonly TypedPoint[]): Buffer {
  return Buffer.from(JSON.stringify(objectsOf(stream, points)))
}

function encoded (points: readonly TypedPoint[], stream?: string, key: string | null = null): Buffer {
  const encoder = new PacketEncoder(1 << 20, key)
  encoder.begin('sender', 1, 0, stream)
  for (const { satellite, timeMs, values, decoded = values } of points) {
    if (!encoder.add(satellite, timeMs * 1000, decoded)) throw new Error('the packet is full')
  }
  return Buffer.from(encoder.finish())
}

/** Frames as other languages write them: with booleans and names. */
function packed (points: readonly TypedPoint[]): Buffer {
  const rows = points.map(({ satellite, timeMs, sent }) => [satellite, timeMs * 1000, ...sent])
  return packr.pack([1, 'sender', 1, 0, rows])
}

type Decode = (
  stream: Stream, points: readonly TypedPoint[], nowMs: number, satellites: SatelliteTable, columns: PointColumns
) => unknown

type Encode = (stream: Stream, points: readonly TypedPoint[]) => Buffer

const json = (encode: (texts: string[]) => string, decode: typeof decodeJsonBatch): Decode => (
  stream, points, nowMs, satellites, columns
) => decode(
  Buffer.from(encode(objectsOf(stream, points).map((point) => JSON.stringify(point)))), nowMs * 1000, RULES,
  satellites, columns)

const msgpack = (encode: Encode): Decode => (stream, points, nowMs, satellites, columns) => {
  const result = decodePacket(encode(stream, points), nowMs * 1000, RULES, satellites, columns)
  return result.kind === 'malformed' ? result.fault : null
}

/** As a UDP listener decodes the packets of a stream. @param isKeyed they are authenticated */
const udp = (isKeyed: boolean): Decode => (stream, points, nowMs, satellites, columns) => {
  const packet = encoded(points, stream.name, isKeyed ? `key:${'s'.repeat(32)}` : null)
  const bytes = isKeyed ? packet.subarray(0, packet.length - CODE_ELEMENT_BYTES) : packet
  // Names telemetry only if it must.
  const telemetry = stream.name === TELEMETRY ? columns : new PointColumns(OTHER)
  const result = decodePacket(bytes, nowMs * 1000, RULES, satellites, telemetry, isKeyed, (name) => (
    name === stream.name ? { columns, rules: RULES } : null))
  return result.kind === 'malformed' ? result.fault : null
}

/** Every way from points to columns; they return null or a fault. */
export const DECODERS: Readonly<Record<string, Decode>> = {
  json: json((texts) => `[${texts.join()}]`, decodeJsonBatch),
  // An escape, which the fast path leaves to the exact one.
  exact: json((texts) => `[${texts.join().replaceAll('"time', '"\\u0074ime')}]`, decodeJsonBatch),
  ndjson: json((texts) => texts.join('\n'), decodeNdjson),
  maps: msgpack((stream, points) => packr.pack(objectsOf(stream, points))),
  frame: msgpack((_, points) => encoded(points)),
  frameOfWords: msgpack((_, points) => packed(points)),
  udp: udp(false),
  udpKeyed: udp(true)
}
