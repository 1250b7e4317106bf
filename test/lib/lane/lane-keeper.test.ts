/** The keeper of lanes in a server that cannot do its part: it must not keep others from doing theirs. */
import t from 'tap'
import { LaneKeeper, type LaneKeeperOptions } from '../../../lib/lane/lane-keeper.js'
import { silentLog } from '../../support/database/postgres.js'

/** Begins, and stops after the first beat. */
async function beat (options: Pick<LaneKeeperOptions, 'connect'>): Promise<void> {
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

t.test('a database that does not answer is given up, before others take the lanes of this server over', async (t) => {
  const bounds: number[] = []
  await beat({
    connect: async (statementMsMax) => {
      bounds.push(statementMsMax)
      return await Promise.reject(new Error('away'))
    }
  })
  t.equal(bounds.length, 1)
  t.ok((bounds[0] ?? Infinity) < 30_000, 'LOG_TAKEOVER')
})
