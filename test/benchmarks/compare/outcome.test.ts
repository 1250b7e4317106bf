import t from 'tap'
import { pairsText, problemsOf, rowOf } from '../../../benchmarks/compare/outcome.js'

const run = (rate: number, problems: string[] = []) =>
  ({ rate, seconds: 1, sent: 2 * rate, acknowledged: rate, stored: rate, problems })

t.test('a row has the median and the sums; unknown values stay empty', t => {
  t.same(rowOf('a', [run(10), run(30), run(20)], false), ['a', '20', '±50%', '120', '60', '', '–', '–'])
  t.equal(rowOf('a', [run(10)], true)[5], '10')
  t.end()
})

t.test('problems of all runs are reported, and an empty run is one', t => {
  t.same(problemsOf('a', [run(1), run(1, ['x', 'y']), run(0)]), [
    'a, run 2: x',
    'a, run 2: y',
    'a, run 3: nothing was acknowledged'
  ])
  t.same(problemsOf('a', []), [])
  t.end()
})

t.test('pairs consist of one run each', t => {
  t.equal(
    pairsText([run(10), run(20), run(40)], [run(20), run(10), run(60)]),
    'median 1.50 of 20/10 = 2.00, 10/20 = 0.50, 60/40 = 1.50'
  )
  t.end()
})
