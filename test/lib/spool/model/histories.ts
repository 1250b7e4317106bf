/** Runs random histories against a model, and adds up what happened in them. */
import type { Test } from 'tap'
import type { Random } from '../fake-files.js'
import { generator } from './generator.js'

/** Steps of all histories together. */
const STEPS = Number(process.env.STEPS ?? 100_000)
export const STEPS_OF_A_WORLD = 500

interface World<Counts> {
  step (): Promise<void>
  /** Ends faults, and checks that everything is where it belongs. */
  settle (): Promise<Counts>
}

/** @param create called with a generator and whether there are faults */
export class Histories<Counts extends { [What in keyof Counts]: number }> {
  /** For t.test(): for all(). */
  readonly timeout = 120_000 + STEPS

  constructor (
    private readonly create: (random: Random, faults: boolean) => World<Counts>, private readonly none: Counts
  ) {}

  async run (seed: number, steps: number, faults: boolean): Promise<Counts> {
    const world = this.create(generator(seed), faults)
    try {
      for (let step = 0; step < steps; step++) await world.step()
      return await world.settle()
    } catch (cause) {
      throw new Error(`world of seed ${seed}: ${(cause as Error).message}`, { cause })
    }
  }

  /**
   * With faults, from a random seed (SEED) on. Each kind of event must have occurred.
   * @param rare what need not
   */
  async all (t: Test, rare: ReadonlyArray<keyof Counts> = []): Promise<void> {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0x1_0000_0000))
    t.comment(`SEED=${seed}`)
    const sum = { ...this.none }
    const keys = Object.keys(sum) as Array<keyof Counts>
    for (let step = 0, world = 0; step < STEPS; step += STEPS_OF_A_WORLD, world++) {
      const counts = await this.run(seed + world, STEPS_OF_A_WORLD, true)
      for (const key of keys) Object.assign(sum, { [key]: sum[key] + counts[key] })
    }
    t.comment(JSON.stringify(sum))
    for (const key of keys) if (!rare.includes(key)) t.ok(sum[key] > 0, `${String(key)}: ${sum[key]}`)
  }
}
