import t from 'tap'
import type { Test } from 'tap'
import { isConnectionError, isUnanswered, sqlState, connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { startTestPostgres } from '../../support/database/postgres.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const MEGABYTE = Buffer.alloc(1_000_000, 'aaaaaaa\n')
/** Sent piece by piece as the server takes it: long enough for a fault to come in between. */
const MANY = Array.from({ length: 400 }, () => MEGABYTE)
const MEGABYTES = MANY.slice(0, 8)

const shared = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  return database
}

/** A connection with a table of one text column. */
async function openWithTable (t: Test, url: string): Promise<Database> {
  const database = await open(t, url)
  await database.query('CREATE TEMP TABLE words (word text)')
  return database
}

/** The rows that the server took. */
async function copyInto (database: Database, sql: string, chunks: readonly Buffer[]): Promise<number> {
  return (await database.copyAfter(['BEGIN', 'SELECT 1'], sql, chunks)).copied
}

/** The error that a promise rejects with. */
async function failure (work: Promise<unknown>): Promise<unknown> {
  return await work.then(() => null, (error: unknown) => error)
}

interface RunningCopy {
  readonly observer: Database
  readonly database: Database
  /** The error that it ends with. */
  readonly copy: Promise<unknown>
}

/** A COPY of which the server has taken some, and another connection. */
async function startCopy (t: Test, url: string): Promise<RunningCopy> {
  const observer = await open(t, url)
  const database = await openWithTable(t, url)
  const copy = failure(copyInto(database, 'COPY words FROM STDIN', MANY))
  for (;;) {
    const { rows } = await observer.query(
      'SELECT 1 FROM pg_stat_progress_copy WHERE pid = $1 AND bytes_processed > 0', [database.backendPid])
    if (rows.length > 0) return { observer, database, copy }
  }
}

t.test('queries', async t => {
  const { url } = shared
  const database = await open(t, url)
  t.same((await database.query<{ sum: number }>('SELECT $1::int + 1 AS sum', [1])).rows, [{ sum: 2 }])
  t.same(
    await database.query('SELECT 1 AS a; SELECT 2 AS b'), { rows: [{ b: 2 }], rowCount: 1 },
    'the last of several statements counts')
  t.equal((await database.query('CREATE TEMP TABLE t (a int)')).rowCount, 0)
  t.equal((await database.query('INSERT INTO t VALUES (1), (2)')).rowCount, 2)
  const { rows } = await database.query<{ pid: number, name: string }>(
    'SELECT pg_backend_pid() AS pid, current_setting(\'application_name\') AS name')
  t.same(rows, [{ pid: database.backendPid, name: OPTIONS.applicationName }])

  const error = await failure(database.query('SELECT 1 / 0'))
  t.equal(sqlState(error), '22012')
  t.notOk(isConnectionError(error), 'an error of the statement is none of the connection')
  t.ok(database.alive, 'and the connection goes on')
  t.equal((await database.query('SELECT 1')).rowCount, 1)
})

t.test('connecting', async t => {
  const server = await startTestPostgres(t)
  const wrong = new URL(server.url)
  wrong.password = 'wrong'
  const refused = await failure(connect(wrong.href, OPTIONS))
  t.equal(sqlState(refused), '28P01')
  t.notOk(isConnectionError(refused), 'a wrong password does not become right by trying again')

  await server.stop()
  const away = await failure(connect(server.url, OPTIONS))
  t.equal(sqlState(away), null)
  t.ok(isConnectionError(away))
  t.match(away, { code: 'database_unavailable', message: /ECONNREFUSED/ })
})

t.test('COPY after statements: one round trip, with the rows of each', async t => {
  const { url } = shared
  const database = await openWithTable(t, url)
  const copy = 'COPY words FROM STDIN'
  t.same(await database.copyAfter(
    ['BEGIN', "INSERT INTO words VALUES ('a'), ('b')", "SELECT 1 WHERE 'a' = 'b'", "UPDATE words SET word = 'c'"],
    copy, [Buffer.from('one\n'), MEGABYTE]),
  { counts: [0, 2, 0, 2], copied: 1 + MEGABYTE.length / 8 })
  t.equal((await database.query('SELECT FROM words')).rowCount, 3 + MEGABYTE.length / 8)
  await database.query('ROLLBACK')
  t.equal((await database.query('SELECT FROM words')).rowCount, 0, 'in the transaction that they began')
  t.same(await database.copyAfter([], copy, []), { counts: [], copied: 0 })
  t.same(await database.copyAfter([], copy, [Buffer.from('one\n')]), { counts: [], copied: 1 })
  t.equal((await database.query('SELECT FROM words')).rowCount, 1)

  await database.query('BEGIN; SAVEPOINT before')
  for (const [statement, sql, chunks, state] of [
    ['SELECT 1 / 0', copy, MEGABYTES, '22012'],
    ['SELECT 1', 'COPY absent FROM STDIN', MEGABYTES, '42P01'],
    ['SELECT 1', copy, [...MEGABYTES, Buffer.from('a\tb\n'), ...MEGABYTES], '22P04']
  ] as const) {
    t.equal(
      sqlState(await failure(database.copyAfter([statement], sql, chunks))), state,
      'rows that nobody takes are in no way')
    t.equal(
      (await database.copyAfter(['ROLLBACK TO SAVEPOINT before'], copy, [Buffer.from('two\n')])).copied, 1,
      'and the session goes on')
  }
  await database.query('COMMIT')
  t.equal((await database.query('SELECT FROM words')).rowCount, 2)
})

t.test('backend killed in the middle of a COPY', async t => {
  const { observer, database, copy } = await startCopy(t, shared.url)
  await observer.query('SELECT pg_terminate_backend($1)', [database.backendPid])
  t.ok(isConnectionError(await copy))
  t.notOk(database.alive)
})

t.test('server killed in the middle of a COPY, and between two statements', async t => {
  const server = await startTestPostgres(t)
  const idle = await open(t, server.url)
  const losses: Error[] = []
  const lost = new Promise<void>(resolve => {
    idle.onLost = error => {
      losses.push(error)
      resolve()
    }
  })
  const { copy } = await startCopy(t, server.url)
  await server.kill()
  t.ok(isConnectionError(await copy))
  await lost
  t.notOk(idle.alive)
  t.equal(losses.length, 1)
  t.ok(isConnectionError(await failure(idle.query('SELECT 1'))))

  await server.start()
  const again = await open(t, server.url)
  t.equal((await again.query('SELECT 1')).rowCount, 1, 'a new connection to the same URL works')
})

const COPY_OUT = "COPY (SELECT repeat('a', 1000) FROM generate_series(1, 1000000)) TO STDOUT"

t.test('server killed, or silent, in the middle of a COPY to the client', async t => {
  const server = await startTestPostgres(t)
  const killed = await connect(server.url, OPTIONS)
  const reading = killed.copyOut(COPY_OUT)[Symbol.asyncIterator]()
  await reading.next()
  await server.kill()
  const error = await failure((async () => {
    while (!((await reading.next()).done ?? false));
  })())
  t.ok(isConnectionError(error), String(error))
  t.notOk(isUnanswered(error))
  t.notOk(killed.alive)

  const silent = await connect(shared.url, { ...OPTIONS, statementMsMax: 50 })
  process.kill(silent.backendPid, 'SIGSTOP')
  const unanswered = await failure(silent.copyOut(COPY_OUT)[Symbol.asyncIterator]().next())
  process.kill(silent.backendPid, 'SIGCONT')
  t.ok(isUnanswered(unanswered), String(unanswered))
  t.notOk(silent.alive)
})

t.test('close waits for a COPY that is under way', async t => {
  const { url } = shared
  const database = await openWithTable(t, url)
  let losses = 0
  database.onLost = () => { losses++ }
  const chunks = MANY.slice(0, 20)
  const copy = copyInto(database, 'COPY words FROM STDIN', chunks)
  const closed = database.close()
  t.equal(database.close(), closed, 'callers share one closing')
  t.equal(await copy, chunks.length * MEGABYTE.length / 8)
  await closed
  t.notOk(database.alive)
  t.equal(losses, 0)
  t.ok(isConnectionError(await failure(database.query('SELECT 1'))))
})

t.test('a statement that takes too long is cancelled, and the session goes on', async t => {
  const database = await connect(shared.url, { ...OPTIONS, statementMsMax: 50 })
  t.teardown(() => database.close())
  const error = await failure(database.query('SELECT pg_sleep(600)'))
  t.equal(sqlState(error), '57014')
  t.ok(isUnanswered(error))
  t.equal((await database.query('SELECT 1')).rowCount, 1)
})

t.test('a server that falls silent, between statements and in a COPY, is given up', async t => {
  for (const work of [
    async (database: Database) => await database.query('SELECT 1'),
    async (database: Database) => await copyInto(database, 'COPY words FROM STDIN', MANY)
  ]) {
    const silent = await connect(shared.url, { ...OPTIONS, statementMsMax: 50 })
    t.teardown(() => silent.destroy())
    await silent.query('CREATE TEMP TABLE words (word text)')
    let lost: Error | null = null
    silent.onLost = (error) => { lost = error }
    process.kill(silent.backendPid, 'SIGSTOP')
    const error = await failure(work(silent))
    process.kill(silent.backendPid, 'SIGCONT')
    t.ok(isUnanswered(error) && isConnectionError(error), String(error))
    t.notOk(silent.alive)
    t.ok(lost)
  }
})

t.test('close gives up on a statement that does not end', async t => {
  const { url } = shared
  const database = await open(t, url)
  const sleep = failure(database.query('SELECT pg_sleep(60)'))
  const begin = performance.now()
  await database.close()
  t.ok(performance.now() - begin < 15_000)
  t.ok(isConnectionError(await sleep))
})

t.test('destroy ends a COPY at once, or before it began', async t => {
  const { database, copy } = await startCopy(t, shared.url)
  database.destroy()
  t.ok(isConnectionError(await copy))

  const early = await openWithTable(t, shared.url)
  const refused = failure(copyInto(early, 'COPY words FROM STDIN', MANY))
  early.destroy()
  t.ok(isConnectionError(await refused))
  t.ok(isConnectionError(await failure(copyInto(early, 'COPY words FROM STDIN', MANY))), 'and after it')
})
