/** A worker's histograms say what those of prom-client say of the same values, so that both can be summed up. */
import t from 'tap'
import { AggregatorRegistry, Histogram, Registry } from 'prom-client'
import { Buckets } from '../../../lib/worker/buckets.js'

const [NAME, HELP, BOUNDS] = ['seconds', 'Some duration.', [0.0005, 0.001, 0.25, 1, 10]]
/** Below, on, between and beyond the bounds. */
const VALUES = [0, 0.0005, 0.0006, 0.001, 0.2, 0.25, 0.7, 1, 9.99, 10, 10.001, 1e6]

t.test('the same text as a histogram of prom-client, empty and with any values', async (t) => {
  const own = new Buckets(NAME, HELP, BOUNDS)
  const registers = [new Registry()]
  const reference = new Histogram({ name: NAME, help: HELP, buckets: BOUNDS, registers })
  const same = async (): Promise<void> => {
    const [text, expected] = await Promise.all([[own.toJson()], await registers[0]?.getMetricsAsJSON()]
      .map(async (metrics) => await AggregatorRegistry.aggregate([metrics ?? [], metrics ?? []]).metrics()))
    t.match(text, /seconds_bucket\{le="\+Inf"\}/)
    t.equal(text, expected)
  }
  await same()
  for (const [index, value] of VALUES.entries()) {
    for (let count = 0; count <= index; count++) {
      own.observe(value)
      reference.observe(value)
    }
    await same()
  }
})
