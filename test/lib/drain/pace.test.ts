/** When the next transaction may begin. */
import t from 'tap'
import { Pace } from '../../../lib/drain/pace.js'
import { Rig } from '../../support/journals/drain-rig.js'

const LONG_MS = 3_600_000

t.test('the first transaction begins at once, the next one when the interval is over', async (t) => {
  const intervalMs = 5
  const pausesMs: number[] = []
  // Timers drop fractions of a millisecond: of many pauses some would be too short.
  for (let round = 0; round < 30; round++) {
    const pace = new Pace(intervalMs)
    await pace.pause()
    const beganMs = performance.now()
    pace.begin()
    await pace.pause()
    pausesMs.push(performance.now() - beganMs)
  }
  t.same(pausesMs.filter((pauseMs) => pauseMs < intervalMs), [])
})

t.test('a pause ends when somebody waits, and none is made then', async (t) => {
  const pace = new Pace(LONG_MS)
  pace.begin()
  const pausing = pace.pause()
  pace.hurry()
  await pausing
  pace.begin()
  await pace.pause()
  t.pass('hours are not over')
})

t.test('a drain stores together what came during the pause', async (t) => {
  const rig = new Rig(1_000_000, undefined, 50)
  const running = rig.drain.run()
  // Without a spool every batch waits for its commit; here none does.
  rig.journal.listeners.onAwaited = () => {}
  rig.append()
  await rig.server.reached('COMMIT', 1)
  for (let batch = 0; batch < 5; batch++) rig.append()
  await rig.batches.at(-1)?.settled
  t.equal(rig.commits, 2)
  await rig.finish(running)
  rig.check(t)
})

t.test('a batch that waits for the commit is not kept waiting', async (t) => {
  const rig = new Rig(1_000_000, undefined, LONG_MS)
  const running = rig.drain.run()
  for (let batch = 0; batch < 3; batch++) await rig.append().settled
  t.equal(rig.commits, 3)
  await rig.finish(running)
  rig.check(t)
})

t.test('a connection that is lost during the pause is noticed when it is over', async (t) => {
  const rig = new Rig(1_000_000, undefined, 50)
  const running = rig.drain.run()
  rig.journal.listeners.onAwaited = () => {}
  await rig.append().settled
  const [connection] = rig.server.connections
  connection?.onLost(connection.lose())
  await rig.server.reached('connect', 2)
  t.equal(rig.drain.retries, 1, 'though no frame came')
  await rig.finish(running)
  rig.check(t)
})
