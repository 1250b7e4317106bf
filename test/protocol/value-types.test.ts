/** What senders may write for metrics of each type, in every format. */
import t from 'tap'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { PointColumns } from '../../protocol/columns.js'
import { decodeJsonBatch, decodeNdjson } from '../../protocol/json/json.js'
import { readBatchFast } from '../../protocol/json/json-fast.js'
import { decodePacket } from '../../protocol/packet/packet.js'
import type { DecodeRules } from '../../protocol/point.js'
import { ValueType } from '../../protocol/value-types.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { RowBuffer, rowToPoint } from '../../lib/pipeline/rows/rows.js'
import { RangeCheck } from '../../lib/pipeline/range-check.js'
import { splitRows } from '../../lib/drain/poison.js'
import { anyCatalogue, catalogueOf } from '../support/points/catalogues.js'
import { DECODERS, anyPoints, withRefused } from '../support/points/typed-points.js'

const NOW_MS = Date.UTC(2026, 10, 27)
const RULES: DecodeRules = { timeWindowPastMs: 86_400_000, timeWindowFutureMs: 86_400_000, unknownFields: 'reject' }
const packr = new Packr({ useRecords: false })
const satellites = new SatelliteTable()

t.test('property: every decoder yields the values that were sent, and rows keep them', (t) => {
  const anyCase = anyCatalogue.chain(({ streams }) => fc.constantFrom(...streams)).chain((stream) => (
    fc.tuple(fc.constant(stream), anyPoints(stream, NOW_MS, 5))))
  fc.assert(fc.property(anyCase, ([stream, points]) => {
    const { schema, metrics } = stream
    for (const [name, decode] of Object.entries(DECODERS)) {
      const columns = new PointColumns(schema, 1)
      const fault = decode(stream, points, NOW_MS, satellites, columns)
      if (fault !== null) throw new Error(`${name}: ${JSON.stringify(fault)}`)
      RangeCheck.of(stream)?.check(columns)
      const decoded = columns.values.subarray(0, columns.count * metrics.length)
      const wanted = points.flatMap(({ values }) => values)
      if (!wanted.every((value, at) => Object.is(decoded[at], value))) throw new Error(`${name}: ${decoded.join()}`)
      const buffer = new RowBuffer(16)
      buffer.append(columns)
      satellites.keep()
      for (const [index, row] of splitRows([buffer.take()]).entries()) {
        const read = rowToPoint(row, schema)
        const values = metrics.map(({ name }) => read[name] === null ? NaN : Number(read[name]))
        if (!values.every((value, at) => Object.is(value, points[index]?.values[at]))) throw new Error(`row: ${name}`)
      }
    }
  }), { numRuns: 40, endOnFailure: true })
  t.end()
})

t.test('property: every decoder refuses a value outside a range that says so, and names it', (t) => {
  const anyCase = anyCatalogue.chain(({ streams }) => fc.constantFrom(...streams)).chain((stream) => (
    fc.tuple(fc.constant(stream), anyPoints(stream, NOW_MS, 3))))
  let refusals = 0
  fc.assert(fc.property(anyCase, ([stream, points]) => {
    const index = stream.metrics.findIndex(({ range }) => range?.outside === 'refuse')
    const metric = stream.metrics[index]
    if (metric === undefined) return
    const faulty = points.map((point) => withRefused(point, metric, index)!)
    for (const [name, decode] of Object.entries(DECODERS)) {
      const columns = new PointColumns(stream.schema, 1)
      const fault = decode(stream, [...faulty.slice(0, 1)], NOW_MS, satellites, columns)
      const found = JSON.stringify(fault)
      refusals++
      if (columns.count > 0) throw new Error(`${name}: ${columns.count} points`)
      const parts = ['"index":0', `"field":"${metric.name}"`, 'its valid range']
      if (!parts.every((part) => found.includes(part))) throw new Error(`${name}: ${found}`)
    }
  }), { numRuns: 15, endOnFailure: true })
  t.ok(refusals > 0)
  t.end()
})

t.test('property: what is shown may be sent, and is the same', (t) => {
  const anyCase = anyCatalogue.chain(({ streams }) => fc.constantFrom(...streams)).chain((stream) => (
    fc.tuple(fc.constant(stream), anyPoints(stream, NOW_MS, 5))))
  fc.assert(fc.property(anyCase, ([{ typed }, points]) => points.every(({ values }) => (
    typed.every(({ type }, index) => Number.isNaN(values[index]) ||
      Object.is(type.read(JSON.parse(JSON.stringify(type.show(values[index]!)))) + 0, values[index]! + 0))
  ))), { numRuns: 40 })
  t.equal(new ValueType('float32').show(Math.fround(0.1)), 0.1)
  t.equal(new ValueType('state', [{ name: 'ON', value: 1 }]).show(2), 2, 'a state that only a later catalogue has')
  t.end()
})

const CATALOGUE = catalogueOf(
  'f: { id: 1 }', 'r: { id: 2, type: float32 }', 'i: { id: 3, type: int }', 'b: { id: 4, type: bool }',
  's: { id: 5, type: state, states: { SAFE: 0, NOMINAL: 1, LOST: -7 } }')
const { schema } = CATALOGUE.telemetry

t.test('a value of another type, or outside its range: 400 with index, field, and what is expected', (t) => {
  const cases: ReadonlyArray<readonly [field: string, value: unknown, message: RegExp]> = [
    ['r', 3.5e38, /^must be a number within ±3.4e38, the range of 32-bit floats, or null, but is 3.5e\+38$/],
    ['r', true, /but is a boolean$/],
    ['i', 1.5, /^must be a whole number between -2\^53 and 2\^53 or null, but is 1.5$/],
    ['i', 2 ** 53, /but is 9007199254740992$/],
    ['i', -(2 ** 60), /^must be a whole number/],
    ['i', '7', /but is a string; send it without quotes$/],
    ['b', 2, /^must be true, false, 1, 0 or null, but is 2$/],
    ['b', 'true', /but is a string; send it without quotes$/],
    ['b', [], /but is an array$/],
    ['s', 2, /^must be one of the states LOST, SAFE, NOMINAL, by name or number, or null, but is 2$/],
    ['s', 'NOMINL', /but is a string; did you mean NOMINAL\?$/],
    ['s', 'x'.repeat(1_000), /but is a string$/],
    ['s', false, /but is a boolean$/],
    ['f', 'SAFE', /^must be a finite number or null, but is a string; send it without quotes$/],
    ['f', true, /but is a boolean$/]
  ]
  for (const [field, value, message] of cases) {
    const points = [{ satellite_id: 'A', f: 1 }, { satellite_id: 'A', f: 1, [field]: value }]
    const columns = new PointColumns(schema)
    const texts = points.map((point) => JSON.stringify(point))
    const expected = { code: 'invalid_point', details: [{ index: 1, field, message }] }
    const name = `${field} ${JSON.stringify(value).slice(0, 20)}`
    const json = Buffer.from(`[${texts.join()}]`)
    t.match(decodeJsonBatch(json, NOW_MS * 1000, RULES, satellites, columns), expected, name)
    t.match(decodeNdjson(Buffer.from(texts.join('\n')), NOW_MS * 1000, RULES, satellites, columns), expected, name)
    t.match(
      decodePacket(packr.pack(points), NOW_MS * 1000, RULES, satellites, columns), { fault: expected }, `${name} map`)
    const rowMessage = new RegExp(`^must be .* or nil${/; .*/.exec(message.source)?.[0] ?? '$'}`)
    const row = ['A', null, 1, null, null, null, null]
    const bad = row.with(2 + schema.metrics.indexOf(field), value as string)
    t.match(
      decodePacket(packr.pack([1, 's', 1, 0, [row, bad]]), NOW_MS * 1000, RULES, satellites, columns),
      { fault: { details: [{ index: 1, field, message: rowMessage }] } }, `${name} row`)
    t.equal(columns.count, 0)
  }
  t.end()
})

t.test('the fast path reads words, and leaves only what is unusual to the exact one', (t) => {
  const read = (fields: string): readonly [string, number[]] => {
    const columns = new PointColumns(schema)
    const body = Buffer.from(`[{"satellite_id":"A",${fields}}]`)
    return [readBatchFast(body, NOW_MS * 1000, RULES, satellites, columns), [...columns.values.subarray(0, 5)]]
  }
  t.same(read('"b":true,"s":"LOST","i":-0,"r":0.1'), ['done', [NaN, Math.fround(0.1), 0, 1, -7]])
  t.same(read('"b": false , "s": 1 , "i": 1e3'), ['done', [NaN, NaN, 1000, 0, 1]])
  t.same(read('"s":"SAFE","b":null'), ['done', [NaN, NaN, NaN, NaN, 0]])
  for (const odd of [
    '"b":tru', '"b":truex', '"s":"S\\u0041FE"', '"s":"SAF', '"s":SAFE', '"f":true', '"s":true', '"b":"a"',
    '"i":9007199254740993', '"i":-9007199254740993', '"i":0.5', '"r":3.5e38', '"s":"LOS"', '"s":5', '"b":2'
  ]) {
    t.equal(read(odd)[0], 'unsure', odd)
  }
  t.end()
})

t.test('property: no bytes of a body or packet end in an exception', (t) => {
  const anyJson = fc.json().map((text) => Buffer.from(`[{"satellite_id":"A","s":${text},"b":${text},"i":${text}}]`))
  fc.assert(fc.property(anyJson, fc.anything(), fc.uint8Array({ maxLength: 40 }), (json, value, tail) => {
    const columns = new PointColumns(schema)
    decodeJsonBatch(json, NOW_MS * 1000, RULES, satellites, columns)
    const packet = packr.pack([1, 's', 1, 0, [['A', null, 1, 2, 3, 1, 'SAFE']]])
    for (const body of [Buffer.concat([packet.subarray(0, packet.length - tail.length % 20), tail])]) {
      decodePacket(body, NOW_MS * 1000, RULES, satellites, columns)
    }
    return value !== columns
  }), { numRuns: 300 })
  t.end()
})
