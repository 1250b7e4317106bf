import t from 'tap'
import { Throughput } from '../../../../lib/primary/live/throughput.js'

t.test('before the first sample latencies have the form that they have later', (t) => {
  const nothing = { p50_s: null, p99_s: null, count: 0 }
  t.strictSame(new Throughput().latency(), { ack: nothing, commit: nothing, over_s: 0 })
  t.end()
})
