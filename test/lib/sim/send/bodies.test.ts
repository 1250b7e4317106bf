import t from 'tap'
import { createBody } from '../../../../lib/sim/send/bodies.js'
import { PointColumns } from '../../../../protocol/columns.js'
import { TELEMETRY } from '../../../support/points/built-in.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../../../protocol/packet/packet-body.js'
import { decodeJsonBatch } from '../../../../protocol/json/json.js'
import { WIDEST } from '../../../support/points/schemas.js'
import { SatelliteTable } from '../../../../protocol/satellites.js'

const IDS = ['SAT-0001', 'SAT-0002']
const RULES = { timeWindowPastMs: 1000, timeWindowFutureMs: 1000, unknownFields: 'reject' } as const
const VALUES = [73.21, -0.1, -71.43]

t.test('JSON and msgpack bodies contain the same points, repeatedly', (t) => {
  const nowMs = 1_800_000_000_000
  for (const batchSize of [1, 1_000]) {
    const [json, msgpack] = [
      createBody('json', IDS, TELEMETRY, batchSize), createBody('msgpack', IDS, TELEMETRY, batchSize)
    ]
    t.equal(json.contentType, 'application/json')
    t.equal(msgpack.contentType, 'application/msgpack')
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < batchSize; index++) {
        for (const body of [json, msgpack]) body.add(index % 2, nowMs, new Float64Array(VALUES))
      }
      t.equal(json.points, batchSize)
      t.equal(msgpack.points, batchSize)
      const parsed = [JSON.parse(json.take().toString()) as object].flat()
      const columns = new PointColumns(TELEMETRY)
      const decode = batchSize === 1 ? decodeMsgpackPoint : decodeMsgpackBatch
      t.equal(decode(msgpack.take(), nowMs * 1000, RULES, new SatelliteTable(), columns), null)
      t.equal(columns.count, batchSize)
      t.match(parsed, Array.from({ length: batchSize }, (_, index) =>
        ({ satellite_id: columns.satellites[index]!.id, battery_charge_percent: columns.values[index * 3] })))
      t.equal(columns.timesMicros[batchSize - 1], nowMs * 1000)
      t.equal(msgpack.points, 0)
    }
  }
  t.end()
})

t.test('a batch has no more points than a server takes', (t) => {
  const nowMs = 1_800_000_000_000
  const values = new Float64Array(WIDEST.metricCount).fill(0.1)
  for (const format of ['json', 'msgpack'] as const) {
    const body = createBody(format, IDS, WIDEST, 10_000)
    t.ok(body.pointsMax > 100 && body.pointsMax * (WIDEST.metricCount + 3) <= (format === 'json' ? 150_000 : Infinity))
    for (let index = 0; index < body.pointsMax; index++) body.add(0, nowMs, values)
    const bytes = body.take()
    t.ok(bytes.length <= 4 * 1024 * 1024, `${format}: ${bytes.length} bytes`)
    const columns = new PointColumns(WIDEST)
    const [fault] = format === 'json'
      ? [decodeJsonBatch(bytes, nowMs * 1000, RULES, new SatelliteTable(), columns)]
      : [decodeMsgpackBatch(bytes, nowMs * 1000, RULES, new SatelliteTable(), columns)]
    t.equal(fault, null)
    t.equal(columns.count, body.pointsMax)
    t.equal(createBody(format, IDS, TELEMETRY, 10_000).pointsMax, 10_000)
  }
  t.end()
})
