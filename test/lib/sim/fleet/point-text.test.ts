import t from 'tap'
import fc from 'fast-check'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../../support/points/built-in.js'
import { PointText } from '../../../../lib/sim/fleet/point-text.js'

function read (text: PointText, satellite: number, timeMs: number, values: readonly number[]): unknown {
  const target = Buffer.alloc(text.pointBytesMax + 3, '#')
  const end = text.write(target, 2, satellite, timeMs, Float64Array.from(values))
  if (target.subarray(0, 2).toString() !== '##' || !target.subarray(end).every(byte => byte === 35)) {
    throw new Error('wrote outside of its place')
  }
  return JSON.parse(target.subarray(2, end).toString('utf8'))
}

t.test('property: JSON.parse returns id, time and values', t => {
  const value = fc.oneof(fc.integer({ min: -10_000_000, max: 10_000_000 })
    .map(hundredths => hundredths / 100),
  fc.constantFrom(0, -0.01, 0.1, 94_999.99, 1e15, -123456789012.34, 1e-9, 9.999999995))
  fc.assert(fc.property(
    fc.string({ unit: 'grapheme' }), fc.date({
      noInvalidDate: true,
      min: new Date(0),
      max: new Date('9999-12-31')
    }), fc.array(value, { minLength: METRIC_COUNT, maxLength: METRIC_COUNT }),
    (id, time, values) => {
      const point = read(new PointText(['other', id], TELEMETRY), 1, time.getTime(), values)
      const expected = Object.fromEntries(METRICS.map(({ name }, metric) => [name, values[metric]]))
      return JSON.stringify(point) === JSON.stringify({ satellite_id: id, time: time.toISOString(), ...expected })
    }
  ))
  t.end()
})

t.test('the time is updated from point to point', t => {
  const text = new PointText(['A'], TELEMETRY)
  const times = [1000, 1000, 1001].map(timeMs => (read(text, 0, timeMs, [1, 2, 3]) as { time: string }).time)
  t.same(times, ['1970-01-01T00:00:01.000Z', '1970-01-01T00:00:01.000Z', '1970-01-01T00:00:01.001Z'])
  t.end()
})

t.test('an unknown satellite is an error', t => {
  t.throws(() => read(new PointText(['A'], TELEMETRY), 1, 0, [1, 2, 3]), RangeError)
  t.end()
})
