/**
 * The dearest input that we know, of each kind: the most points that are taken, in every format, and what is large, deep or
 * repeated for no purpose. Made anew for each try, since what came before may cost less.
 */
import { gzipSync } from 'node:zlib'
import { Packr } from 'msgpackr'
import { POINTS_MAX } from '../../protocol/columns.js'
import { METRICS } from '../../protocol/metrics.js'
import { PACKET_BYTES_MAX } from '../../protocol/packet/packet.js'
import type { Body, Format } from './inputs.js'

const BODY_BYTES_MAX = 8 * 1024 * 1024
const PACKET_ROWS = 850
const packr = new Packr({ useRecords: false })
const [METRIC, OTHER] = METRICS.map(({ name }) => name) as [string, string]
const TYPES: Readonly<Record<Format, string>> = { json: 'application/json', ndjson: 'application/x-ndjson', msgpack: 'application/msgpack' }

let count = 0
const freshId = (): string => `B${'x'.repeat(40)}${count++}`

/** A head with an element count of 32 bits. */
function headed (type: number, elements: number, ...rest: readonly Buffer[]): Buffer {
  const head = Buffer.from([type, 0, 0, 0, 0])
  head.writeUInt32BE(elements, 1)
  return Buffer.concat([head, ...rest])
}

/** As often as a body holds it, and at most so often. */
function filled (text: string, open = '', close = '', timesMax = Infinity): Buffer {
  return Buffer.from(open + text.repeat(Math.min(timesMax, Math.floor((BODY_BYTES_MAX - open.length - close.length) / text.length))) + close)
}

const points = (nowMs: number): Array<Record<string, unknown>> =>
  Array.from({ length: POINTS_MAX }, (_, at) => ({ satellite_id: `B${at % 5_000}`, time: nowMs, [METRIC]: at / 1_000_000, [OTHER]: 95_001.5 + at }))
/** What the fast path does not read. */
const escaped = (text: string): string => text.replaceAll('"B', '"\\u0042')
/** One point, with as many bytes of other fields as the most points of a body may have. */
const wide = (nowMs: number, fields: string): string => `{"satellite_id":"B1","time":${nowMs},${fields}"${METRIC}":1},`
const repeated = `"${OTHER}":1,`
const mapOf = (pairs: readonly Buffer[]): Buffer => Buffer.concat([Buffer.from([0xde, pairs.length / 2 >> 8, pairs.length / 2 & 255]), ...pairs])
const text = (value: unknown): Buffer => packr.pack(value)
const wideMap = (nowMs: number, fields: readonly Buffer[]): Buffer => mapOf([text('satellite_id'), text('B1'), text('time'), text(nowMs), text(METRIC), text(1), ...fields])
const batchOf = (maps: readonly Buffer[]): Buffer => headed(0xdd, maps.length, ...maps)
const unknownKeys = (keys: number): string => Array.from({ length: keys }, () => `"k${count++}":1,`).join('')
const unknownPairs = (keys: number): Buffer[] => Array.from({ length: keys }, () => [text(`k${count++}`), text(1)]).flat()

const BODIES: ReadonlyArray<readonly [name: string, format: Format, make: (nowMs: number) => Buffer, path?: Body['path']]> = [
  ['the most points', 'json', (nowMs) => Buffer.from(JSON.stringify(points(nowMs)))],
  ['the most points, with escapes', 'json', (nowMs) => Buffer.from(escaped(JSON.stringify(points(nowMs))))],
  ['the most points', 'ndjson', (nowMs) => Buffer.from(points(nowMs).map((point) => JSON.stringify(point)).join('\n'))],
  ['the most points', 'msgpack', (nowMs) => packr.pack(points(nowMs))],
  ['a frame of the most rows, of new satellites', 'msgpack', (nowMs) => packr.pack([1, 's', 1, 1, Array.from({ length: POINTS_MAX }, (_, at) => [freshId(), nowMs * 1_000, at / 1_000_000, 95_001.5])])],
  ['fields that come again and again', 'json', (nowMs) => filled(wide(nowMs, repeated.repeat(35)), '[', '{}]', POINTS_MAX - 1)],
  ['fields that come again and again', 'msgpack', (nowMs) => batchOf(Array.from({ length: POINTS_MAX }, () => wideMap(nowMs, Array.from({ length: 30 }, () => [text(OTHER), text(1)]).flat())))],
  ['many unknown fields', 'json', (nowMs) => Buffer.from(`[${Array.from({ length: 6_000 }, () => wide(nowMs, unknownKeys(70))).join('').slice(0, -1)}]`)],
  ['many unknown fields', 'msgpack', (nowMs) => batchOf(Array.from({ length: 6_000 }, () => wideMap(nowMs, unknownPairs(90))))],
  ['empty objects in a field', 'json', (nowMs) => filled(wide(nowMs, `"x":[${'{},'.repeat(200)}{}],`), '[', `${wide(nowMs, '').slice(0, -1)}]`, POINTS_MAX - 1)],
  ['white space', 'json', (nowMs) => filled(wide(nowMs, ' '.repeat(720)), '[', `${wide(nowMs, '').slice(0, -1)}]`, POINTS_MAX - 1)],
  ['empty objects', 'json', () => filled('{},', '[', '{}]')],
  ['open arrays', 'json', () => filled('[')],
  ['digits', 'json', () => filled('9', `{"satellite_id":"B1","${METRIC}":`, '}'), '/telemetry'],
  ['half a million keys', 'json', () => Buffer.from(`{${unknownKeys(500_000).slice(0, -1)}}`), '/telemetry'],
  ['blank lines, then a fault', 'ndjson', () => filled('\n', '', '{}')],
  ['lines that are no JSON', 'ndjson', () => filled('x\n')],
  ['arrays in arrays', 'msgpack', () => Buffer.alloc(BODY_BYTES_MAX, 0x91)],
  ['a frame of more rows than are taken', 'msgpack', () => headed(0xdd, 483_000, Buffer.alloc(483_000 * 5, Buffer.from([0x93, 0xa1, 0x61, 0xc0, 0x01])))]
]

export interface Dear<T> {
  readonly name: string
  readonly make: () => T
}

/** @param gzipped which half of them comes with gzip: those of even or of odd position */
export function dearBodies (nowMs: number, gzipped: 0 | 1): Array<Dear<Body>> {
  return BODIES.map(([name, format, make, path = '/telemetry/batch'], at) => {
    const gzip = at % 2 === gzipped
    return {
      name: `${name}, ${format}${gzip ? ', gzip' : ''}`,
      make: () => {
        const plain = make(nowMs)
        return { path, format, contentType: TYPES[format], plain, gzip, bytes: gzip ? gzipSync(plain, { level: 1 }) : plain }
      }
    }
  })
}

export function dearPackets (nowMs: number): Array<Dear<Buffer>> {
  const sender = (): string => `s${count++}`
  return [
    { name: 'a packet of new satellites', make: () => packr.pack([1, sender(), 1, 0, Array.from({ length: PACKET_ROWS }, () => [freshId(), nowMs * 1_000, 0.000001])]) },
    { name: 'a packet of the most rows', make: () => packr.pack([1, sender(), 1, 0, Array.from({ length: PACKET_BYTES_MAX / 5 - 10 }, () => ['P', null, 1])]) },
    { name: 'a packet of arrays in arrays', make: () => Buffer.alloc(PACKET_BYTES_MAX, 0x91) },
    { name: 'a packet of many fields', make: () => batchOf(Array.from({ length: 80 }, () => wideMap(nowMs, unknownPairs(90)))).subarray(0, PACKET_BYTES_MAX) }
  ]
}
