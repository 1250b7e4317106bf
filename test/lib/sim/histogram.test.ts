import t from 'tap'
import fc from 'fast-check'
import { Histogram } from '../../../lib/sim/histogram.js'

function fill (values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

t.test('an empty one is all zero', t => {
  const histogram = new Histogram()
  t.equal(histogram.quantile(0.99), 0)
  t.equal(histogram.maxMicros, 0)
  t.end()
})

t.test('property: quantiles are within 1% of the true ones', t => {
  fc.assert(fc.property(
    fc.array(fc.oneof(fc.nat(200), fc.nat(1_000_000), fc.nat(2 ** 31 - 1)), { minLength: 1, maxLength: 300 }), fc.double({ min: 0, max: 1, noNaN: true }),
    (values, share) => {
      const sorted = [...values].sort((a, b) => a - b)
      const truth = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!
      return Math.abs(fill(values).quantile(share) - truth) <= truth * 0.01
    }
  ))
  t.end()
})

t.test('values out of range count at its ends', t => {
  const histogram = fill([-5, 1e12])
  t.equal(histogram.quantile(0.5), 0)
  t.equal(histogram.maxMicros, 2 ** 31 - 1)
  t.ok(Math.abs(histogram.quantile(1) / histogram.maxMicros - 1) < 0.01)
  t.end()
})

t.test('absorb moves the values of another one', t => {
  const [total, recent] = [fill([1, 2]), fill([50_000])]
  total.absorb(recent)
  t.equal(total.count, 3)
  t.equal(total.quantile(0.5), 2)
  t.equal(total.maxMicros, 50_000)
  t.equal(recent.count, 0)
  t.equal(recent.quantile(1), 0)
  recent.record(7)
  t.equal(recent.quantile(1), 7)
  t.end()
})
