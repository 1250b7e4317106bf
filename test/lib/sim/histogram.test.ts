/** Latencies: what is out of range counts at the ends. */
import t from 'tap'
import { createLatencies, recordLatency } from '../../../lib/sim/histogram.js'

t.test('no latency is dropped, however short or long', t => {
  const latencies = createLatencies()
  for (const ms of [-5, 0, 1.234, 1e12]) recordLatency(latencies, ms)
  t.equal(latencies.count, 4)
  t.equal(latencies.percentile(50), 1)
  t.equal(latencies.percentile(75), 1234)
  t.equal(latencies.max, 2 ** 31 - 1)
  t.end()
})
