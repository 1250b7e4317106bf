/**
 * Random histories of the replicated log against a model of what was acknowledged: see model.ts.
 * SEED=n repeats one run; STEPS=n makes it longer.
 */
import t from 'tap'
import { generator } from '../../spool/model/generator.js'
import { NO_COUNTS, World, type WorldCounts } from './model.js'

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

t.test('without faults everything is stored, in one epoch, and nothing is refused except at the limit', async (t) => {
  const counts = await runWorld(2, 3000, false)
  t.match(counts, { lost: 0, unknown: 0, epochs: 0, syncs: 0 })
  t.ok(counts.stored > 300, `${counts.stored} stored`)
})

const WHAT = 'random histories: acknowledged is stored, once, in order, or reported as lost'
t.test(WHAT, { timeout: 120_000 + STEPS }, async (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0x1_0000_0000))
  t.comment(`SEED=${seed}`)
  const sum: WorldCounts = { ...NO_COUNTS }
  for (let step = 0, world = 0; step < STEPS; step += STEPS_OF_A_WORLD, world++) {
    const counts = await runWorld(seed + world, STEPS_OF_A_WORLD, true)
    for (const key of Object.keys(sum) as Array<keyof WorldCounts>) sum[key] += counts[key]
  }
  t.comment(JSON.stringify(sum))
  for (const [what, count] of Object.entries(sum)) t.ok(count > 0, `${what}: ${count}`)
})
