import t, { type Test } from 'tap'
import { PointColumns } from '../../protocol/columns.js'
import { TELEMETRY } from '../support/points/built-in.js'
import { FAULT_DETAILS_MAX, type DecodeFault } from '../../protocol/faults.js'
import { PointReader, type DecodeRules } from '../../protocol/point.js'
import { SatelliteTable } from '../../protocol/satellites.js'

const NOW_MICROS = Date.UTC(2026, 10, 23, 12) * 1000
const NOW_MS = NOW_MICROS / 1000
const DAY_MS = 86_400_000
const RULES: DecodeRules = { timeWindowPastMs: 30 * DAY_MS, timeWindowFutureMs: 300_000, unknownFields: 'reject' }

interface Outcome { readonly fault: DecodeFault | null, readonly columns: PointColumns }

function read (values: readonly unknown[], rules: DecodeRules = RULES): Outcome {
  const columns = new PointColumns(TELEMETRY, 1)
  const reader = new PointReader(NOW_MICROS, rules, new SatelliteTable(), columns)
  for (const value of values) reader.read(value)
  return { fault: reader.fault(), columns }
}

const point = (fields: object): object => ({ satellite_id: 'SAT-1', battery_charge_percent: 50, ...fields })
/** The time of a point that must be accepted. */
const timeOf = (fields: object, rules?: DecodeRules): number | undefined => {
  const { fault, columns } = read([point(fields)], rules)
  if (fault !== null) throw new Error(fault.message)
  return columns.timesMicros[0]
}
const detailsOf = (fields: object, rules?: DecodeRules): unknown => read([point(fields)], rules).fault?.details
/** Asserts one fault of one field whose message matches. */
const refused = (t: Test, fields: object, field: string | undefined, message: RegExp, rules?: DecodeRules): void => {
  t.match(detailsOf(fields, rules), [field === undefined ? { index: 0, message } : { index: 0, field, message }])
}

t.test('a point goes into its columns', t => {
  const { fault, columns } = read([
    { satellite_id: 'ISS (ZARYA)', time: NOW_MS, battery_charge_percent: -0, storage_usage_mb: null },
    { signal_strength_dbm: -70.5, satellite_id: 'B' }
  ])
  t.equal(fault, null)
  t.equal(columns.count, 2)
  t.strictSame(columns.satellites.map(satellite => satellite.id), ['ISS (ZARYA)', 'B'])
  t.strictSame([...columns.values.subarray(0, 6)], [-0, NaN, NaN, NaN, NaN, -70.5])
  t.end()
})

t.test('times', t => {
  t.equal(timeOf({}), NOW_MICROS)
  t.equal(timeOf({ time: null }), NOW_MICROS)
  t.equal(timeOf({ time: undefined, timestamp: null }), NOW_MICROS)
  t.equal(timeOf({ time: '2026-11-23T11:59:59.000001Z' }), NOW_MICROS - 999_999)
  t.equal(timeOf({ timestamp: '2026-11-23T13:00+01:00' }), NOW_MICROS)
  t.equal(timeOf({ timestamp: NOW_MS + 5, time: null }), NOW_MICROS + 5000)
  t.equal(timeOf({ time: NOW_MS + 0.25 }), NOW_MICROS + 250)
  t.equal(timeOf({ time: NOW_MS + 0.0007 }), NOW_MICROS, 'truncated')
  t.ok(Object.is(timeOf({ time: -0 }, { ...RULES, timeWindowPastMs: 1e14 }), 0), 'never -0')

  refused(t, { time: NOW_MS, timestamp: NOW_MS }, 'timestamp', /only one of them/)
  refused(t, { time: '2026-11-23T12:00:00' }, 'time', /no time zone/)
  refused(t, { timestamp: '2026-11-23 12:00' }, 'timestamp', /no time zone/)
  refused(t, { time: String(NOW_MS) }, 'time', /without quotes/)
  refused(t, { time: 'yesterday' }, 'time', /ISO 8601 with a zone/)
  refused(t, { time: '' }, 'time', /ISO 8601 with a zone/)
  refused(t, { time: true }, 'time', /but is a boolean/)
  refused(t, { time: [NOW_MS] }, 'time', /but is an array/)
  refused(t, { time: {} }, 'time', /but is an object/)
  refused(t, { time: 10n }, 'time', /integer of more than 53 bits/)
  refused(t, { time: Infinity }, 'time', /out of range/)
  refused(t, { time: NaN }, 'time', /out of range/)
  t.end()
})

t.test('the time window is inclusive', t => {
  t.equal(timeOf({ time: NOW_MS - 30 * DAY_MS }), NOW_MICROS - 30 * DAY_MS * 1000)
  t.equal(timeOf({ time: NOW_MS + 300_000 }), NOW_MICROS + 300_000_000)
  refused(t, { time: NOW_MS - 30 * DAY_MS - 0.001 }, 'time', /too old: .* 30 d before to 5 min after/)
  refused(t, { time: NOW_MS + 300_000.001 }, 'time', /too far in the future/)
  refused(t, { time: 1e300 }, 'time', /too far in the future/)
  refused(t, { time: NOW_MS / 1000 }, 'time', /looks like seconds/)
  const narrow = { ...RULES, timeWindowPastMs: 1500, timeWindowFutureMs: 0 }
  refused(t, { time: 0 }, 'time', /too old: .* 1500 ms before to 0 ms after[^;]*$/, narrow)
  t.end()
})

t.test('metrics', t => {
  for (const value of ['50', true, [], {}, NaN, Infinity, -Infinity, 1n]) {
    refused(t, { battery_charge_percent: value }, 'battery_charge_percent', /must be a finite number or null, but is /)
  }
  refused(t, { storage_usage_mb: '1' }, 'storage_usage_mb', /without quotes/)
  refused(t, { battery_charge_percent: null }, undefined, /at least one of battery_charge_percent, /)
  refused(t, { battery_charge_percent: undefined }, undefined, /at least one of /)
  t.end()
})

t.test('satellite ids', t => {
  for (const id of ['', ' A', 'a\u0000', '\ud800', 'a'.repeat(65)]) {
    refused(t, { satellite_id: id }, 'satellite_id', /1 to 64 characters/)
  }
  refused(t, { satellite_id: 25544 }, 'satellite_id', /but is a number/)
  refused(t, { satellite_id: null }, 'satellite_id', /but is null/)
  refused(t, { satellite_id: undefined }, 'satellite_id', /but is absent/)
  t.end()
})

t.test('unknown fields', t => {
  const similar = /did you mean battery_charge_percent\? .* satellite_id, time, timestamp, /
  refused(t, { batery_charge_percent: 1 }, 'batery_charge_percent', similar)
  refused(t, { temperature: 1 }, 'temperature', /^is not a field of a point; the fields/)
  refused(t, { ['x'.repeat(100)]: 1 }, 'x'.repeat(64), /^is not a field of a point; the fields/)
  refused(t, { toString: 1 }, 'toString', /not a field/)
  const hostile = JSON.parse('{"satellite_id":"A","battery_charge_percent":1,"__proto__":{"time":5}}') as unknown
  t.match(read([hostile]).fault?.details, [{ index: 0, field: '__proto__' }])

  const ignore: DecodeRules = { ...RULES, unknownFields: 'ignore' }
  const { fault, columns } = read([hostile, point({ temperature: 1 })], ignore)
  t.equal(fault, null)
  t.strictSame([...columns.timesMicros.subarray(0, 2)], [NOW_MICROS, NOW_MICROS], 'nothing comes from __proto__')
  t.equal(Object.getPrototypeOf({}), Object.prototype)
  t.end()
})

t.test('values that are not objects', t => {
  const details = [{ index: 0, message: /must be an object .* but is / }]
  for (const value of [null, 1, 'A', true, [point({})], undefined]) {
    t.match(read([value]).fault, { code: 'invalid_point', points: 1, details })
  }
  t.end()
})

t.test('faults: with their position, all of a point, at most FAULT_DETAILS_MAX', t => {
  const wrong = point({ time: 'x', storage_usage_mb: 'y', color: 'z' })
  const several = read([point({}), wrong, point({ satellite_id: '' })]).fault
  const positions = several?.details?.map(detail => [detail.index, detail.field])
  t.strictSame(positions, [[1, 'time'], [1, 'storage_usage_mb'], [1, 'color'], [2, 'satellite_id']])
  t.equal(several?.points, 3)
  t.match(several?.message, /No point of the body was accepted\. Point 1: time must be/)

  const many = read(new Array(50).fill(point({ time: 'x', color: 1 }))).fault
  t.equal(many?.details?.length, FAULT_DETAILS_MAX)
  t.equal(many?.points, 50)
  const fields = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`field${index}`, 1]))
  t.equal(read([point(fields)]).fault?.details?.length, FAULT_DETAILS_MAX)
  t.end()
})
