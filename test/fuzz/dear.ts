/**
 * The costliest known input of each kind: the most points accepted, in every format, and whatever is needlessly large,
 * deep or repeated. Made afresh for each try, since a repetition may cost less.
 */
import { gzipSync } from 'node:zlib'
import { Packr } from 'msgpackr'
import { POINTS_MAX } from '../../protocol/columns.js'
import { METRICS } from '../support/points/built-in.js'
import { PACKET_BYTES_MAX } from '../../protocol/packet/packet.js'
import { CONTENT_TYPES, type Body, type Format } from './inputs.js'

const BODY_BYTES_MAX = 8 * 1024 * 1024
const PACKET_ROWS = 850
const packr = new Packr({ useRecords: false })
const [METRIC, OTHER] = METRICS.map(({ name }) => name) as [string, string]

let count = 0
const freshId = (): string => `B${'x'.repeat(40)}${count++}`

/** A header with a 32-bit element count. */
function headed (type: number, elements: number, ...rest: readonly Buffer[]): Buffer {
  const head = Buffer.from([type, 0, 0, 0, 0])
  head.writeUInt32BE(elements, 1)
  return Buffer.concat([head, ...rest])
}

/** Repeats text as often as fits in a body, at most timesMax times. */
function filled (text: string, open = '', close = '', timesMax = Infinity): Buffer {
  const times = Math.floor((BODY_BYTES_MAX - open.length - close.length) / text.length)
  return Buffer.from(open + text.repeat(Math.min(timesMax, times)) + close)
}

const points = (nowMs: number): Array<Record<string, unknown>> => Array.from({ length: POINTS_MAX }, (_, at) => (
  { satellite_id: `B${at % 5_000}`, time: nowMs, [METRIC]: at / 1_000_000, [OTHER]: 95_001.5 + at }))
/** Escapes keep the text off the fast path. */
const escaped = (text: string): string => text.replaceAll('"B', '"\\u0042')
/** One point with other fields. */
const wide = (nowMs: number, fields: string): string => `{"satellite_id":"B1","time":${nowMs},${fields}"${METRIC}":1},`
const repeated = `"${OTHER}":1,`
const packed = (...values: readonly unknown[]): Buffer[] => values.map((value) => packr.pack(value))
/** A msgpack map of encoded keys and values. */
function mapOf (pairs: readonly Buffer[]): Buffer {
  const count = pairs.length / 2
  return Buffer.concat([Buffer.from([0xde, count >> 8, count & 255]), ...pairs])
}
const wideMap = (nowMs: number, fields: readonly Buffer[]): Buffer => (
  mapOf([...packed('satellite_id', 'B1', 'time', nowMs, METRIC, 1), ...fields]))
const batchOf = (maps: readonly Buffer[]): Buffer => headed(0xdd, maps.length, ...maps)
const unknownKeys = (keys: number): string => Array.from({ length: keys }, () => `"k${count++}":1,`).join('')
const unknownPairs = (keys: number): Buffer[] => Array.from({ length: keys }, () => packed(`k${count++}`, 1)).flat()
const repeatedPairs = (times: number): Buffer[] => Array.from({ length: times }, () => packed(OTHER, 1)).flat()
function frameOfNewSatellites (nowMs: number): Buffer {
  const rows = Array.from({ length: POINTS_MAX }, (_, at) => [freshId(), nowMs * 1_000, at / 1_000_000, 95_001.5])
  return packr.pack([1, 's', 1, 1, rows])
}
/** Wide points, and one narrow one at the end. */
const wideArray = (nowMs: number, fields: string): Buffer => (
  filled(wide(nowMs, fields), '[', `${wide(nowMs, '').slice(0, -1)}]`, POINTS_MAX - 1))

type Recipe = readonly [name: string, format: Format, make: (nowMs: number) => Buffer, path?: Body['path']]
const BODIES: readonly Recipe[] = [
  ['the most points', 'json', (nowMs) => Buffer.from(JSON.stringify(points(nowMs)))],
  ['the most points, with escapes', 'json', (nowMs) => Buffer.from(escaped(JSON.stringify(points(nowMs))))],
  ['the most points', 'ndjson', (nowMs) => Buffer.from(points(nowMs).map((point) => JSON.stringify(point)).join('\n'))],
  ['the most points', 'msgpack', (nowMs) => packr.pack(points(nowMs))],
  ['a frame of the most rows, of new satellites', 'msgpack', frameOfNewSatellites],
  ['repeated fields', 'json', (nowMs) => filled(wide(nowMs, repeated.repeat(35)), '[', '{}]', POINTS_MAX - 1)],
  ['repeated fields', 'msgpack', (nowMs) => (
    batchOf(Array.from({ length: POINTS_MAX }, () => wideMap(nowMs, repeatedPairs(30)))))],
  ['many unknown fields', 'json', (nowMs) => (
    Buffer.from(`[${Array.from({ length: 6_000 }, () => wide(nowMs, unknownKeys(70))).join('').slice(0, -1)}]`))],
  ['many unknown fields', 'msgpack', (nowMs) => (
    batchOf(Array.from({ length: 6_000 }, () => wideMap(nowMs, unknownPairs(90)))))],
  ['empty objects in a field', 'json', (nowMs) => wideArray(nowMs, `"x":[${'{},'.repeat(200)}{}],`)],
  ['white space', 'json', (nowMs) => wideArray(nowMs, ' '.repeat(720))],
  ['empty objects', 'json', () => filled('{},', '[', '{}]')],
  ['open arrays', 'json', () => filled('[')],
  ['digits', 'json', () => filled('9', `{"satellite_id":"B1","${METRIC}":`, '}'), '/telemetry'],
  ['half a million keys', 'json', () => Buffer.from(`{${unknownKeys(500_000).slice(0, -1)}}`), '/telemetry'],
  ['blank lines, then a fault', 'ndjson', () => filled('\n', '', '{}')],
  ['lines that are not JSON', 'ndjson', () => filled('x\n')],
  ['arrays in arrays', 'msgpack', () => Buffer.alloc(BODY_BYTES_MAX, 0x91)],
  ['a frame of more rows than are accepted', 'msgpack', () => (
    headed(0xdd, 483_000, Buffer.alloc(483_000 * 5, Buffer.from([0x93, 0xa1, 0x61, 0xc0, 0x01]))))]
]

export interface Dear<T> {
  readonly name: string
  readonly make: () => T
}

/** @param gzipped which half is compressed: even or odd positions */
export function dearBodies (nowMs: number, gzipped: 0 | 1): Array<Dear<Body>> {
  return BODIES.map(([name, format, make, path = '/telemetry/batch'], at) => {
    const gzip = at % 2 === gzipped
    return {
      name: `${name}, ${format}${gzip ? ', gzip' : ''}`,
      make: () => {
        const plain = make(nowMs)
        const bytes = gzip ? gzipSync(plain, { level: 1 }) : plain
        return { path, format, contentType: CONTENT_TYPES[format], plain, gzip, bytes }
      }
    }
  })
}

export function dearPackets (nowMs: number): Array<Dear<Buffer>> {
  const sender = (): string => `s${count++}`
  const frame = (rows: number, row: () => unknown): Buffer => (
    packr.pack([1, sender(), 1, 0, Array.from({ length: rows }, row)]))
  return [
    { name: 'a packet of new satellites', make: () => frame(PACKET_ROWS, () => [freshId(), nowMs * 1_000, 0.000001]) },
    { name: 'a packet of the most rows', make: () => frame(PACKET_BYTES_MAX / 5 - 10, () => ['P', null, 1]) },
    { name: 'a packet of arrays in arrays', make: () => Buffer.alloc(PACKET_BYTES_MAX, 0x91) },
    {
      name: 'a packet of many fields',
      make: () => (
        batchOf(Array.from({ length: 80 }, () => wideMap(nowMs, unknownPairs(90)))).subarray(0, PACKET_BYTES_MAX))
    }
  ]
}
