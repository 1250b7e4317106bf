/**
 * Requests made beforehand: head and body in one buffer, so that the sender does nothing but write it. Where the format
 * holds times of a fixed width, `refresh` puts the present one in: another one each time, so that what is stored tells how
 * often a request was. In line protocol each point has a time of its own, since databases that speak it keep one value
 * of a series and a time.
 */
import { gzipSync } from 'node:zlib'
import { PacketEncoder } from '../protocol/packet/packet-encoder.js'
import type { BenchPoint } from './points.js'

export type Format = 'json' | 'ndjson' | 'msgpack' | 'gzip' | 'line'

const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  msgpack: 'application/msgpack',
  gzip: 'application/json',
  line: 'text/plain; charset=utf-8'
}

/** Thirteen digits, found again in a finished body; no metric looks like it. */
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
}

export interface PreparedRequest {
  readonly bytes: Buffer
  readonly points: number
  /** Puts a time, in milliseconds since 1970 and later than the last one, into every point. Only while the request is not on its way. */
  refresh (nowMs: number): void
}

/** One request of one or several points; `single` is an object of its own, not an array of one. */
export function prepareRequest (target: Target, points: readonly BenchPoint[], single: boolean): PreparedRequest {
  const body = encodeBody(target.format, points, single)
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
    points: points.length,
    refresh: (nowMs) => {
      lastMs = Math.max(nowMs, lastMs + 1)
      write(lastMs)
    }
  }
}

/** A body whose times are TIME_MS, or absent where they could not be refreshed. */
export function encodeBody (format: Format, points: readonly BenchPoint[], single: boolean): Buffer {
  switch (format) {
    case 'json': return Buffer.from(jsonText(points, single, TIME_FIELD))
    case 'ndjson': return Buffer.from(points.map((point) => `${jsonPoint(point, TIME_FIELD)}\n`).join(''))
    case 'gzip': return gzipSync(jsonText(points, single, ''))
    case 'line': return Buffer.from(points.map(linePoint).join(''))
    case 'msgpack': return Buffer.from(encodeFrame(new PacketEncoder(FRAME_BYTES_MAX), points))
  }
}

/** Without times: they are those of receipt. */
export function encodeJsonWithoutTime (points: readonly BenchPoint[], single: boolean): Buffer {
  return Buffer.from(jsonText(points, single, ''))
}

/** A packet over UDP, and where to write into it before it is sent again. */
export interface PreparedPacket {
  readonly bytes: Buffer
  /** Four bytes: the sequence number. */
  readonly sequenceAt: number
  /** Eight bytes: microseconds since 1970. */
  readonly timeAt: number
}

/** Five bytes wide, as every number is that is written afterwards; no other part of a packet looks like it. */
const SEQUENCE_MARK = 0xabcd1234
const SEQUENCE_BYTES = Buffer.from([0xce, 0xab, 0xcd, 0x12, 0x34])

/** Only the first point has a time of its own, by which copies of a packet are told apart: the packet stays small. */
export function preparePacket (encoder: PacketEncoder, points: readonly BenchPoint[], sender: string): PreparedPacket {
  const bytes = Buffer.from(encodeFrame(encoder, points, (index) => index === 0 ? TIME_MICROS : null, sender, SEQUENCE_MARK))
  // Behind the header, whose epoch looks the same.
  return { bytes, sequenceAt: offsetsOf(bytes, SEQUENCE_BYTES)[0] as number + 1, timeAt: offsetsOf(bytes, TIME_WORD)[1] as number }
}

/** Each point has the same time. */
const SAME_TIME = (): number => TIME_MICROS

/** A frame of all points; valid until the encoder is used again. @param timeOf of the point at an index; null: that of receipt */
export function encodeFrame (encoder: PacketEncoder, points: readonly BenchPoint[], timeOf: (index: number) => number | null = SAME_TIME, sender = 'bench', seq = 0): Buffer {
  encoder.begin(sender, TIME_MICROS, seq)
  for (const [index, { satelliteId, battery, storage, signal }] of points.entries()) {
    if (!encoder.add(satelliteId, timeOf(index), [battery, storage, signal])) throw new RangeError(`a frame of ${points.length} points is too large`)
  }
  return encoder.finish()
}

const TIME_FIELD = `"time":${TIME_MS},`

function jsonText (points: readonly BenchPoint[], single: boolean, time: string): string {
  const texts = points.map((point) => jsonPoint(point, time))
  return single ? texts.join() : `[${texts.join()}]`
}

function jsonPoint ({ satelliteId, battery, storage, signal }: BenchPoint, time: string): string {
  return `{"satellite_id":"${satelliteId}",${time}"battery_charge_percent":${battery},"storage_usage_mb":${storage},"signal_strength_dbm":${signal}}`
}

/** Influx line protocol, with a time in nanoseconds. */
function linePoint ({ satelliteId, battery, storage, signal }: BenchPoint): string {
  return `telemetry,satellite_id=${satelliteId} battery_charge_percent=${battery},storage_usage_mb=${storage},signal_strength_dbm=${signal} ${TIME_MS}${'0'.repeat(LINE_DIGITS)}\n`
}

function timeWriter (format: Format, bytes: Buffer, points: readonly BenchPoint[]): (nowMs: number) => void {
  if (format === 'gzip') return () => {}
  if (format === 'line') return lineTimeWriter(bytes, points)
  if (format === 'msgpack') {
    // Behind the header, whose epoch looks the same.
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
/** Requests of this process, which share the nanoseconds of a millisecond. */
let lineRequests = 0

/** The points of a satellite in a body follow one another by a nanosecond, and requests by as many as that takes. */
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

/** Where a pattern begins in the bytes. */
export function offsetsOf (bytes: Buffer, pattern: Buffer): Uint32Array {
  const offsets: number[] = []
  for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + pattern.length)) offsets.push(at)
  return Uint32Array.from(offsets)
}
