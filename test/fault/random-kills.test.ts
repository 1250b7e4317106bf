/**
 * Random kills of workers, primary and database under load. `npm run test:soak -- --rounds N --seed S` runs more of
 * them.
 */
import t from 'tap'
import { runRounds } from '../support/load/rounds.js'

const ROUNDS = 20

t.setTimeout(300_000)
t.test(`${ROUNDS} rounds of random kills: all that was acknowledged is stored, once, and nothing else`, async (t) => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`seed ${seed}: run it again with SEED=${seed}, or npm run test:soak -- --rounds ${ROUNDS} --seed ${seed}`)
  const { stored, acknowledged, ...wrong } = await runRounds(
    t, { rounds: ROUNDS, seed, print: (line) => t.comment(line) })
  t.ok(acknowledged >= ROUNDS, `${acknowledged} points were acknowledged`)
  t.ok(stored >= acknowledged, `${stored} points are stored`)
  t.same(wrong, { missing: [], twice: [], invented: [], conservationErrorPoints: 0, complaints: [] })
})
