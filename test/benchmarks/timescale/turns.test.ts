import t from 'tap'
import { Chores } from '../../../benchmarks/timescale/chores.js'
import { sharedConnection, takenBetween, Turns } from '../../../benchmarks/timescale/turns.js'
import type { Database } from '../../../lib/database/database.js'

/** Records when statements begin and end. */
function noting (): { database: Database, notes: string[] } {
  const notes: string[] = []
  const query = async (text: string): Promise<{ rows: never[], rowCount: number }> => {
    notes.push(`${text} begins`)
    await new Promise(setImmediate)
    notes.push(`${text} ends`)
    return { rows: [], rowCount: 0 }
  }
  return {
    database: { alive: true, backendPid: 7, query, destroy: () => notes.push('destroyed') } as unknown as Database,
    notes
  }
}

t.test('statements of a turn are not interleaved, even after a failure', async t => {
  const { database, notes } = noting()
  const turns = new Turns(database)
  const failed = turns.take('a', async (on) => {
    await on.query('1')
    throw new Error('boom')
  })
  const both = turns.take('b', async (on) => {
    await on.query('2')
    await on.query('3')
  })
  const shared = sharedConnection(turns, 'c').query('4')
  await t.rejects(failed, { message: 'boom' })
  await Promise.all([both, shared])
  t.same(notes, ['1', '2', '3', '4'].flatMap((text) => [`${text} begins`, `${text} ends`]))
})

t.test('time is attributed to purposes, and between two moments', async t => {
  const turns = new Turns(noting().database)
  await turns.take('a', async (on) => await on.query('1'))
  const before = turns.taken()
  await turns.take('b', async (on) => await on.query('2'))
  const after = turns.taken()
  t.same(Object.keys(before.busySeconds), ['a'])
  t.equal(takenBetween(before, after).busySeconds['a'], 0)
  t.ok((takenBetween(before, after).busySeconds['b'] ?? 0) > 0)
  t.same(Object.keys(after.cpuSeconds), ['a', 'b'])
})

t.test('closing a shared connection keeps the underlying one', async t => {
  const { database, notes } = noting()
  const shared = sharedConnection(new Turns(database), 'a')
  t.equal(shared.alive, true)
  await shared.close()
  t.equal(shared.alive, false)
  t.same(notes, [])
})

t.test('chores repeat until the end', async t => {
  const { database, notes } = noting()
  let runs = 0
  await new Promise<void>((resolve) => {
    const run = async (on: Database): Promise<void> => {
      await on.query(String(++runs))
      if (runs === 3) resolve()
    }
    const chores = new Chores(new Turns(database), [{ purpose: 'a', everyMs: 2, run }], performance.now())
    t.teardown(() => chores.end())
  })
  t.ok(notes.length >= 6)
})

t.test('a failed chore is reported at the end, and not retried', async t => {
  let runs = 0
  const chores = await new Promise<Chores>((resolve) => {
    const run = async (): Promise<void> => {
      runs++
      setImmediate(() => { resolve(failing) })
      await Promise.reject(new Error('boom'))
    }
    const failing = new Chores(new Turns(noting().database), [{ purpose: 'a', everyMs: 2, run }], performance.now())
  })
  await t.rejects(chores.end(), { message: 'boom' })
  t.equal(runs, 1)
})
