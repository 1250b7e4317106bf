/** The keeper of lanes in a server that cannot do its part: it must not keep others from doing theirs. */
import t from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { HALTED_LANES_MAX, LaneKeeper, LOST_LANES_MAX, type LaneKeeperOptions } from '../../../lib/lane/lane-keeper.js'
import { silentLog } from '../../support/database/postgres.js'

type Told = Pick<LaneKeeperOptions, 'connect' | 'canGive'> & Partial<LaneKeeperOptions>

function keeperOf (options: Told): LaneKeeper {
  return new LaneKeeper({
    instance: 'test',
    takeOverMs: 30_000,
    log: silentLog,
    writers: () => [],
    give: () => false,
    leave: () => {},
    halted: () => new Set(),
    list: async () => await Promise.resolve([]),
    ...options
  })
}

/** Begins, and stops after the first beat. */
async function beat (options: Told): Promise<void> {
  const keeper = keeperOf(options)
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

interface Answers {
  /** Rows of the next claim. */
  claimed: readonly object[]
  /** Lanes that are still drained by this server. */
  own: readonly string[]
}

/** A database whose table of lanes says this. Records the lanes that are said to be drained. */
function tableOf (answers: Answers, said: Array<readonly string[]>): Database {
  const rowsOf = (text: string, values: readonly unknown[]): readonly object[] => {
    if (text.includes('SET drainer = $1')) return answers.claimed
    if (!text.includes('lane = ANY ($2)')) return []
    said.push(values[1] as readonly string[])
    return answers.own.map((lane) => ({ lane }))
  }
  return {
    query: async (text: string, values: readonly unknown[] = []) =>
      await Promise.resolve({ rows: rowsOf(text, values), rowCount: 0 }),
    close: async () => { await Promise.resolve() }
  } as unknown as Database
}

const rowOf = (lane: string): object => ({ lane, slot: 0, instance: 'other', was_opened: true, is_old: false })

t.test('a lane whose writer is back is left, which is asked for until it is done', async (t) => {
  const said: Array<readonly string[]> = []
  const answers: Answers = { claimed: [rowOf('one'), rowOf('two')], own: ['one'] }
  const left: string[] = []
  await new Promise<void>((resolve) => {
    const keeper = keeperOf({
      connect: async () => await Promise.resolve(tableOf(answers, said)),
      canGive: () => true,
      intervalMs: 1,
      give: () => {
        answers.claimed = []
        return true
      },
      leave: (lane) => {
        left.push(lane)
        if (left.length === 3) keeper.dropped([lane])
        if (left.length === 3) resolve(keeper.stop())
      }
    })
    keeper.start()
  })
  t.strictSame(left, ['two', 'two', 'two'])
  t.strictSame(said, [[], ...Array.from({ length: 3 }, () => ['one', 'two'])])
})

t.test('lanes whose ledger does not fit keep no others from being drained, up to a bound', async (t) => {
  const given: string[] = []
  let [beats, claims] = [0, 0]
  await new Promise<void>((resolve) => {
    const table = tableOf({ claimed: [], own: [] }, [])
    const query = table.query.bind(table)
    const keeper = keeperOf({
      connect: async () => await Promise.resolve({
        ...table,
        query: async (text: string, values: readonly unknown[] = []) => {
          if (text.includes('lane = ANY ($2)') && ++beats === 10) resolve(keeper.stop())
          if (!text.includes('SET drainer = $1')) return await query(text, values)
          claims++
          const rows = Array.from({ length: Number(values[3]) }, (_, index) => rowOf(`lane ${claims}.${index}`))
          return { rows, rowCount: rows.length }
        }
      } as unknown as Database),
      canGive: () => true,
      intervalMs: 1,
      halted: () => new Set(given),
      give: ({ lane }) => {
        given.push(lane)
        return true
      }
    })
    keeper.start()
  })
  t.equal(given.length, LOST_LANES_MAX + HALTED_LANES_MAX)
  t.equal(claims, 5)
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
