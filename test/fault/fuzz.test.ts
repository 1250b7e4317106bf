/** A minute of hostile input on both engines; FUZZ_SEED repeats a run. As long as one likes: npm run test:fuzz. */
import t from 'tap'
import { fuzz } from '../fuzz/fuzz.js'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20261127)

/** Three times what holds on a quiet machine: other tests run beside this one. */
const CPU_MS_MAX = 300

t.setTimeout(600_000)
for (const engine of ['uws', 'node'] as const) {
  t.test(`${engine}: mutated and forged input ends nothing, and is stored or refused`, async (t) => {
    t.strictSame(
      await fuzz(
        t,
        {
          engine,
          seed: SEED,
          bodies: 1_500,
          packets: 2_000,
          raw: 200,
          forged: 2_000,
          cpuMsMax: CPU_MS_MAX,
          print: (line) => t.comment(line)
        }),
      [])
  })
}
