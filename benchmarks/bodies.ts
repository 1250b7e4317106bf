/**
 * Prepared requests: head and body in one buffer, so that the sender only writes it. Where the format has fixed-width
 * times, `refresh` overwrites them with the current one, different each time, so that stored rows reveal how often a
 * request was sent. In line protocol each point has its own time, because databases that use it keep one value per
 * series and time.
 */
import { gzipSync } from 'node:zlib'
import { PacketEncoder } from '../protocol/packet/packet-encoder.js'
import { pointsOf, type BenchPoint, type PointSet } from './points.js'
import { wideJson } from './wide/wide-points.js'

export type Format = 'json' | 'ndjson' | 'msgpack' | 'gzip' | 'line'

const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  msgpack: 'application/msgpack',
  gzip: 'application/json',
  line: 'text/plain; charset=utf-8'
}

/** Thirteen digits, located in the finished body; no metric value looks like it. */
const TIME_MS = 1_234_567_890_123
const TIME_DIGITS = Buffer.from(String(TIME_MS))
/** The same for msgpack: uint 64 (0xcf) of microseconds. */
const TIME_MICROS = TIME_MS * 1000
const TIME_WORD = ((): Buffer => {
  const word = Buffer.alloc(8)
  word.writeBigUInt64BE(BigInt(TIME_MICROS))
  return word
})()
const FRAME_BYTES_MAX = 4_000_000

export interface Target {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly format: Format
  readonly headers?: Readonly<Record<string, string>>
  /** Whether the server speaks TLS, with any certificate. */
  readonly tls?: boolean
}

export interface PreparedRequest {
  readonly bytes: Buffer
  /**
   * Sets the time of every point, in milliseconds since 1970 and later than the previous one. Not while the request is
   * in flight.
   */
  refresh (nowMs: number): void
}

/** One request; `single` is a bare object rather than an array of one. */
export function prepareRequest (target: Target, points: readonly BenchPoint[], single: boolean): PreparedRequest {
  return requestOf(target, encodeBody(target.format, points, single), points)
}

/** A request of a set's body. */
export function prepareBody (target: Target, set: PointSet, body: number, single: boolean): PreparedRequest {
  const points = pointsOf(set, body)
  return set.wide === undefined
    ? prepareRequest(target, points, single)
    : requestOf(target, Buffer.from(wideJson(set, set.wide, body, TIME_FIELD)), points)
}

function requestOf (target: Target, body: Buffer, points: readonly BenchPoint[]): PreparedRequest {
  const head = [
    `POST ${target.path} HTTP/1.1`,
    `Host: ${target.host}:${target.port}`,
    `Content-Type: ${CONTENT_TYPES[target.format]}`,
    `Content-Length: ${body.length}`,
    ...(target.format === 'gzip' ? ['Content-Encoding: gzip'] : []),
    ...Object.entries(target.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    '', ''
  ].join('\r\n')
  const bytes = Buffer.concat([Buffer.from(head), body])
  const write = timeWriter(target.format, bytes, points)
  let lastMs = 0
  return {
    bytes,
    refresh: (nowMs) => {
      lastMs = Math.max(nowMs, lastMs + 1)
      write(lastMs)
    }
  }
}

/** A body whose times are TIME_MS, or absent if they could not be refreshed. */
export function encodeBody (format: Format, points: readonly BenchPoint[], single: boolean): Buffer {
  switch (format) {
    case 'json': return Buffer.from(jsonText(points, single, TIME_FIELD))
    case 'ndjson': return Buffer.from(points.map((point) => `${jsonPoint(point, TIME_FIELD)}\n`).join(''))
    case 'gzip': return gzipSync(jsonText(points, single, ''))
    case 'line': return Buffer.from(points.map(linePoint).join(''))
    case 'msgpack': return Buffer.from(encodeFrame(new PacketEncoder(FRAME_BYTES_MAX), points))
  }
}

/** Without times: the server uses the time of receipt. */
export function encodeJsonWithoutTime (points: readonly BenchPoint[], single: boolean): Buffer {
  return Buffer.from(jsonText(points, single, ''))
}

/** A UDP packet, and the offsets to update before it is resent. */
export interface PreparedPacket {
  readonly bytes: Buffer
  /** Four bytes: the sequence number. */
  readonly sequenceAt: number
  /** Eight bytes: microseconds since 1970. */
  readonly timeAt: number
}

/** Encoded in five bytes, like all sequence numbers written later; nothing else in a packet looks like it. */
const SEQUENCE_MARK = 0xabcd1234
const SEQUENCE_BYTES = Buffer.from([0xce, 0xab, 0xcd, 0x12, 0x34])

/** Only the first point has its own time, which distinguishes copies of a packet; this keeps the packet small. */
export function preparePacket (encoder: PacketEncoder, points: readonly BenchPoint[], sender: string): PreparedPacket {
  const timeOf = (index: number): number | null => index === 0 ? TIME_MICROS : null
  const bytes = Buffer.from(encodeFrame(encoder, points, timeOf, sender, SEQUENCE_MARK))
  // After the header, whose epoch looks the same.
  return {
    bytes,
    sequenceAt: offsetsOf(bytes, SEQUENCE_BYTES)[0] as number + 1,
    timeAt: offsetsOf(bytes, TIME_WORD)[1] as number
  }
}

/** Each point has the same time. */
const SAME_TIME = (): number => TIME_MICROS

/**
 * A frame of all points; valid until the encoder is reused. @param timeOf of a point by index; null: time of receipt
 */
export function encodeFrame (
  encoder: PacketEncoder,
  points: readonly BenchPoint[],
  timeOf: (index: number) => number | null = SAME_TIME,
  sender = 'bench',
  seq = 0
): Buffer {
  encoder.begin(sender, TIME_MICROS, seq)
  for (const [index, { satelliteId, battery, storage, signal }] of points.entries()) {
    if (!encoder.add(satelliteId, timeOf(index), [battery, storage, signal])) {
      throw new RangeError(`a frame of ${points.length} points is too large`)
    }
  }
  return encoder.finish()
}

const TIME_FIELD = `"time":${TIME_MS},`

function jsonText (points: readonly BenchPoint[], single: boolean, time: string): string {
  const texts = points.map((point) => jsonPoint(point, time))
  return single ? texts.join() : `[${texts.join()}]`
}

function jsonPoint ({ satelliteId, battery, storage, signal }: BenchPoint, time: string): string {
  return `{"satellite_id":"${satelliteId}",${time}"battery_charge_percent":${battery},` +
    `"storage_usage_mb":${storage},"signal_strength_dbm":${signal}}`
}

/** Influx line protocol, with a time in nanoseconds. */
function linePoint ({ satelliteId, battery, storage, signal }: BenchPoint): string {
  return `telemetry,satellite_id=${satelliteId} ` +
    `battery_charge_percent=${battery},storage_usage_mb=${storage},signal_strength_dbm=${signal} ` +
    `${TIME_MS}${'0'.repeat(LINE_DIGITS)}\n`
}

function timeWriter (format: Format, bytes: Buffer, points: readonly BenchPoint[]): (nowMs: number) => void {
  if (format === 'gzip') return () => {}
  if (format === 'line') return lineTimeWriter(bytes, points)
  if (format === 'msgpack') {
    // After the header, whose epoch looks the same.
    const offsets = offsetsOf(bytes, TIME_WORD).slice(1)
    const word = Buffer.alloc(8)
    return (nowMs) => {
      word.writeBigUInt64BE(BigInt(nowMs) * 1000n)
      overwrite(bytes, offsets, word)
    }
  }
  const offsets = offsetsOf(bytes, TIME_DIGITS)
  return (nowMs) => overwrite(bytes, offsets, Buffer.from(String(nowMs)))
}

/** Nanoseconds within a millisecond. */
const LINE_DIGITS = 6
const NANOS_PER_MS = 10 ** LINE_DIGITS
/** Number of requests in this process, which share the nanoseconds of a millisecond. */
let lineRequests = 0

/** Points of one satellite in a body are a nanosecond apart; requests are offset so that they do not overlap. */
function lineTimeWriter (bytes: Buffer, points: readonly BenchPoint[]): (nowMs: number) => void {
  const offsets = offsetsOf(bytes, TIME_DIGITS)
  const seen = new Map<string, number>()
  const ranks = points.map(({ satelliteId }) => {
    const rank = seen.get(satelliteId) ?? 0
    seen.set(satelliteId, rank + 1)
    return rank
  })
  const width = Math.max(...seen.values())
  return (nowMs) => {
    overwrite(bytes, offsets, Buffer.from(String(nowMs)))
    const base = lineRequests++ % Math.floor(NANOS_PER_MS / width) * width
    for (let point = 0; point < ranks.length; point++) {
      writeDigits(bytes, (offsets[point] as number) + TIME_DIGITS.length, base + (ranks[point] as number))
    }
  }
}

function writeDigits (bytes: Buffer, at: number, value: number): void {
  let rest = value
  for (let digit = at + LINE_DIGITS - 1; digit >= at; digit--) {
    bytes[digit] = 48 + rest % 10
    rest = Math.floor(rest / 10)
  }
}

function overwrite (bytes: Buffer, offsets: Uint32Array, value: Buffer): void {
  const length = value.length
  for (const offset of offsets) {
    for (let index = 0; index < length; index++) bytes[offset + index] = value[index] as number
  }
}

/** Offsets of a pattern in the bytes. */
export function offsetsOf (bytes: Buffer, pattern: Buffer): Uint32Array {
  const offsets: number[] = []
  for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + pattern.length)) offsets.push(at)
  return Uint32Array.from(offsets)
}
