/** The ids of a body that is refused, for whatever fault, take no place in the table of satellites. */
import { Packr } from 'msgpackr'
import t from 'tap'
import { PointColumns } from '../../protocol/columns.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../protocol/json/json.js'
import { METRICS, TELEMETRY } from '../../protocol/metrics.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../protocol/packet/packet-body.js'
import { SatelliteTable } from '../../protocol/satellites.js'

const packr = new Packr({ useRecords: false })
const NOW_MICROS = 1_800_000_000_000_000
const RULES = { timeWindowPastMs: 3_600_000, timeWindowFutureMs: 60_000, unknownFields: 'reject' } as const
const metric = METRICS[0].name

const point = (id: string): object => ({ satellite_id: id, [metric]: 1 })
const row = (id: string): unknown[] => [id, null, 1]
const frame = (...rows: unknown[][]): unknown[] => [1, 'sender', 1, 1, rows]
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const msgpack = (value: unknown): Buffer => Buffer.from(packr.pack(value))
const lines = (...points: object[]): Buffer => Buffer.from(points.map(each => JSON.stringify(each)).join('\n'))

const CASES = {
  'JSON, read quickly, cut off': [decodeJsonBatch, Buffer.concat([json([point('A'), point('B')]).subarray(0, -1), Buffer.from(',')])],
  'JSON with a fault': [decodeJsonBatch, json([point('A'), point('B'), { satellite_id: 'C' }])],
  'JSON, an id at fault only after it': [decodeJsonPoint, json({ ...point('A'), time: 0 })],
  'JSON, an array where a point is wanted': [decodeJsonPoint, json([point('A')])],
  'NDJSON with a fault': [decodeNdjson, lines(point('A'), { satellite_id: 'B', other: 1 })],
  'maps with a fault': [decodeMsgpackBatch, msgpack([point('A'), { satellite_id: 'B' }])],
  'maps, cut off': [decodeMsgpackBatch, msgpack([point('A'), point('B')]).subarray(0, -1)],
  'a map where a batch is wanted': [decodeMsgpackBatch, msgpack(point('A'))],
  'a frame with a fault': [decodeMsgpackBatch, msgpack(frame(row('A'), row('B'), ['C', null, 'no number']))],
  'a frame, cut off': [decodeMsgpackBatch, msgpack(frame(row('A'), row('B'))).subarray(0, -1)],
  'a frame with more behind it': [decodeMsgpackBatch, Buffer.concat([msgpack(frame(row('A'))), Buffer.from([0xc0])])],
  'a frame of two where a point is wanted': [decodeMsgpackPoint, msgpack(frame(row('A'), row('B')))]
} as const

for (const [name, [decode, body]] of Object.entries(CASES)) {
  t.test(name, t => {
    const [satellites, columns] = [new SatelliteTable(), new PointColumns(TELEMETRY)]
    t.not(decode(body, NOW_MICROS, RULES, satellites, columns), null)
    t.equal(decodeJsonPoint(json(point('next')), NOW_MICROS, RULES, satellites, columns), null)
    t.equal(columns.satellites[0]?.index, 0)
    t.end()
  })
}
