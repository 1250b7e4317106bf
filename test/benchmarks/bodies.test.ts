import t from 'tap'
import { gunzipSync } from 'node:zlib'
import { encodeBody, encodeJsonWithoutTime, prepareRequest, type Format } from '../../benchmarks/bodies.js'
import { pointOf, pointsOf, POINT_NUMBER_MAX } from '../../benchmarks/points.js'
import { PointColumns } from '../../protocol/columns.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../protocol/json/json.js'
import { decodeMsgpackBatch } from '../../protocol/packet/packet-body.js'
import { METRICS, TELEMETRY } from '../support/points/built-in.js'
import { SatelliteTable } from '../../protocol/satellites.js'

const RULES = { timeWindowPastMs: 60_000, timeWindowFutureMs: 60_000, unknownFields: 'reject' } as const
const NOW_MS = 1_795_000_000_000
const points = pointsOf({ satellites: 7, bodies: 3, batch: 50 }, 2)

const DECODERS = { json: decodeJsonBatch, ndjson: decodeNdjson, msgpack: decodeMsgpackBatch } as const

function bodyOf (request: Buffer): Buffer {
  return request.subarray(request.indexOf('\r\n\r\n') + 4)
}

for (const format of ['json', 'ndjson', 'msgpack'] as const) {
  t.test(`the server accepts a refreshed ${format} request, with the given time`, t => {
    const request = prepareRequest({ host: '127.0.0.1', port: 1, path: '/telemetry/batch', format }, points, false)
    const columns = new PointColumns(TELEMETRY)
    for (const nowMs of [NOW_MS, NOW_MS + 12_345]) {
      request.refresh(nowMs)
      const fault = DECODERS[format](
        Buffer.from(bodyOf(request.bytes)),
        NOW_MS * 1000,
        RULES,
        new SatelliteTable(),
        columns
      )
      t.equal(fault, null)
      t.equal(columns.count, 50)
      t.ok(columns.timesMicros.subarray(0, 50).every(micros => micros === nowMs * 1000))
      t.same(columns.satellites.slice(0, 50).map(({ id }) => id), points.map(({ satelliteId }) => satelliteId))
      t.same([
        ...columns.values.subarray(0, 150)
      ], points.flatMap(({ battery, storage, signal }) => [battery, storage, signal]))
    }
    const head = request.bytes.toString('latin1', 0, request.bytes.indexOf('\r\n\r\n'))
    t.match(head, new RegExp(`Content-Length: ${bodyOf(request.bytes).length}(\r|$)`))
    t.end()
  })
}

t.test('one point is an object', t => {
  const columns = new PointColumns(TELEMETRY)
  t.equal(decodeJsonPoint(
    encodeJsonWithoutTime(points.slice(0, 1), true),
    NOW_MS * 1000,
    RULES,
    new SatelliteTable(),
    columns
  ), null)
  t.equal(columns.timesMicros[0], NOW_MS * 1000)
  t.end()
})

t.test('gzip contains the same points, without times', t => {
  const unpacked = JSON.parse(
    gunzipSync(encodeBody('gzip', points, false)).toString()
  ) as Array<Record<string, unknown>>
  t.same(Object.keys(unpacked[0] ?? {}), ['satellite_id', ...METRICS.map(({ name }) => name)])
  t.equal(unpacked.length, 50)
  t.end()
})

t.test('line protocol has one line per point, and headers are sent', t => {
  const request = prepareRequest({
    host: 'h',
    port: 1,
    path: '/w',
    format: 'line',
    headers: { Authorization: 'Token x' }
  }, points.slice(0, 2), false)
  request.refresh(NOW_MS)
  t.match(request.bytes.toString(), /\r\nAuthorization: Token x\r\n/)
  t.match(bodyOf(request.bytes).toString(), new RegExp('^(telemetry,satellite_id=SAT-0000\\d ' +
    `battery_charge_percent=[\\d.]+,storage_usage_mb=[\\d.]+,signal_strength_dbm=-[\\d.]+ ${NOW_MS}\\d{6}\\n){2}$`))
  t.end()
})

t.test('in line protocol, points of a satellite have distinct times, even across requests in a millisecond', t => {
  const target = { host: 'h', port: 1, path: '/w', format: 'line' } as const
  const requests = [0, 1, 2].map((body) =>
    prepareRequest(target, pointsOf({ satellites: 7, bodies: 3, batch: 50 }, body), false))
  const series = requests.flatMap((request) => {
    request.refresh(NOW_MS)
    return bodyOf(request.bytes).toString().trimEnd().split('\n').map((line) => line.replace(/ .* /, ' '))
  })
  t.equal(new Set(series).size, 150)
  t.end()
})

t.test('a request has a new time each time it is sent', t => {
  const request = prepareRequest({ host: 'h', port: 1, path: '/w', format: 'json' }, points.slice(0, 1), true)
  const times = [NOW_MS, NOW_MS, NOW_MS - 5].map((nowMs) => {
    request.refresh(nowMs)
    return (JSON.parse(bodyOf(request.bytes).toString()) as { time: number }).time
  })
  t.same(times, [NOW_MS, NOW_MS + 1, NOW_MS + 2])
  t.end()
})

t.test('values are short, and on the good side of their limits', t => {
  for (let number = 0; number <= POINT_NUMBER_MAX; number += 7) {
    const { battery, storage, signal } = pointOf(number, 100)
    for (const value of [battery, storage, signal]) if (String(value).length > 8) t.fail(`${value} is long`)
    if (battery < 10 || storage > 95_000 || signal < -100) t.fail(`point ${number} breaks a limit`)
    if (storage * 2 !== number) t.fail(`point ${number} cannot be told`)
  }
  t.throws(() => pointOf(POINT_NUMBER_MAX + 1, 100), RangeError)
  t.end()
})

const formats: Format[] = ['json', 'ndjson', 'msgpack', 'gzip', 'line']
t.test('every format has a body', t => {
  for (const format of formats) t.ok(encodeBody(format, points, false).length > 0)
  t.end()
})
