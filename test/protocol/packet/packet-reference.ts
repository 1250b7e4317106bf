/**
 * A second, slow and simple implementation of the packet format: msgpackr parses, then every type is checked.
 * It shares no code with the decoder, so that the two can be compared.
 */
import { addExtension, Unpackr } from 'msgpackr'
import type { DecodeRules } from '../../../protocol/point.js'
import { parseIsoTime } from '../../../protocol/time.js'
import { streams, type ReferencePoint } from './packet-fixture.js'

export interface ReferencePacket {
  readonly header: { readonly sender: string, readonly epoch: number, readonly seq: number } | null
  readonly points: readonly ReferencePoint[]
}

class Refused extends Error {}

function demand (condition: boolean, what: string): asserts condition {
  if (!condition) throw new Refused(what)
}

/** The value of all extensions: neither a number nor text. */
const EXTENSION = Symbol('extension')
// msgpackr itself assigns a meaning to some: to it, 0x42 is a bigint, and 0x69 and 0x70 refer to another value.
for (const type of [0, 0x42, 0x62, 0x65, 0x69, 0x70, 0x73, 0x74, 0x78, 0xff]) {
  addExtension({ type, unpack: () => EXTENSION })
}

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: false, int64AsType: 'bigint' })

/** Decodes a packet; null if it must be refused. */
export function readPacket (bytes: Buffer, nowMicros: number, rules: DecodeRules): ReferencePacket | null {
  try {
    const value: unknown = unpackr.unpack(bytes)
    if (value instanceof Map) return { header: null, points: [readMap(value, bytes, nowMicros, rules)] }
    demand(Array.isArray(value), 'neither map nor array')
    if (typeof value[0] === 'number' || typeof value[0] === 'bigint') return readFrame(value, bytes, nowMicros, rules)
    return { header: null, points: value.map((point: unknown) => readMap(point, bytes, nowMicros, rules)) }
  } catch {
    // Both errors of msgpackr and Refused.
    return null
  }
}

function metricsOf (stream: unknown): readonly string[] {
  demand(typeof stream === 'string' && Object.hasOwn(streams, stream), 'stream')
  return streams[stream] ?? []
}

function readFrame (frame: unknown[], bytes: Buffer, nowMicros: number, rules: DecodeRules): ReferencePacket {
  const [version, sender, epoch, seq, ...others] = frame
  const [points, stream = 'telemetry'] = others.toReversed()
  demand((frame.length === 5 || frame.length === 6) && version === 1 && Array.isArray(points), 'shape')
  const names = metricsOf(stream)
  return {
    header: { sender: readName(sender, 32, bytes), epoch: readCount(epoch), seq: readCount(seq) },
    points: points.map((row: unknown) => {
      demand(Array.isArray(row) && row.length >= 3 && row.length <= 2 + names.length, 'row')
      const [id, time, ...metrics] = row as unknown[]
      const timeMicros = time === null ? nowMicros : toNumber(time)
      demand(Number.isSafeInteger(timeMicros), 'time')
      return toPoint(readName(id, 64, bytes), timeMicros, metrics, nowMicros, rules, names)
    })
  }
}

function readMap (value: unknown, bytes: Buffer, nowMicros: number, rules: DecodeRules): ReferencePoint {
  const names = metricsOf('telemetry')
  demand(value instanceof Map, 'not a map')
  const known = ['satellite_id', 'time', 'timestamp', ...names]
  for (const key of value.keys()) {
    demand(typeof key === 'string' && (rules.unknownFields === 'ignore' || known.includes(key)), 'key')
  }
  const field = (name: string): unknown => (value as Map<string, unknown>).get(name) ?? null
  demand(field('time') === null || field('timestamp') === null, 'two times')
  const time = field('time') ?? field('timestamp')
  const timeMicros = time === null ? nowMicros : readTime(time)
  return toPoint(readName(field('satellite_id'), 64, bytes), timeMicros, names.map(field), nowMicros, rules, names)
}

function readTime (time: unknown): number {
  return typeof time === 'string' ? parseIsoTime(time) : cutMillis(toNumber(time))
}

/** Truncates milliseconds to whole µs, by their digits. */
function cutMillis (millis: number): number {
  const [whole = '', fraction = ''] = String(millis).split('.')
  if (whole.includes('e') || fraction.includes('e')) return Math.floor(millis * 1000)
  const isCut = /[1-9]/.test(fraction.slice(3))
  return Number(whole + fraction.padEnd(3, '0').slice(0, 3)) - (whole.startsWith('-') && isCut ? 1 : 0)
}

function toPoint (
  id: string, timeMicros: number, metrics: unknown[], nowMicros: number, rules: DecodeRules, names: readonly string[]
): ReferencePoint {
  demand(timeMicros >= nowMicros - rules.timeWindowPastMs * 1000, 'too old')
  demand(timeMicros <= nowMicros + rules.timeWindowFutureMs * 1000, 'too far ahead')
  demand(metrics.some(metric => metric !== null), 'no metric')
  const values = names.map((_, index) => (metrics[index] ?? null) === null ? NaN : toNumber(metrics[index]))
  return { id, timeMicros, values }
}

function toNumber (value: unknown): number {
  demand(typeof value === 'number' || typeof value === 'bigint', 'not a number')
  demand(Number.isFinite(Number(value)), 'not finite')
  return Number(value)
}

function readCount (value: unknown): number {
  const count = toNumber(value)
  demand(Number.isSafeInteger(count) && count >= 0, 'not a count')
  return count
}

function readName (value: unknown, charactersMax: number, bytes: Buffer): string {
  demand(typeof value === 'string', 'not text')
  const characters = Array.from(value)
  demand(characters.length >= 1 && characters.length <= charactersMax && value.trim() === value, 'length or space')
  demand(!/\p{Cc}|\p{Cs}/u.test(value), 'control character')
  // msgpackr replaces bytes that are not UTF-8; valid text appears unchanged in the packet.
  demand(bytes.includes(Buffer.from(value)), 'not UTF-8')
  return value
}
