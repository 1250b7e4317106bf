import t from 'tap'
import { Results } from '../../benchmarks/session.js'

const run = (rate: number) => ({ rate, seconds: 1, sent: 0, acknowledged: 0, stored: 0, problems: [] })

t.test('records of all rounds come together, in the order of the first', t => {
  const results = new Results()
  for (const round of [1, 2]) {
    results.add('http', 'a', 'A', 'points/s', run(round))
    results.add('udp', 'b', 'B', 'points/s', run(10 * round))
    results.skip('C', 'not there')
  }
  t.same(results.measurements.map(({ name, runs }) => [name, runs.map(({ rate }) => rate)]), [['a', [1, 2]], ['b', [10, 20]]])
  t.equal(results.bestRate('b'), 20)
  t.equal(results.bestRate('none'), null)
  t.same(results.skipped, [{ title: 'C', reason: 'not there' }], 'once, not each round')
  t.end()
})
