/**
 * Random histories of the spool against a model of what was acknowledged: see model.ts.
 * SEED=n repeats one run; STEPS=n makes it longer.
 */
import t from 'tap'
import { World } from './model.js'
import { NO_COUNTS, type WorldCounts } from './model-parts.js'
import { generator } from './generator.js'

const STEPS = Number(process.env.STEPS ?? 100_000)
const STEPS_OF_A_WORLD = 500

async function runWorld (seed: number, steps: number, faults: boolean): Promise<WorldCounts> {
  const world = new World(generator(seed), faults)
  try {
    for (let step = 0; step < steps; step++) await world.step()
    return await world.settle()
  } catch (cause) {
    throw new Error(`world of seed ${seed}: ${(cause as Error).message}`, { cause })
  }
}

t.test('without faults everything is stored, and nothing is refused except at the limit', async (t) => {
  const counts = await runWorld(1, 3000, false)
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
  for (const [seed, what] of seeds) t.ok(await runWorld(seed, STEPS_OF_A_WORLD, true), what)
})

const WHAT = 'random histories: acknowledged is stored, once, in order, or reported as damaged'
t.test(WHAT, { timeout: 120_000 + STEPS }, async (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0x1_0000_0000))
  t.comment(`SEED=${seed}`)
  const sum: WorldCounts = { ...NO_COUNTS }
  for (let step = 0, world = 0; step < STEPS; step += STEPS_OF_A_WORLD, world++) {
    const counts = await runWorld(seed + world, STEPS_OF_A_WORLD, true)
    for (const key of Object.keys(sum) as Array<keyof WorldCounts>) sum[key] += counts[key]
  }
  t.comment(JSON.stringify(sum))
  // False alarms are allowed, but rare: they need damage, or a copy at the wrong moment.
  for (const [what, count] of Object.entries(sum)) if (what !== 'falseAlarms') t.ok(count > 0, `${what}: ${count}`)
})
