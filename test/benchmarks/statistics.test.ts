import t from 'tap'
import * as fc from 'fast-check'
import { createLatencies, recordLatency } from '../../lib/sim/histogram.js'
import {
  countedRuns, cpuMicrosPerPoint, latencyOf, latencyOfHistogram, median, medianLatency, quantile, spread, summarize
} from '../../benchmarks/statistics.js'
import type { RunRecord } from '../../benchmarks/result.js'

const run = (more: Partial<RunRecord>): RunRecord =>
  ({ rate: 1, seconds: 1, sent: 0, acknowledged: 0, stored: 0, problems: [], ...more })

t.test('the median is the middle value, or the mean of the two middle values', t => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.ok(Number.isNaN(median([])))
  t.end()
})

t.test('half of all values lie on each side of the median', t => {
  fc.assert(fc.property(fc.array(fc.integer(), { minLength: 1 }), values => {
    const middle = median(values)
    return values.filter(value => value < middle).length * 2 <= values.length &&
      values.filter(value => value > middle).length * 2 <= values.length
  }))
  t.end()
})

t.test('the spread is the largest deviation from the median', t => {
  t.same(summarize([90, 100, 150]), { median: 100, low: 90, high: 150 })
  t.equal(spread([90, 100, 150]), 0.5)
  t.equal(spread([0, 0]), 0)
  t.end()
})

t.test('quantiles are values of the list', t => {
  const values = Array.from({ length: 1000 }, (_, index) => 1000 - index)
  t.equal(quantile(values, 0.5), 500)
  t.equal(quantile(values, 0.999), 999)
  t.equal(quantile([7], 0.01), 7)
  t.same(latencyOf(values), { count: 1000, p50: 500, p90: 900, p99: 990, p999: 999, max: 1000 })
  t.end()
})

t.test('recorded latencies are summarized in milliseconds', t => {
  const latencies = createLatencies()
  for (const ms of [10, 10, 50]) recordLatency(latencies, ms)
  const latency = latencyOfHistogram(latencies)
  t.equal(latency.count, 3)
  t.ok(Math.abs(latency.max - 50) < 0.1)
  t.ok(Math.abs(latency.p50 - 10) < 0.1)
  t.end()
})

t.test('percentiles of several runs are medians, and runs without latencies do not count', t => {
  const latency = (p99: number): NonNullable<RunRecord['latency']> =>
    ({ count: 10, p50: 1, p90: 2, p99, p999: 9, max: 9 })
  t.equal(medianLatency([
    run({ latency: latency(5) }), run({}), run({ latency: latency(9) }), run({ latency: latency(6) })
  ])?.p99, 6)
  t.equal(medianLatency([run({}), run({ latency: { ...latency(1), count: 0 } })]), null)
  t.end()
})

t.test('CPU time per point excludes the load generator', t => {
  t.equal(cpuMicrosPerPoint(run({ stored: 1_000_000, cpuSeconds: { worker: 2, 'database sessions': 1, load: 5 } })), 3)
  t.ok(Number.isNaN(cpuMicrosPerPoint(run({ stored: 10 }))))
  t.ok(Number.isNaN(cpuMicrosPerPoint(run({ cpuSeconds: { worker: 1 } }))))
  t.end()
})

t.test('runs disturbed by other work do not count if a quiet one remains', t => {
  const quiet = run({ rate: 1, otherCpuShare: 0.05 })
  const noisy = run({ rate: 2, otherCpuShare: 0.06 })
  const unknown = run({ rate: 3 })
  t.same(countedRuns([quiet, noisy, unknown]), [quiet, unknown])
  t.same(countedRuns([noisy]), [noisy])
  t.end()
})
