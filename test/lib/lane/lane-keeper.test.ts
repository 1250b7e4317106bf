/** The keeper of lanes in a server that cannot do its part: it must not keep others from doing theirs. */
import t from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { LaneKeeper, type LaneKeeperOptions } from '../../../lib/lane/lane-keeper.js'
import { silentLog } from '../../support/database/postgres.js'

/** Begins, and stops after the first beat. */
async function beat (options: Pick<LaneKeeperOptions, 'connect' | 'canGive'>): Promise<void> {
  const keeper = new LaneKeeper({
    ...options,
    instance: 'test',
    takeOverMs: 30_000,
    log: silentLog,
    writers: () => [],
    give: () => false,
    list: async () => await Promise.resolve([])
  })
  const stopped = new Promise<void>((resolve) => {
    keeper.start()
    setImmediate(() => { resolve(keeper.stop()) })
  })
  await stopped
}

t.test('without a worker that could drain them, no lanes are claimed: another server may have one', async (t) => {
  for (const canGive of [false, true]) {
    const statements: string[] = []
    const db = {
      query: async (text: string) => {
        statements.push(text)
        return await Promise.resolve({ rows: [], rowCount: 0 })
      },
      close: async () => { await Promise.resolve() }
    } as unknown as Database
    await beat({ connect: async () => await Promise.resolve(db), canGive: () => canGive })
    t.equal(statements.some((text) => text.includes('SET drainer = $1')), canGive)
  }
})

t.test('a database that does not answer is given up, before others take the lanes of this server over', async (t) => {
  const bounds: number[] = []
  await beat({
    connect: async (statementMsMax) => {
      bounds.push(statementMsMax)
      return await Promise.reject(new Error('away'))
    },
    canGive: () => true
  })
  t.equal(bounds.length, 1)
  t.ok((bounds[0] ?? Infinity) < 30_000, 'LOG_TAKEOVER')
})
