import t from 'tap'
import { pressureOf } from '../../../lib/journal/pressure.js'

t.test('soft from four fifths of the limit, hard from the limit', (t) => {
  t.equal(pressureOf(0, 100), 'none')
  t.equal(pressureOf(79, 100), 'none')
  t.equal(pressureOf(80, 100), 'soft')
  t.equal(pressureOf(99, 100), 'soft')
  t.equal(pressureOf(100, 100), 'hard')
  t.equal(pressureOf(1000, 100), 'hard')
  t.end()
})
