import t from 'tap'
import fc from 'fast-check'
import { microsOfMillis, parseIsoTime } from '../../protocol/time.js'

t.test('accepted formats', t => {
  const base = Date.UTC(2026, 10, 23, 12, 0, 0) * 1000
  const forms: Array<[string, number]> = [
    ['2026-11-23T12:00:00Z', 0],
    ['2026-11-23T12:00Z', 0],
    ['2026-11-23T12:00:00.000Z', 0],
    ['2026-11-23T12:00:01.5Z', 1_500_000],
    ['2026-11-23T12:00:00.123456Z', 123_456],
    ['2026-11-23T12:00:00.123456999Z', 123_456],
    ['2026-11-23T12:00:00.0000001Z', 0],
    ['2026-11-23T12:00:00+00:00', 0],
    ['2026-11-23T12:00:00-00:00', 0],
    ['2026-11-23T14:30+02:30', 0],
    ['2026-11-22T22:00:00.25-14:00', 250_000],
    ['2026-11-23t12:00:00.5z', 500_000],
    ['2026-11-23t13:00+01:00', 0],
    ['2026-11-23T12:00z', 0]
  ]
  for (const [text, micros] of forms) t.equal(parseIsoTime(text), base + micros, text)
  t.equal(parseIsoTime('1970-01-01T00:00:00.000001Z'), 1)
  t.equal(parseIsoTime('1969-12-31T23:59:59.999999Z'), -1)
  t.equal(parseIsoTime('2024-02-29T00:00Z'), Date.UTC(2024, 1, 29) * 1000)
  t.end()
})

t.test('texts that are not times', t => {
  const texts = [
    '', 'now', '2026-11-23', '2026-11-23T12:00:00', '2026-11-23 12:00:00Z', '20261123T120000Z',
    '2026-11-23T12:00:00T', '2026-11-23Z12:00:00Z', '2026-11-23T12Z', '2026-11-23T12:00:00.Z',
    '2026-11-23T12:00:00,5Z', '2026-11-23T12:00:00+0200', '2026-11-23T12:00:00+02', '2026-11-23T12:00:00+24:00',
    '2026-11-23T12:00:00+02:60', '2026-11-23T24:00:00Z', '2026-11-23T23:60:00Z', '2026-11-23T23:59:60Z',
    '2026-00-01T00:00Z', '2026-13-01T00:00Z', '2026-01-00T00:00Z', '2026-02-29T00:00Z', '2100-02-29T00:00Z',
    '2026-04-31T00:00Z', '+002026-11-23T12:00:00Z', '2026-11-23T12:00:00Z ', ' 2026-11-23T12:00:00Z',
    '2026-11-23T12:00:00ZZ', '2026-1-23T12:00:00Z', '2026/11/23T12:00:00Z', '2026-11-23T12.00Z',
    '２026-11-23T12:00:00Z', '2026-11-23T12:00:00.123\u0130Z', '2026-11-23T12:00:00.' + '0'.repeat(50) + 'Z'
  ]
  for (const text of texts) t.ok(Number.isNaN(parseIsoTime(text)), JSON.stringify(text))
  t.end()
})

const two = (value: number): string => String(value).padStart(2, '0')

t.test('property: agrees with the calendar of Date, and accepts only days and hours that exist', t => {
  const field = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max })
  const fields = fc.tuple(field(9999), field(13), field(32), field(25), field(61), field(61), field(999_999))
  fc.assert(fc.property(fields, ([year, month, day, hour, minute, second, micros]) => {
    const text = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`
    const date = new Date(0)
    date.setUTCFullYear(year, month - 1, day)
    date.setUTCHours(hour, minute, second)
    const exists = date.getTime() < 253_402_300_800_000 && date.toISOString() === `${text}.000Z`
    const expected = exists ? date.getTime() * 1000 + micros : NaN
    return Object.is(parseIsoTime(`${text}.${String(micros).padStart(6, '0')}Z`), expected)
  }), { numRuns: 5_000 })
  t.end()
})

t.test('property: zones shift as in Date.parse', t => {
  const dates = fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true })
  fc.assert(fc.property(dates, fc.integer({ min: -1439, max: 1439 }), (date, offset) => {
    const size = Math.abs(offset)
    const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`
    const text = `${date.toISOString().slice(0, -1)}${zone}`
    return parseIsoTime(text) === Date.parse(text) * 1000
  }), { numRuns: 1_000 })
  t.end()
})

t.test('a number of milliseconds is the same time as its digits in text', t => {
  const base = Date.UTC(2026, 10, 23, 12)
  const cases = [[0, 0], [0.25, 250], [0.0007, 0], [0.1237, 123], [-0.0007, -1], [0.9997, 999]] as const
  for (const [millis, micros] of cases) {
    t.equal(microsOfMillis(base + millis), base * 1000 + micros, String(millis))
  }
  t.ok(Object.is(microsOfMillis(-0), 0) && Object.is(microsOfMillis(1e-9), 0), 'never -0')
  t.equal(microsOfMillis(-1e-9), -1, 'as 1969-12-31T23:59:59.999999999Z')
  for (const none of [NaN, Infinity, -Infinity, 1e306]) t.notOk(Number.isFinite(microsOfMillis(none)), String(none))
  t.end()
})

t.test('property: text and number of the same instant yield the same time', t => {
  const millis = fc.integer({ min: 1_000, max: 4e12 })
  fc.assert(fc.property(millis, fc.integer({ min: 0, max: 999_999 }), (millis, nanos) => {
    const number = Number(`${millis}.${String(nanos).padStart(6, '0')}`)
    const [whole, digits = ''] = String(number).split('.')
    return microsOfMillis(number) === parseIsoTime(`${new Date(Number(whole)).toISOString().slice(0, -1)}${digits}Z`)
  }), { numRuns: 5_000 })
  t.end()
})
