/** Who may drain a lane, and when it is over. */
import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import {
  claimLanes, listLanes, noteClock, noteClosed, noteDrainer, noteFound, noteWriters
} from '../../../lib/lane/lane-table.js'
import { migrateSchema } from '../../../lib/schema/migrate.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'

const TAKEOVER_MS = 30_000
const [A, B] = ['server a', 'server b']

const db = await connect(
  await createTestDatabase(await startTestPostgres(t)), { applicationName: 'test', connectTimeoutMs: 5_000 })
t.teardown(() => db.close())
await migrateSchema(db, { log: silentLog })

const unseen = async (): Promise<void> => {
  await db.query("UPDATE ingest_lanes SET seen_at = now() - interval '1 minute'")
}
const claimed = async (instance: string): Promise<readonly string[]> =>
  (await claimLanes(db, instance, [], TAKEOVER_MS, 4)).map(({ lane }) => lane)
const isClosed = async (lane: string): Promise<boolean | undefined> =>
  (await listLanes(db, TAKEOVER_MS)).find((each) => each.lane === lane)?.closed

t.test('a lane whose writer came back is not closed by the server that drained it meanwhile', async (t) => {
  const lane = 'ab'.repeat(16)
  const writers = [{ lane, slot: 0, isOpen: true }]
  await noteWriters(db, A, writers)
  t.strictSame(await claimed(B), [], 'its server was just seen')
  await unseen()
  t.strictSame(await claimed(B), [lane])
  await noteWriters(db, A, writers)
  await noteClosed(db, B, lane, false)
  t.equal(await isClosed(lane), false, 'the writer may have appended what nobody else has seen')
  await unseen()
  t.strictSame(await claimed(B), [lane], 'and if its server is lost, it is drained again, at once')
  await noteClosed(db, B, lane, false)
  t.equal(await isClosed(lane), true)
  t.strictSame(await claimed(B), [])
})

t.test('a server that drains a lane learns that its writer is back, or that another server has it', async (t) => {
  const lane = '12'.repeat(16)
  const writers = [{ lane, slot: 0, isOpen: true }]
  await noteWriters(db, A, writers)
  await unseen()
  t.strictSame(await claimed(B), [lane])
  t.strictSame(await noteDrainer(db, B, [lane]), [])
  t.strictSame(await claimed('server c'), [], 'it was just seen')
  await unseen()
  t.strictSame(await claimed('server c'), [lane])
  t.strictSame(await noteDrainer(db, B, [lane]), [lane])
  await noteWriters(db, A, writers)
  t.strictSame(await noteDrainer(db, 'server c', [lane]), [lane])
  await noteClosed(db, A, lane, false)
})

t.test('a lane that was removed is drained again if its writer goes on in the log, without the database', async (t) => {
  const lane = '34'.repeat(16)
  const found = [{ lane, instance: A, slot: 0 }]
  await noteWriters(db, A, [{ lane, slot: 0, isOpen: true }])
  await unseen()
  t.strictSame(await claimed(B), [lane])
  await noteClosed(db, B, lane, true)
  await noteFound(db, found)
  t.strictSame(await claimed(B), [], 'the list may be older')
  await db.query("UPDATE ingest_lanes SET removed_at = now() - interval '2 hours' WHERE removed_at IS NOT NULL")
  await unseen()
  await noteFound(db, found)
  t.strictSame(await claimed(B), [lane])
  await noteFound(db, found)
  t.strictSame(await noteDrainer(db, B, [lane]), [], 'others are left as they are')
  await noteClosed(db, B, lane, true)
})

t.test('after the clock of the database was set back, lanes of lost servers wait no longer than usual', async (t) => {
  const lane = '56'.repeat(16)
  await noteWriters(db, A, [{ lane, slot: 0, isOpen: true }])
  const isAhead = async (): Promise<boolean> =>
    (await listLanes(db, TAKEOVER_MS)).some((each) => each.lane === lane && each.seenAgoMs < 0)
  await db.query("UPDATE ingest_lanes SET seen_at = now() + interval '1 day' WHERE lane = $1", [lane])
  t.equal(await isAhead(), true)
  await noteClock(db)
  t.equal(await isAhead(), false)
  t.strictSame(await claimed(B), [], 'it counts as just seen')
  await unseen()
  t.strictSame(await claimed(B), [lane])
  await noteClosed(db, B, lane, true)
})

t.test('a server closes the lane of its own worker that left nothing behind', async (t) => {
  const lane = 'cd'.repeat(16)
  await noteWriters(db, A, [{ lane, slot: 1, isOpen: true }])
  await noteClosed(db, A, lane, false)
  t.equal(await isClosed(lane), true)
})
