import t from 'tap'
import { createBody } from '../../../../lib/sim/send/bodies.js'
import { PointColumns } from '../../../../protocol/columns.js'
import { TELEMETRY } from '../../../../protocol/metrics.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../../../protocol/packet/packet-body.js'
import { SatelliteTable } from '../../../../protocol/satellites.js'

const IDS = ['SAT-0001', 'SAT-0002']
const RULES = { timeWindowPastMs: 1000, timeWindowFutureMs: 1000, unknownFields: 'reject' } as const
const VALUES = [73.21, -0.1, -71.43]

t.test('JSON and msgpack bodies contain the same points, repeatedly', (t) => {
  const nowMs = 1_800_000_000_000
  for (const batchSize of [1, 1_000]) {
    const [json, msgpack] = [createBody('json', IDS, batchSize), createBody('msgpack', IDS, batchSize)]
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
