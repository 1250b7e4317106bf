/** Every decoder turns points of any schema into the same rows, with the values sent. */
import t from 'tap'
import { catalogueOf } from '../../../support/points/catalogues.js'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { PointColumns } from '../../../../protocol/columns.js'
import { decodeJsonBatch, decodeNdjson } from '../../../../protocol/json/json.js'
import { readBatchFast } from '../../../../protocol/json/json-fast.js'
import { decodePacket } from '../../../../protocol/packet/packet.js'
import { PacketEncoder } from '../../../../protocol/packet/packet-encoder.js'
import type { DecodeRules } from '../../../../protocol/point.js'
import { SatelliteTable } from '../../../../protocol/satellites.js'
import { PointSchema } from '../../../../protocol/schema.js'
import { LimitTable } from '../../../../lib/limits/limit-table.js'
import { AnomalyColumns } from '../../../../lib/limits/anomaly-columns.js'
import { BATCH_BYTES_MAX, Batcher, pointBytesMax } from '../../../../lib/pipeline/batcher.js'
import { JournalListeners } from '../../../../lib/journal/journal.js'
import type { ClosedBatch, Journal } from '../../../../lib/journal/journal.js'
import { RowBuffer, rowToPoint } from '../../../../lib/pipeline/rows/rows.js'
import { splitRows } from '../../../../lib/drain/poison.js'
import { anyMetricNames } from '../../../support/points/schemas.js'

const NOW_MS = Date.UTC(2026, 10, 27)
const RULES: DecodeRules = { timeWindowPastMs: 86_400_000, timeWindowFutureMs: 86_400_000, unknownFields: 'reject' }
const packr = new Packr({ useRecords: false })
const satellites = new SatelliteTable()

/** By name; absent means null. */
type Point = Readonly<Record<string, string | number>>

/** msgpackr drops the sign of zero. */
const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.constantFrom(0.1, 2 ** 53)
).map((number) => number + 0)

/** A schema and points of it, full or sparse, with fields in either order. */
const anyPoints = anyMetricNames.chain((names) => {
  const sparse = fc.oneof(fc.constant(names), fc.subarray(names, { minLength: 1 }))
  const values = fc.array(value, { minLength: names.length, maxLength: names.length })
  const ms = fc.integer({ min: -1000, max: 1000 })
  const point = fc.tuple(sparse, values, ms, fc.constantFrom('A', 'SAT-0001', '🛰'), fc.boolean())
    .map(([given, values, ms, id, reversed]): Point => {
      const metrics = given.map((name, at): [string, number] => [name, values[at] as number])
      const fields: Array<[string, string | number]> = [['satellite_id', id], ['time', NOW_MS + ms], ...metrics]
      return Object.fromEntries(reversed ? fields.reverse() : fields)
    })
  return fc.tuple(fc.constant(names), fc.subarray(names), fc.array(point, { minLength: 1, maxLength: 6 }))
})

/** An earlier name of a metric: none of anyMetricNames ends like it. */
const aliasOf = (index: number): string => `x${index}__`

const jsonOf = (point: Point): string => JSON.stringify(point)

function frameOf (names: readonly string[], points: readonly Point[]): Buffer {
  const encoder = new PacketEncoder()
  encoder.begin('sender', 1, 0)
  for (const point of points) {
    const values = names.map((name) => point[name] as number | undefined ?? NaN)
    const isAdded = encoder.add(point['satellite_id'] as string, (point['time'] as number) * 1000, values)
    if (!isAdded) throw new Error('the packet is full')
  }
  return Buffer.from(encoder.finish())
}

/** The rows as JSON; keeps the satellites. */
function rowsOf (columns: PointColumns): string {
  const buffer = new RowBuffer(16)
  buffer.append(columns)
  satellites.keep()
  return splitRows([buffer.take()]).map((row) => {
    const point = rowToPoint(row, columns.schema)
    return JSON.stringify(Object.entries(point))
  }).join('\n')
}

t.test('property: every decoder yields the rows that were sent', (t) => {
  fc.assert(fc.property(anyPoints, ([names, aliased, points]) => {
    const aliases = aliased.filter((name) => !name.endsWith('__'))
      .map((metric, index) => ({ name: aliasOf(index), metric }))
    const schema = new PointSchema(names, aliases)
    // Every second point uses earlier names.
    const sent = points.map((point, index): Point => Object.fromEntries(Object.entries(point).map(([name, value]) => {
      const alias = index % 2 === 1 ? aliases.find(({ metric }) => metric === name) : undefined
      return [alias?.name ?? name, value]
    })))
    const wanted = points.map((point) => JSON.stringify([
      ['satellite_id', point['satellite_id']],
      ['time', `${new Date(point['time'] as number).toISOString().slice(0, -1)}000Z`],
      ...names.map((name) => [name, point[name] ?? null])
    ])).join('\n')
    const json = Buffer.from(`[${sent.map(jsonOf).join()}]`)
    const escaped = Buffer.from(json.toString().replaceAll('"t', '"\\u0074'))
    const ndjson = Buffer.from(sent.map(jsonOf).join('\n'))
    const kindOf = (packet: Buffer, columns: PointColumns): string => (
      decodePacket(packet, NOW_MS * 1000, RULES, satellites, columns).kind
    )
    const decoders: Readonly<Record<string, (columns: PointColumns) => unknown>> = {
      json: (columns) => decodeJsonBatch(json, NOW_MS * 1000, RULES, satellites, columns),
      escaped: (columns) => decodeJsonBatch(escaped, NOW_MS * 1000, RULES, satellites, columns),
      ndjson: (columns) => decodeNdjson(ndjson, NOW_MS * 1000, RULES, satellites, columns),
      maps: (columns) => kindOf(packr.pack(sent), columns) === 'plain' ? null : 'refused',
      frame: (columns) => kindOf(frameOf(names, points), columns) === 'frame' ? null : 'refused'
    }
    for (const [name, decode] of Object.entries(decoders)) {
      const columns = new PointColumns(schema, 1)
      const fault = decode(columns)
      if (fault !== null) throw new Error(`${name}: ${JSON.stringify(fault)}`)
      const rows = rowsOf(columns)
      if (rows !== wanted) throw new Error(`${name}: ${rows} instead of ${wanted}`)
    }
    return readBatchFast(json, NOW_MS * 1000, RULES, satellites, new PointColumns(schema)) === 'done'
  }), { numRuns: 300 })
  t.end()
})

t.test('a field of another schema is refused, and the nearest name suggested', (t) => {
  const schema = new PointSchema(['bus_voltage_v', 'bus_current_a'])
  const columns = new PointColumns(schema)
  const faultOf = (json: string): string | undefined => (
    decodeJsonBatch(Buffer.from(json), NOW_MS * 1000, RULES, satellites, columns)?.message
  )
  const unknown = faultOf('[{"satellite_id":"A","bus_voltage":1,"bus_current_a":1}]')
  t.match(unknown, /bus_voltage is not a field of a point; did you mean bus_voltage_v\?/)
  t.match(faultOf('[{"satellite_id":"A"}]'), /at least one of bus_voltage_v, bus_current_a must not be null/)
  const packet = packr.pack([1, 's', 1, 0, [['A', null, 1, 2, 3]]])
  const frame = decodePacket(packet, NOW_MS * 1000, RULES, satellites, columns)
  t.match(frame, { kind: 'malformed', fault: { message: /bus_voltage_v, bus_current_a\], but has 5 elements/ } })
  t.end()
})

t.test('a metric under two of its names is refused, whatever reads it', (t) => {
  const schema = new PointSchema(
    ['voltage', 'current'], [{ name: 'volts', metric: 'voltage' }, { name: 'u', metric: 'voltage' }])
  const points = [
    { satellite_id: 'A', voltage: 1, volts: 1 }, { satellite_id: 'A', u: 2, voltage: null },
    { satellite_id: 'A', volts: 1, u: null }
  ]
  for (const point of points) {
    const columns = new PointColumns(schema)
    const json = decodeJsonBatch(Buffer.from(JSON.stringify([point])), NOW_MS * 1000, RULES, satellites, columns)
    t.match(json?.message, /is another name for voltage: send one of the two/, JSON.stringify(point))
    t.match(
      decodePacket(packr.pack([point]), NOW_MS * 1000, RULES, satellites, columns),
      { kind: 'malformed', fault: { message: json?.message } })
  }
  const columns = new PointColumns(schema)
  t.equal(
    decodeJsonBatch(
      Buffer.from('[{"satellite_id":"A","u":5},{"satellite_id":"A","volts":6},{"satellite_id":"A","voltage":7}]'),
      NOW_MS * 1000, RULES, satellites, columns),
    null)
  t.strictSame([...columns.values.subarray(0, 6)], [5, NaN, 6, NaN, 7, NaN])
  t.match(
    decodeJsonBatch(
      Buffer.from('[{"satellite_id":"A","current":1,"volt":1}]'), NOW_MS * 1000, RULES, satellites, columns)?.message,
    /did you mean volts\?/)
  t.end()
})

t.test('the widest points with an anomaly in each value never make a batch too large', (t) => {
  const names = Array.from({ length: 250 }, (_, index) => `m${String(index).padStart(40, '0')}`)
  const stream = catalogueOf(...names.map((name, index) => `${name}: { id: ${index + 1} }`)).telemetry
  const { schema } = stream
  const batches: ClosedBatch[] = []
  const append = (batch: ClosedBatch): void => { batches.push(batch) }
  const journal = { idle: false, listeners: new JournalListeners(), append }
  const batcher = new Batcher(journal as unknown as Journal, { batchSize: 1e6, batchTimeoutMs: 1e6 }, stream)
  const everyMetric = Object.fromEntries(names.map((name) => [name, { high: { critical: 0 } }]))
  const limits = new LimitTable({ version: 1, set: { default: everyMetric, overrides: {} } }, schema)
  const [columns, anomalies] = [new PointColumns(schema), new AnomalyColumns()]
  const satellite = satellites.byId('x'.repeat(64))!
  for (let point = 0; point < 300; point++) {
    const first = columns.push(satellite, NOW_MS * 1000) * names.length
    columns.values.fill(1, first, first + names.length)
  }
  limits.judge(columns, satellites.generation, anomalies)
  batcher.append(columns, anomalies, 'received', () => {})
  batcher.close()
  t.equal(batches.reduce((rows, batch) => rows + batch.rows, 0), 300)
  t.ok(batches.length > 1, `${batches.length} batches`)
  t.ok(batches.every(({ payload }) => payload.length <= BATCH_BYTES_MAX))
  t.ok(pointBytesMax(schema) <= BATCH_BYTES_MAX, 'a point fits')
  t.end()
})
