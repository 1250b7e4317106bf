/** Faults that are shown for a while. */
import t from 'tap'
import { RecentFaults } from '../../../lib/worker/recent-faults.js'

t.test('each is shown once, and the one noticed longest ago gives way', (t) => {
  const faults = new RecentFaults()
  for (let count = 0; count < 8; count++) faults.note(`fault ${count}`)
  faults.note('fault 0')
  faults.note('one more')
  t.strictSame(faults.messages, [...[2, 3, 4, 5, 6, 7, 0].map((count) => `fault ${count}`), 'one more'])
  t.end()
})
