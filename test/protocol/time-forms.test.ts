/** One time in many formats: every decoder accepts the same ones, and reads the same time. */
import { pack } from 'msgpackr'
import t from 'tap'
import { PointColumns } from '../../protocol/columns.js'
import { TELEMETRY } from '../support/points/built-in.js'
import { readPointExactly } from '../../protocol/json/json-exact.js'
import { readPointFast } from '../../protocol/json/json-fast.js'
import { decodeMsgpackPoint } from '../../protocol/packet/packet-body.js'
import { PointReader, type DecodeRules } from '../../protocol/point.js'
import { SatelliteTable } from '../../protocol/satellites.js'

const NOON_MS = Date.UTC(2026, 10, 23, 12)
const RULES: DecodeRules = { timeWindowPastMs: 86_400_000, timeWindowFutureMs: 86_400_000, unknownFields: 'reject' }
const satellites = new SatelliteTable()

/** The time as read by each decoder, in µs after noon; null: refused. */
function readings (time: string | number): Array<number | null> {
  const point = { satellite_id: 'A', time, battery_charge_percent: 1 }
  const json = Buffer.from(JSON.stringify(point))
  const read = (decode: (columns: PointColumns) => boolean): number | null => {
    const columns = new PointColumns(TELEMETRY)
    return decode(columns) ? columns.timesMicros[0]! - NOON_MS * 1000 : null
  }
  return [
    read((columns) => readPointFast(json, NOON_MS * 1000, RULES, satellites, columns) === 'done'),
    read((columns) => readPointExactly(json, new PointReader(NOON_MS * 1000, RULES, satellites, columns)) === null),
    read((columns) => decodeMsgpackPoint(pack(point), NOON_MS * 1000, RULES, satellites, columns) === null)
  ]
}

t.test('accepted formats of RFC 3339', t => {
  for (const [text, micros] of [
    ['2026-11-23T12:00:00Z', 0],
    ['2026-11-23t12:00:00z', 0],
    ['2026-11-23T12:00Z', 0],
    ['2026-11-23t12:00:00.000001+00:00', 1],
    ['2026-11-23T14:00:00.123456789+02:00', 123_456],
    ['2026-11-23T12:00:00-00:00', 0]
  ] as const) t.strictSame(readings(text), [micros, micros, micros], text)
  t.end()
})

t.test('refused formats, as listed in SPEC.md', t => {
  for (const text of [
    '2026-11-23T12:00:00', '2026-11-23T12:00:00+0000', '2026-11-23T12:00:00+00', '2026-11-23T12:00:00,5Z',
    '2026-11-23 12:00:00Z', '2026-11-23T24:00:00Z', '2026-11-23T11:59:60Z', '20261123T120000Z',
    '2026-W48-1T12:00:00Z', '2026-327T12:00:00Z'
  ]) t.strictSame(readings(text), [null, null, null], text)
  t.end()
})

t.test('a number and its digits as text yield the same time', t => {
  for (const [digits, micros] of [['', 0], ['.123', 123], ['.1237', 123], ['.9997', 999], ['.0005', 0]] as const) {
    const text = `2026-11-23T12:00:00.000${digits.slice(1)}Z`
    t.strictSame([...readings(Number(`${NOON_MS}${digits}`)), ...readings(text)], new Array(6).fill(micros), digits)
  }
  t.end()
})
