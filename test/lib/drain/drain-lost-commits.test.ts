/** The ledger falls behind while the server runs: when that is taken for a promoted standby that lacked commits. */
import t from 'tap'
import type { DrainOptions } from '../../../lib/drain/drain.js'
import { Batch, Rig, rowOf } from '../../support/journals/drain-rig.js'
import { serverError } from '../../support/database/fake-database.js'
import { makeDirectory, openTestSpool } from '../spool/support.js'

type Find = NonNullable<DrainOptions['findLostCommits']>

/** Loses the connection after two commits; the next server has one of them, or not even the row, and this timeline. */
async function failOver (
  timeline: readonly [number | null, number | null], find: Find, hasRow = true
): Promise<Rig> {
  const rig = new Rig(undefined, undefined, undefined, { findLostCommits: find })
  rig.server.timeline = timeline[0]
  const running = rig.drain.run()
  await rig.append().settled
  await rig.append().settled
  rig.server.ledger = hasRow ? { ...rig.server.ledger!, sequence: 1 } : null
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

t.test('promoted so soon that even the row of the ledger is missing: the same', async (t) => {
  const rig = await failOver([1, 2], async (_db, { epoch }) => await Promise.resolve(epoch === 0), false)
  t.equal(rig.drain.state, 'halted')
  t.match(rig.drain.lastError, /frame 0 for test\/0, though frame 2 was committed\. .* stores them again/)
  t.match(rig.server.ledger, { epoch: 0, sequence: 0 }, 'where that process begins')
  const deleted = await failOver([1, 1], async () => await Promise.resolve(true), false)
  t.match(deleted.drain.lastError, /has no row/)
  t.equal(deleted.server.ledger, null)
})

t.test('promoted before anything was stored: the row is inserted again', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  const findLostCommits: Find = async () => await Promise.resolve(false)
  const rig = new Rig(undefined, undefined, undefined, { journal: spool, findLostCommits })
  const running = rig.drain.run()
  while (rig.drain.state !== 'ready') await new Promise((resolve) => setImmediate(resolve))
  Object.assign(rig.server, { ledger: null, timeline: 2 })
  const [connection] = rig.server.connections
  connection?.onLost(connection.lose())
  spool.append(new Batch([rowOf(1)]))
  await rig.server.reached('COMMIT')
  spool.end()
  await running
  t.equal(rig.server.rows.length, 1)
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
