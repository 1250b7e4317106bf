/** How many exports run at a time, and the time they may take together. */
import t from 'tap'
import { ExportLeases } from '../../../lib/primary/export-leases.js'

t.test('exports share a quarter of the time while points come in', (t) => {
  const leases = new ExportLeases<string>(3)
  t.equal(leases.grant('a'), true)
  leases.observe(0, 0)
  t.equal(leases.share(10_000), 1, 'no points')
  leases.observe(100, 20_000)
  t.equal(leases.share(20_000), 1 / 4)
  leases.grant('a')
  leases.grant('b')
  t.equal(leases.grant('b'), false)
  t.equal(leases.share(21_000), 1 / 12)
  t.strictSame(leases.holders, ['a', 'b'])
  leases.release('b')
  t.strictSame(leases.holders, ['a'])
  leases.observe(100, 22_000)
  t.equal(leases.share(23_000), 1 / 8, 'two are left')
  leases.observe(100, 24_000)
  t.equal(leases.share(24_000), 1, 'no points for a while')
  leases.forget('a')
  t.strictSame(leases.holders, [])
  t.end()
})
