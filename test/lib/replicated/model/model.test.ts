/**
 * Random histories of the replicated log against a model of what was acknowledged: see model.ts.
 * SEED=n repeats one run; STEPS=n makes it longer.
 */
import t from 'tap'
import { Histories } from '../../spool/model/histories.js'
import { NO_COUNTS, World } from './model.js'

const histories = new Histories((random, faults) => new World(random, faults), NO_COUNTS)

t.test('without faults everything is stored, in one epoch, and nothing is refused except at the limit', async (t) => {
  const counts = await histories.run(2, 3000, false)
  t.match(counts, { lost: 0, unknown: 0, epochs: 0, syncs: 0 })
  t.ok(counts.stored > 300, `${counts.stored} stored`)
})

const WHAT = 'random histories: acknowledged is stored, once, in order, or reported as lost'
t.test(WHAT, { timeout: histories.timeout }, async (t) => { await histories.all(t) })
