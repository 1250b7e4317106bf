/**
 * Random histories of the spool against a model of what was acknowledged: see model.ts.
 * SEED=n repeats one run; STEPS=n makes it longer.
 */
import t from 'tap'
import { Histories, STEPS_OF_A_WORLD } from './histories.js'
import { World } from './model.js'
import { NO_COUNTS } from './model-parts.js'

const histories = new Histories((random, faults) => new World(random, faults), NO_COUNTS)

t.test('without faults everything is stored, and nothing is refused except at the limit', async (t) => {
  const counts = await histories.run(1, 3000, false)
  t.match(counts, { gaps: 0, lost: 0, refusedFailed: 0 })
  t.ok(counts.stored > 500)
})

t.test('histories that once found a bug', async (t) => {
  const seeds: ReadonlyArray<readonly [number, string]> = [
    [15, 'a spool emptied on a full disk, a crash, and a clock set back: epochs still grow'],
    [10, 'a segment is removed only when the ledger has reached the base of the next'],
    [29, 'a failed sync and then a full disk: the outcome is unknown, not refused'],
    [26, 'frames left behind by a failed sync are void once they were written again'],
    [1418, 'a header that is unreadable at first: what a failed write left behind is still void'],
    [2981178250, 'the file of a segment that was not begun, not removed at once, is removed before later ones'],
    [4940, 'damaged frames at the end of an epoch: their segment stays until the ledger has passed them']
  ]
  for (const [seed, what] of seeds) t.ok(await histories.run(seed, STEPS_OF_A_WORLD, true), what)
})

const WHAT = 'random histories: acknowledged is stored, once, in order, or reported as damaged'
t.test(WHAT, { timeout: histories.timeout }, async (t) => {
  // False alarms are allowed, but rare: they need damage, or a copy at the wrong moment.
  await histories.all(t, ['falseAlarms'])
})
