/** The ids of a refused body, whatever its fault, take no space in the satellite table. */
import { Packr } from 'msgpackr'
import t from 'tap'
import { PointColumns } from '../../protocol/columns.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../protocol/json/json.js'
import { METRICS, TELEMETRY } from '../support/points/built-in.js'
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

const truncated = Buffer.concat([json([point('A'), point('B')]).subarray(0, -1), Buffer.from(',')])

const CASES = {
  'JSON, truncated': [decodeJsonBatch, truncated],
  'JSON with a fault': [decodeJsonBatch, json([point('A'), point('B'), { satellite_id: 'C' }])],
  'JSON with a fault after the id': [decodeJsonPoint, json({ ...point('A'), time: 0 })],
  'JSON, an array instead of a point': [decodeJsonPoint, json([point('A')])],
  'NDJSON with a fault': [decodeNdjson, lines(point('A'), { satellite_id: 'B', other: 1 })],
  'maps with a fault': [decodeMsgpackBatch, msgpack([point('A'), { satellite_id: 'B' }])],
  'maps, truncated': [decodeMsgpackBatch, msgpack([point('A'), point('B')]).subarray(0, -1)],
  'a map instead of a batch': [decodeMsgpackBatch, msgpack(point('A'))],
  'a frame with a fault': [decodeMsgpackBatch, msgpack(frame(row('A'), row('B'), ['C', null, 'no number']))],
  'a truncated frame': [decodeMsgpackBatch, msgpack(frame(row('A'), row('B'))).subarray(0, -1)],
  'a frame with trailing bytes': [decodeMsgpackBatch, Buffer.concat([msgpack(frame(row('A'))), Buffer.from([0xc0])])],
  'a frame of two instead of a point': [decodeMsgpackPoint, msgpack(frame(row('A'), row('B')))]
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
