/** Processes that end under load, politely or not: nothing acknowledged is missing, nothing is there twice. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { request } from 'undici'
import { readyWorkers } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { verify } from '../support/load/verify.js'

/** False also for a process that has ended and that nobody has waited for yet. */
async function runs (pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z')
  } catch {
    return false
  }
}

t.setTimeout(200_000)
t.test('SIGTERM under load: all that was acknowledged is stored, exit code 0', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const ingest = await startIngest(t, { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 1 })
  client.start()
  await client.acknowledgedMore(2_000)
  t.equal(await ingest.program.stop('SIGTERM'), 0)
  await client.stop()
  await verify(t, postgres, [client])
})

t.test('kill -9 of a worker: replaced within a second, the others serve on', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const ingest = await startIngest(
    t, { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, args: ['--workers', '2'] })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 3 })
  client.start()
  for (let round = 0; round < 3; round++) {
    await client.acknowledgedMore(1_000)
    const [victim] = await readyWorkers(ingest.url)
    const from = ingest.program.lines.length
    process.kill(victim!.pid, 'SIGKILL')
    await client.acknowledgedMore(100)
    const { afterMs } = await ingest.program.line((line) => line.msg === 'the new worker is serving', from)
    t.comment(`the new worker served after ${String(afterMs)} ms`)
  }
  await client.stop()
  t.equal((await readyWorkers(ingest.url)).length, 2)
  t.equal(await ingest.program.stop(), 0)
  await verify(t, postgres, [client])
})

t.test('kill -9 of the primary: workers end, a new start works', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const dataDir = await temporaryDirectory(t)
  const first = await startIngest(t, { dataDir, databaseUrl: postgres.url })
  const client = new JournalClient({ url: first.url, pointsPerRequest: 1 })
  client.start()
  await client.acknowledgedMore(1_000)
  const workers = await readyWorkers(first.url)
  t.equal(await first.program.stop('SIGKILL'), 'SIGKILL')
  await client.stop()
  const second = await startIngest(t, { dataDir, databaseUrl: postgres.url })
  for (const { pid } of workers) t.notOk(await runs(pid), 'the worker has ended')
  const later = new JournalClient({ url: second.url, pointsPerRequest: 1, firstNumber: 10_000_000 })
  later.start()
  await later.acknowledgedMore(500)
  await later.stop()
  t.equal(await second.program.stop(), 0)
  await verify(t, postgres, [client, later])
})

t.test('PostgreSQL away and back: nothing is missing, no restart needed', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const ingest = await startIngest(t, { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 10 })
  client.start(1_000)
  for (const end of ['stop', 'kill'] as const) {
    await client.acknowledgedMore(500)
    const from = ingest.program.lines.length
    await postgres[end]()
    await ingest.program.line((line) => line.msg?.startsWith('database writes are failing') === true, from)
    const { body } = await request(`${ingest.url}/health`)
    t.match(await body.json(), { status: 'degraded', reasons: [/database writes are failing/] })
    await postgres.start()
    // An outage that begins before the last one was over is not said again.
    await ingest.program.line((line) => line.msg === 'the database is back; storing queued points', from)
  }
  await client.acknowledgedMore(500)
  await client.stop()
  t.equal(await ingest.program.stop(), 0)
  await verify(t, postgres, [client])
})
