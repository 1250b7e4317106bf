/** The pool of connections for queries, with connections that only count: none outlives the pool. */
import { mock } from 'node:test'
import t from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { QUERY_SETTINGS, QueryPool, RUN_MS_MAX } from '../../../lib/database/query-pool.js'
import { OperatingError } from '../../../lib/support/errors.js'

/** Connects when told, and rejects what runs when destroyed. */
class Server {
  readonly open = new Set<object>()
  opened = 0
  mostOpen = 0
  settingsFail = false
  gate: Promise<void> = Promise.resolve()

  /** The deadlines that it was opened with. */
  readonly statementMsMax = new Set<number>()

  readonly connect = async (statementMsMax: number): Promise<Database> => {
    this.opened++
    this.statementMsMax.add(statementMsMax)
    await this.gate
    let lose = (_: Error): void => undefined
    const lost = new Promise<never>((_resolve, reject) => { lose = reject })
    lost.catch(() => undefined)
    const db = {
      alive: true,
      query: async (text: string) => {
        if (text === QUERY_SETTINGS && this.settingsFail) throw new OperatingError('database_unavailable')
        return text === 'hang' ? await lost : { rows: [], rowCount: 0 }
      },
      destroy: () => {
        db.alive = false
        this.open.delete(db)
        lose(new OperatingError('database_unavailable'))
      }
    }
    this.open.add(db)
    this.mostOpen = Math.max(this.mostOpen, this.open.size)
    return db as unknown as Database
  }
}

const hang = async (db: Database): Promise<unknown> => await db.query('hang')
const pass = async (db: Database): Promise<unknown> => await db.query('pass')
const UNAVAILABLE = { code: 'database_unavailable' }

t.test('closing while a connection is being opened', async (t) => {
  const server = new Server()
  const pool = new QueryPool(1, server.connect)
  let connect = (): void => undefined
  server.gate = new Promise((resolve) => { connect = resolve })
  const refused = t.rejects(pool.run(pass), UNAVAILABLE)
  const closed = pool.close()
  connect()
  await Promise.all([refused, closed])
  t.equal(server.open.size, 0)
})

t.test('closing refuses what waits and what comes later, and opens nothing', async (t) => {
  const server = new Server()
  const pool = new QueryPool(2, server.connect)
  const begun = new Promise<void>((resolve) => {
    let count = 0
    const begin = async (db: Database): Promise<unknown> => {
      if (++count === 2) resolve()
      return await hang(db)
    }
    for (let each = 0; each < 2; each++) void t.rejects(pool.run(begin), UNAVAILABLE)
  })
  const waiting = [1, 2, 3].map(async () => { await t.rejects(pool.run(pass), UNAVAILABLE) })
  await begun
  await pool.close()
  await Promise.all(waiting)
  await t.rejects(pool.run(pass), UNAVAILABLE)
  t.equal(server.open.size, 0)
  t.equal(server.opened, 2)
})

t.test('a connection whose settings are refused is closed', async (t) => {
  const server = new Server()
  server.settingsFail = true
  const pool = new QueryPool(1, server.connect)
  await t.rejects(pool.run(pass), UNAVAILABLE)
  t.equal(server.open.size, 0)
  await pool.close()
})

t.test('a query waits in a bounded queue, for a bounded time', async (t) => {
  const server = new Server()
  const pool = new QueryPool(1, server.connect)
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const first = t.rejects(pool.run(hang), { code: 'query_timeout' })
  const waiting = Array.from({ length: 32 }, async () => {
    await t.rejects(pool.run(pass), { code: 'too_busy', message: /^Earlier queries took too long/ })
  })
  await t.rejects(pool.run(pass), { code: 'too_busy', message: /^Too many queries/ })
  mock.timers.tick(4_000)
  await Promise.all(waiting)
  mock.timers.tick(500)
  await first
  mock.timers.reset()
  await pool.run(pass)
  await pool.close()
  t.equal(server.open.size, 0)
})

t.test('never more connections than agreed, though a caller runs again at once', async (t) => {
  const server = new Server()
  const pool = new QueryPool(1, server.connect)
  await Promise.all([1, 2, 3].map(async () => {
    for (let round = 0; round < 10; round++) await pool.run(pass)
  }))
  t.equal(server.mostOpen, 1)
  await pool.close()
  t.equal(server.open.size, 0)
})

t.test('one deadline for all that a query does; it is not repeated after that', async (t) => {
  const server = new Server()
  const pool = new QueryPool(1, server.connect)
  await pool.run(pass)
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let begin = (): void => undefined
  const begun = new Promise<void>((resolve) => { begin = resolve })
  const late = t.rejects(pool.run(async (db, leftMs) => {
    t.ok(leftMs() >= 1 && leftMs() <= 4_000)
    begin()
    return await hang(db)
  }), { code: 'query_timeout' })
  await begun
  mock.timers.tick(RUN_MS_MAX)
  await late
  t.equal(server.opened, 1)
  t.equal(server.open.size, 0)
  await pool.run(pass)
  t.equal(server.opened, 2)
  t.strictSame([...server.statementMsMax], [4_000], 'the server cancels it, too')
  await pool.close()
})
