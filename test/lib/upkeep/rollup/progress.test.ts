import t from 'tap'
import type { Database } from '../../../../lib/database/database.js'
import { describeWaiting, FillRate, ProgressWatch } from '../../../../lib/upkeep/rollup/progress.js'

t.test('the time that is left follows the rate', (t) => {
  const rate = new FillRate()
  t.equal(rate.remaining(1_000, 0), null, 'not known yet')
  t.equal(rate.remaining(900, 10_000), 90)
  t.equal(rate.remaining(900, 10_000), 90, 'asked twice at once')
  t.equal(rate.remaining(800, 20_000), 80)
  t.equal(rate.remaining(2_000, 30_000), null, 'it gets more')
  t.equal(rate.remaining(1_500, 40_000), 30)
  t.equal(rate.remaining(0, 50_000), 0)
  t.end()
})

t.test('what waits is said in large units', (t) => {
  t.equal(
    describeWaiting({ waitingMinutes: 43_200, remainingSeconds: 7_201 }), '43,200 minutes of rollups, for about 3h')
  t.equal(describeWaiting({ waitingMinutes: 100, remainingSeconds: 90 }), '100 minutes of rollups, for about 90s')
  t.equal(describeWaiting({ waitingMinutes: 100, remainingSeconds: null }), '100 minutes of rollups')
  t.end()
})

t.test('the log says that much waits, how it goes on, and that it is done', async (t) => {
  let nowMs = 0
  let row = { minutes: 59, failed: 0, failure: null as string | null }
  const lines: string[] = []
  const say = (_: unknown, text = ''): void => { lines.push(text) }
  const database = { query: () => Promise.resolve({ rows: [row], rowCount: 1 }) } as unknown as Database
  const watch = new ProgressWatch({ info: say, warn: say, error: say }, () => nowMs)
  const look = async (minutes: number, seconds: number, failed = 0): Promise<void> => {
    row = { minutes, failed, failure: failed > 0 ? 'overflow' : null }
    nowMs = seconds * 1_000
    await watch.look(database)
  }
  await look(59, 0)
  t.same(lines, [], 'as every day')
  await look(1_000, 9)
  t.equal(watch.current.waitingMinutes, 59, 'looked at every ten seconds')
  await look(1_000, 10)
  await look(900, 20)
  await look(500, 310)
  await look(0, 400)
  await look(59, 500, 1)
  t.match(lines, [
    /^1,000 minutes of rollups are pending/, /^500 minutes of rollups, for about /, 'All rollups are up to date',
    /cannot be rolled up and are skipped/
  ])
  t.match(watch.current, { waitingMinutes: 59, failedBuckets: 1, failure: 'overflow' })
})
