import { Packr } from 'msgpackr'
import t from 'tap'
import { PointColumns } from '../../../protocol/columns.js'
import { TELEMETRY } from '../../support/points/built-in.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../../protocol/packet/packet-body.js'
import { SatelliteTable } from '../../../protocol/satellites.js'
import { NOW, RULES } from './packet-fixture.js'

const packr = new Packr({ useRecords: false })
const point = { satellite_id: 'A', battery_charge_percent: 1 }
const frame = (points: number): unknown => [1, 'bench', 0, 0, new Array(points).fill(['A', null, 1])]

/** Points accepted, or the code, points and message of the refusal. */
function outcome (decode: typeof decodeMsgpackPoint, body: unknown): number | string {
  const columns = new PointColumns(TELEMETRY)
  const fault = decode(packr.pack(body), NOW, RULES, new SatelliteTable(), columns)
  if (fault !== null && columns.count > 0) throw new Error('points of a refused body are left')
  return fault === null ? columns.count : `${fault.code} ${fault.points} ${fault.message}`
}

t.test('a body of one point', t => {
  t.equal(outcome(decodeMsgpackPoint, point), 1)
  t.equal(outcome(decodeMsgpackPoint, frame(1)), 1)
  const array = outcome(decodeMsgpackPoint, [point, point])
  t.match(array, 'invalid_point 2 The body is an array: send it to /telemetry/batch')
  t.match(outcome(decodeMsgpackPoint, []), 'invalid_point 0 The body is an array')
  const message = 'The body is a frame of 3 points: send it to /telemetry/batch'
  t.match(outcome(decodeMsgpackPoint, frame(3)), `invalid_point 3 ${message}`)
  t.match(outcome(decodeMsgpackPoint, frame(0)), 'invalid_point 0 The body is a frame of 0 points')
  t.match(outcome(decodeMsgpackPoint, { satellite_id: 'A' }), 'invalid_point 1 ')
  t.match(outcome(decodeMsgpackPoint, 7), 'invalid_msgpack 0 ')
  t.end()
})

t.test('a body of many points', t => {
  t.equal(outcome(decodeMsgpackBatch, [point, point]), 2)
  t.equal(outcome(decodeMsgpackBatch, []), 0)
  t.equal(outcome(decodeMsgpackBatch, frame(3)), 3)
  t.equal(outcome(decodeMsgpackBatch, frame(0)), 0)
  t.match(outcome(decodeMsgpackBatch, point), 'invalid_point 1 The body must be an array of points or a frame')
  t.match(outcome(decodeMsgpackBatch, [point, {}]), 'invalid_point 2 ')
  const unsupported = outcome(decodeMsgpackBatch, [2, 'bench', 0, 0, []])
  t.match(unsupported, 'invalid_msgpack 0 Frames of version 2 are not supported')
  t.end()
})
