/**
 * Random histories of the replicated log against a model of what was acknowledged: see model.ts.
 * SEED=n repeats one run; STEPS=n makes it longer.
 */
import t from 'tap'
import { Histories, STEPS_OF_A_WORLD } from '../../spool/model/histories.js'
import { NO_COUNTS, World } from './model.js'

const histories = new Histories((random, faults) => new World(random, faults), NO_COUNTS)

t.test('without faults everything is stored, in one epoch, and nothing is refused except at the limit', async (t) => {
  const counts = await histories.run(2, 3000, false)
  t.match(counts, { lost: 0, unknown: 0, epochs: 0, syncs: 0 })
  t.ok(counts.stored > 300, `${counts.stored} stored`)
})

t.test('histories that once found a bug', async (t) => {
  const seeds: ReadonlyArray<readonly [number, string]> = [
    [2746387382, 'an answered part of a frame under way is lost: it is sent again'],
    [777000029, 'a frame that the sealer has seen and the log has lost is not sent to the next epoch'],
    [777000619, 'a frame under way when the log lost messages is not sent again: another drain may have read it'],
    [777000867, 'a purge that leaves the end of an incomplete frame is noticed'],
    [777003249, 'a frame that another drain has stored is committed after it is acknowledged'],
    [4090147086, 'a purge behind the first message of an incomplete frame is noticed'],
    [31000180, 'a purge takes a seal: what lies behind it stays void'],
    [4090000131, 'a power cut takes a seal: a late copy that lands there stays void'],
    [1200035573, 'a frame is stored, then lost: a seal in its place says that it was stored']
  ]
  for (const [seed, what] of seeds) t.ok(await histories.run(seed, STEPS_OF_A_WORLD, true), what)
})

const WHAT = 'random histories: acknowledged is stored, once, in order, or reported as lost'
t.test(WHAT, { timeout: histories.timeout }, async (t) => { await histories.all(t) })
