/** The ledger falls behind while the server runs: when that is taken for a promoted standby that lacked commits. */
import t from 'tap'
import type { DrainOptions } from '../../../lib/drain/drain.js'
import { Rig } from '../../support/journals/drain-rig.js'
import { serverError } from '../../support/database/fake-database.js'

type Find = NonNullable<DrainOptions['findLostCommits']>

/** Loses the connection after two commits; the next server has one of them, and this timeline. */
async function failOver (timeline: readonly [number | null, number | null], find: Find): Promise<Rig> {
  const rig = new Rig(undefined, undefined, undefined, { findLostCommits: find })
  rig.server.timeline = timeline[0]
  const running = rig.drain.run()
  await rig.append().settled
  await rig.append().settled
  rig.server.ledger = { ...rig.server.ledger!, sequence: 1 }
  rig.server.timeline = timeline[1]
  const [connection] = rig.server.connections
  connection?.onLost(connection.lose())
  await running
  return rig
}

t.test('promoted, and nothing else differs: a new process is to store them again', async (t) => {
  const rig = await failOver([1, 2], async (_db, { sequence }) => await Promise.resolve(sequence === 1))
  t.equal(rig.drain.state, 'halted')
  t.match(rig.drain.lastError, /frame 1 for test\/0, though frame 2 was committed\. The database has lost commits.* stores them again/)
})

t.test('frames are gone, or the database has them: a person decides', async (t) => {
  const rig = await failOver([1, 2], async () => await Promise.resolve(false))
  t.equal(rig.drain.state, 'halted')
  t.notMatch(rig.drain.lastError, /stores them again/)
})

t.test('the old primary came back, a row was set back, or the server does not tell: nobody looks', async (t) => {
  for (const timeline of [[2, 1], [1, 1], [null, 2], [1, null]] as const) {
    let asked = 0
    const rig = await failOver(timeline, async () => await Promise.resolve(asked++ === 0))
    t.equal(rig.drain.state, 'halted')
    t.notMatch(rig.drain.lastError, /stores them again/)
    t.equal(asked, 0)
  }
})

t.test('it cannot be found out: a person decides, and the log says why', async (t) => {
  const rig = await failOver([1, 2], async () => await Promise.reject(serverError('42501', 'no temporary tables')))
  t.equal(rig.drain.state, 'halted')
  t.notMatch(rig.drain.lastError, /stores them again/)
  t.match(rig.lines.find((line) => line.includes('could not find out')), /no temporary tables/)
})

t.test('the look-up takes too long: tries again', async (t) => {
  let asked = 0
  const rig = await failOver([1, 2], async () => {
    if (asked++ === 0) throw serverError('57014')
    return await Promise.resolve(true)
  })
  t.equal(asked, 2)
  t.match(rig.drain.lastError, /stores them again/)
})
