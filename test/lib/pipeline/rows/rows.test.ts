import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { PointColumns } from '../../../../protocol/columns.js'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../../support/points/built-in.js'
import { SatelliteTable, type Satellite } from '../../../../protocol/satellites.js'
import { RowBuffer, rowColumns, rowEnd, rowTimeMicros, rowToPoint } from '../../../../lib/pipeline/rows/rows.js'
import {
  decodeRows, encodeRow, metricValues, rowText, satelliteIds, timesMicros
} from '../../../support/points/rows.js'

interface Point { id: string, micros: number, values: Array<number | null> }

const points: fc.Arbitrary<Point> = fc.record({ id: satelliteIds, micros: timesMicros, values: metricValues })
const table = new SatelliteTable()

function satelliteOf (id: string): Satellite {
  const satellite = table.byId(id)
  if (satellite === null) throw new Error(`not a valid id: ${id}`)
  return satellite
}

function columnsOf (list: readonly Point[], columns = new PointColumns(TELEMETRY, 2)): PointColumns {
  columns.clear()
  for (const { id, micros, values } of list) {
    const at = columns.push(satelliteOf(id), micros) * METRIC_COUNT
    values.forEach((value, metric) => { columns.values[at + metric] = value ?? NaN })
  }
  return columns
}

function textOf ({ id, micros, values }: Point): string {
  return rowText({ id: Buffer.from(id), timeMicros: BigInt(micros), values })
}

t.test('a row has the columns of the table, time and satellite first', (t) => {
  t.strictSame(rowColumns(TELEMETRY), ['time', 'satellite_id', ...METRICS.map(({ name }) => name)])
  t.end()
})

t.test('appended points are read back in order, however the buffer grows', (t) => {
  const bodies = fc.array(fc.array(points, { maxLength: 20 }), { maxLength: 6 })
  fc.assert(fc.property(bodies, fc.integer({ min: 0, max: 600 }), (bodies, bytesExpected) => {
    const buffer = new RowBuffer(bytesExpected)
    const columns = new PointColumns(TELEMETRY, 1)
    for (const body of bodies) buffer.append(columnsOf(body, columns))
    const all = bodies.flat()
    assert.equal(buffer.rows, all.length)
    const { bytes } = buffer
    const payload = buffer.take()
    assert.equal(payload.length, bytes)
    assert.deepEqual(decodeRows(payload).map(rowText), all.map(textOf))
  }))
  t.pass()
  t.end()
})

t.test('the bytes are exactly those of the PostgreSQL manual', (t) => {
  fc.assert(fc.property(points, (point) => {
    const buffer = new RowBuffer(1)
    buffer.append(columnsOf([point]))
    const expected = encodeRow({ id: Buffer.from(point.id), timeMicros: BigInt(point.micros), values: point.values })
    assert.equal(buffer.take().toString('hex'), expected.toString('hex'))
  }))
  t.pass()
  t.end()
})

t.test('take starts over and never touches earlier payloads', (t) => {
  const batches = fc.array(fc.array(points, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 8 })
  fc.assert(fc.property(batches, (batches) => {
    const buffer = new RowBuffer(64)
    const taken = batches.map((batch) => {
      buffer.append(columnsOf(batch))
      const payload = buffer.take()
      assert.equal(buffer.rows, 0)
      assert.equal(buffer.bytes, 0)
      return payload
    })
    const texts = taken.map((payload) => decodeRows(payload).map(rowText))
    assert.deepEqual(texts, batches.map((batch) => batch.map(textOf)))
  }))
  t.pass()
  t.end()
})

t.test('a payload takes at most twice its size in memory, whatever came before', (t) => {
  const buffer = new RowBuffer(64 * 1024)
  for (const rows of [1, 10_000, 1, 1, 300, 9_000, 5_000, 1, 1]) {
    const batch = Array.from({ length: rows }, (_, i) => ({ id: 'SAT', micros: 1.7e15 + i, values: [i, 1, 2] }))
    buffer.append(columnsOf(batch))
    const payload = buffer.take()
    t.equal(decodeRows(payload).length, rows)
    t.ok(payload.buffer.byteLength <= 2 * payload.length, `${payload.buffer.byteLength} for ${payload.length}`)
  }
  t.end()
})

t.test('an empty take is empty', (t) => {
  t.equal(new RowBuffer(64).take().length, 0)
  t.end()
})

t.test('a body many times larger than the buffer', (t) => {
  const many = Array.from({ length: 20_000 }, (_, i) => (
    { id: `SAT-${i % 7}`, micros: 1.7e15 + i, values: [i, null, -i] }
  ))
  const buffer = new RowBuffer(64 * 1024)
  buffer.append(columnsOf(many))
  t.strictSame(decodeRows(buffer.take()).map(rowText), many.map(textOf))
  t.end()
})

t.test('rowEnd and rowTimeMicros walk a batch at any offset in its memory', (t) => {
  const lists = fc.array(points, { minLength: 1, maxLength: 12 })
  fc.assert(fc.property(lists, fc.integer({ min: 0, max: 9 }), (list, shift) => {
    const rows = list.map(({ id, micros, values }) => (
      encodeRow({ id: Buffer.from(id), timeMicros: BigInt(micros), values })
    ))
    const whole = Buffer.concat([Buffer.alloc(shift, 0xff), ...rows])
    const payload = whole.subarray(shift)
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
    let at = 0
    list.forEach(({ micros }, i) => {
      assert.equal(rowTimeMicros(view, at), micros)
      assert.equal(rowEnd(view, at), at + rows[i]!.length)
      at = rowEnd(view, at)
    })
    assert.equal(at, payload.length)
  }))
  t.pass()
  t.end()
})

t.test('rowToPoint shows satellite, time to the microsecond, and metrics', (t) => {
  fc.assert(fc.property(points, ({ id, micros, values }) => {
    const row = encodeRow({ id: Buffer.from(id), timeMicros: BigInt(micros), values })
    const point = rowToPoint(Buffer.concat([Buffer.alloc(3), row]).subarray(3), TELEMETRY)
    assert.equal(point['satellite_id'], id)
    METRICS.forEach(({ name }, metric) => { assert.ok(Object.is(point[name], values[metric]), name) })
    const time = String(point['time'])
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    const whole = BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1000n + BigInt(time.slice(20, 26))
    assert.equal(whole, BigInt(micros))
  }))
  t.pass()
  t.end()
})

t.test('rowToPoint gives null for a time out of range', (t) => {
  const epochMicros = 946_684_800_000_000n
  for (const micros of [-(2n ** 63n), 2n ** 63n - 1n]) {
    const timeMicros = BigInt.asIntN(64, micros - epochMicros) + epochMicros
    const row = encodeRow({ id: Buffer.from('A'), timeMicros, values: [1, null, null] })
    const [first, second, third] = METRICS
    const expected = { satellite_id: 'A', time: null, [first.name]: 1, [second.name]: null, [third.name]: null }
    t.strictSame(rowToPoint(row, TELEMETRY), expected)
  }
  t.end()
})
