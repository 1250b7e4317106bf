/** The cost of refusing the worst bodies, compared with decoding a valid body with the maximum of points. */
import t from 'tap'
import { Packr } from 'msgpackr'
import { POINTS_MAX, PointColumns } from '../../../protocol/columns.js'
import { TELEMETRY } from '../../support/points/built-in.js'
import { BODY_PARTS_MAX, PARTS_MAX } from '../../../protocol/json/json-exact.js'
import { SKIPPED_MAX } from '../../../protocol/packet/msgpack-reader.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../../protocol/json/json.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../../protocol/packet/packet-body.js'
import type { DecodeFault } from '../../../protocol/faults.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

const BODY_BYTES = 8 * 1024 * 1024
const NOW_MICROS = Date.UTC(2026, 10, 23) * 1000
const RULES = { timeWindowPastMs: 86_400_000, timeWindowFutureMs: 60_000, unknownFields: 'reject' as const }
/** Relative to the most expensive valid body; lenient, for busy machines. */
const COST_RATIO_MAX = 4

const packr = new Packr({ useRecords: false })
const satellites = new SatelliteTable()
const columns = new PointColumns(TELEMETRY)
type Decode = typeof decodeJsonBatch

function run (decode: Decode, body: Buffer, unknownFields: 'reject' | 'ignore' = 'reject'): DecodeFault | null {
  return decode(body, NOW_MICROS, { ...RULES, unknownFields }, satellites, columns)
}

/** CPU milliseconds, the minimum of three runs. */
function costMs (task: () => void): number {
  return Math.min(...[1, 2, 3].map(() => {
    const before = process.cpuUsage()
    task()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }))
}

const filled = (text: string, open = '', close = ''): Buffer => {
  const count = Math.floor((BODY_BYTES - open.length - close.length) / text.length)
  return Buffer.from(open + text.repeat(count) + close)
}
const point = (index: number): string => (
  `{"satellite_id":"SAT-${index % 100}","battery_charge_percent":${50 + index % 40}.25,"storage_usage_mb":null}`
)
const valid = Buffer.from('[' + Array.from({ length: POINTS_MAX }, (_, index) => point(index)).join(',') + ']')
const keys = Array.from({ length: 500_000 }, (_, index) => `"k${index}":1`).join(',')
const pairs = Array.from({ length: 2 ** 20 }, (_, index) => {
  const pair = Buffer.from([0xa4, 0, 0, 0, 0, 1])
  pair.write(index.toString(36).padStart(4, '0'), 1)
  return pair
})
const mapOfKeys = Buffer.concat([Buffer.from([0xdf, 0, 0x10, 0, 0]), Buffer.concat(pairs)])
const manyRows = (row: string, rows: number): Buffer => {
  const head = Buffer.from([0x95, 0x01, 0xa1, 0x78, 0x01, 0x00, 0xdd, 0, 0, 0, 0])
  head.writeUInt32BE(rows, 7)
  return Buffer.concat([head, Buffer.alloc(rows * row.length / 2, Buffer.from(row, 'hex'))])
}

const manyMaps = (field: (index: number) => readonly [name: string, value: unknown]): Buffer => {
  const id = Buffer.concat([packr.pack('satellite_id'), packr.pack('a')])
  const maps = Array.from({ length: 9_000 }, (_, point) => {
    const fields = Array.from({ length: 60 }, (_, at) => field(point * 60 + at).map((part) => packr.pack(part))).flat()
    return Buffer.concat([Buffer.from([0xde, 0, 61]), id, ...fields])
  })
  return Buffer.concat([Buffer.from([0xdd, 0, 0, maps.length >> 8, maps.length & 255]), ...maps])
}

/** A point with 60 unknown names. */
const namesIn = (index: number): string => {
  const names = Array.from({ length: 60 }, (_, at) => `"k${index * 60 + at}":1`)
  return `${point(index).slice(0, -1)},${names.join(',')}}`
}
const manyNames = Buffer.from(`[${Array.from({ length: 9_000 }, (_, index) => namesIn(index)).join(',')},x]`)
const longArray = filled('1,', '{"satellite_id":"a","storage_usage_mb":1,"x":[', '1]}')
const nils = Buffer.concat([Buffer.from([0xdd, 0, 0x7f, 0, 0]), Buffer.alloc(0x7f0000, 0xc0)])

const HOSTILE: ReadonlyArray<readonly [name: string, decode: Decode, body: Buffer, unknownFields?: 'ignore']> = [
  ['empty objects', decodeJsonBatch, filled('{},', '[', '{}]')],
  ['empty arrays', decodeJsonBatch, filled('[],', '[', '[]]')],
  ['numbers', decodeJsonBatch, filled('1,', '[', '1]')],
  ['one object with many keys', decodeJsonPoint, Buffer.from(`{${keys}}`)],
  ['many keys in a batch', decodeJsonBatch, Buffer.from(`[{${keys}}]`)],
  ['many keys, ignored', decodeJsonBatch, Buffer.from(`[{${keys}}]`), 'ignore'],
  ['a field with many elements, ignored', decodeJsonPoint, longArray, 'ignore'],
  ['brackets', decodeJsonBatch, filled('[')],
  ['an unterminated string', decodeJsonBatch, filled('\\\\', '["')],
  ['escapes', decodeJsonPoint, filled('\\u0041', '{"satellite_id":"', '"}')],
  ['digits', decodeJsonPoint, filled('9', '{"satellite_id":"a","storage_usage_mb":', '}')],
  ['a long time', decodeJsonPoint, filled('9', '{"satellite_id":"a","time":"2026-11-23T00:00:00.', 'Z"}')],
  ['not a batch', decodeJsonBatch, filled('1,', '{"a":[', '1]}')],
  ['valid points, then a fault', decodeJsonBatch, Buffer.concat([valid.subarray(0, -1), Buffer.from(',{}]')])],
  ['lines of empty objects', decodeNdjson, filled('{}\n')],
  ['blank lines, then a fault', decodeNdjson, filled('\n', '', '{}')],
  ['lines with white space, then a fault', decodeNdjson, filled(' \n', '', '{}')],
  ['invalid lines', decodeNdjson, filled('x\n')],
  ['many names in each point, then a fault', decodeJsonBatch, manyNames, 'ignore'],
  ['msgpack: many names in each point', decodeMsgpackBatch, manyMaps((index) => [`k${index}`, 1]), 'ignore'],
  ['msgpack: nils', decodeMsgpackBatch, nils],
  ['msgpack: a map with many keys', decodeMsgpackPoint, mapOfKeys],
  ['msgpack: a frame of nils', decodeMsgpackBatch, manyRows('c0', 99_999)],
  ['msgpack: a frame of too many rows', decodeMsgpackBatch, manyRows('93a161c001', 483_000)]
]

t.test('invalid bodies cost no more than valid ones', t => {
  const costliest = Buffer.from(valid.toString().replaceAll('SAT', '\\u0053AT'))
  t.equal(run(decodeJsonBatch, costliest), null)
  const boundMs = COST_RATIO_MAX * costMs(() => run(decodeJsonBatch, costliest))
  for (const [name, decode, body, unknownFields] of HOSTILE) {
    let fault: DecodeFault | null = null
    const spentMs = costMs(() => { fault = run(decode, body, unknownFields) })
    t.ok(fault, `${name}: refused`)
    t.ok(spentMs <= boundMs, `${name}: ${spentMs.toFixed(0)} ms of CPU, at most ${boundMs.toFixed(0)}`)
    t.equal(columns.count, 0)
  }
  t.end()
})

t.test('the maximum of points, and one more', t => {
  const bodies = (count: number): Array<readonly [Decode, Buffer]> => {
    const points = Array.from({ length: count }, (_, index) => point(index))
    // The fast path does not support escapes.
    const exact = points.map((text) => text.replace('SAT', '\\u0053AT'))
    return [
      [decodeJsonBatch, Buffer.from(`[${points.join(',')}]`)], [decodeNdjson, Buffer.from(points.join('\n'))],
      [decodeJsonBatch, Buffer.from(`[${exact.join(',')}]`)], [decodeNdjson, Buffer.from(exact.join('\n'))],
      [decodeMsgpackBatch, manyRows('93a161c001', count)]
    ]
  }
  for (const [decode, body] of bodies(POINTS_MAX)) {
    t.equal(run(decode, body), null)
    t.equal(columns.count, POINTS_MAX)
  }
  for (const [decode, body] of bodies(POINTS_MAX + 1)) {
    t.match(run(decode, body), { code: 'body_too_large', message: new RegExp(`more than ${POINTS_MAX} points`) })
    t.equal(columns.count, 0)
  }
  t.end()
})

t.test('the maximum of fields and elements of all points, and one more', t => {
  const tooLarge = (message: RegExp): object => ({ code: 'body_too_large', message })
  const body = (more: string): string[] => Array.from({ length: BODY_PARTS_MAX / 500 }, (_, index) => (
    `{"satellite_id":"a","storage_usage_mb":1,"x":[${'1,'.repeat(496)}1${index === 0 ? more : ''}]}`
  ))
  const forms = [
    [decodeJsonBatch, (points: string[]) => `[${points.join()}]`],
    [decodeNdjson, (points: string[]) => points.join('\n')]
  ] as const
  for (const [decode, join] of forms) {
    t.equal(run(decode, Buffer.from(join(body(''))), 'ignore'), null)
    const fault = run(decode, Buffer.from(join(body(',1'))), 'ignore')
    t.match(fault, tooLarge(/more than 150000 fields and elements/))
  }
  const nested = (values: number): Buffer => Buffer.concat([
    Buffer.from([0x91, 0x83]),
    packr.pack('satellite_id'),
    packr.pack('a'),
    packr.pack('storage_usage_mb'),
    Buffer.from([1, 0xa1, 0x78, 0xdd, 0, values >> 16, values >> 8 & 255, values & 255]),
    Buffer.alloc(values, 0xc0)
  ])
  t.equal(run(decodeMsgpackBatch, nested(SKIPPED_MAX - 7), 'ignore'), null)
  t.match(run(decodeMsgpackBatch, nested(SKIPPED_MAX - 6), 'ignore'), tooLarge(/more than 500000 values/))
  t.end()
})

t.test('the maximum of parts of a point, and one more', t => {
  const body = (parts: number): Buffer => (
    Buffer.from(`{"satellite_id":"a","storage_usage_mb":1,"x":[${'1,'.repeat(parts - 2)}1]}`)
  )
  t.equal(run(decodeJsonPoint, body(PARTS_MAX), 'ignore'), null)
  const fault = run(decodeJsonPoint, body(PARTS_MAX + 1), 'ignore')
  t.match(fault, { code: 'invalid_json', message: /more than 1000 fields and elements/ })
  t.end()
})
