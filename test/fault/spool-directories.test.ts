/** The spool directory over the lives of programs: fewer workers than before, and two programs at once. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.js'
import { conservationErrorPoints, drained, readyWorkers } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, startProgram } from '../support/programs/program.js'
import { verify, withDatabase } from '../support/load/verify.js'

const MANY = 4

t.setTimeout(200_000)
t.test('one worker delivers what four have left behind', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const dataDir = await temporaryDirectory(t)
  const first = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', String(MANY)] })
  const client = new JournalClient({ url: first.url, pointsPerRequest: 5 })
  client.start(2_000)
  await client.acknowledgedMore(200)
  await postgres.kill()
  const waiting = await eventually('frames wait in all slots', 60_000, async () => {
    await client.acknowledgedMore(200)
    // The kernel shares connections out by chance: new ones reach the worker that has none.
    client.moveTo(first.url)
    const workers = await readyWorkers(first.url)
    return workers.length === MANY && workers.every((worker) => worker.waiting > 0) ? workers : undefined
  })
  t.comment(`points that wait, by slot: ${waiting.map((worker) => worker.waiting).join(', ')}`)
  await first.program.stop('SIGKILL')
  await client.stop()
  await postgres.start()

  const second = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] })
  const later = new JournalClient({ url: second.url, pointsPerRequest: 5, firstNumber: 10_000_000 })
  later.start(1_000)
  await later.acknowledgedMore(500)
  await later.stop()
  await drained(second.url)
  t.equal(await conservationErrorPoints(second.url), 0)
  const ledger = await withDatabase(postgres, async (db) => (await db.query('SELECT FROM ingest_ledger')).rowCount)
  t.equal(ledger, MANY, 'each slot has its row in the ledger, and none has two')
  t.equal(await second.program.stop(), 0)
  await verify(t, postgres, [client, later])
})

t.test('a slot of nobody that cannot be opened is named, and keeps nobody from storing', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  await mkdir(join(dataDir, 'spool'))
  await writeFile(join(dataDir, 'spool', 'slot-7'), 'not a directory')
  const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 5 })
  client.start()
  await client.acknowledgedMore(100)
  await client.stop()
  const health = await (await fetch(`${ingest.url}/health`)).json() as { status: string, reasons: string[] }
  t.equal(health.status, 'degraded')
  t.match(health.reasons, [/^the spool of slot-7, which has no worker, cannot be opened; .*EEXIST/])
  t.equal(await ingest.program.stop(), 0)
  await verify(t, postgres, [client])
})

t.test('a slot of a worker that cannot be opened is named, and the other workers serve on', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  await mkdir(join(dataDir, 'spool'))
  await writeFile(join(dataDir, 'spool', 'slot-0'), 'not a directory')
  const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '2'] })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 5 })
  client.start()
  await client.acknowledgedMore(100)
  await client.stop()
  const health = await (await fetch(
    `${ingest.url}/health`)).json() as { status: string, reasons: string[], workers: Array<{ state: string }> }
  t.equal(health.status, 'degraded')
  t.match(health.reasons, [/^worker 0 is (waiting to be restarted|starting) after .*EEXIST/])
  t.equal(health.workers[1]?.state, 'ready')
  t.equal(await ingest.program.stop(), 0)
  await verify(t, postgres, [client])
})

t.test('a second program on the same SPOOL_DIR is refused, and the first goes on', async (t) => {
  const postgres = await startTestPostgres(t)
  const spoolDir = join(await temporaryDirectory(t), 'spool')
  await mkdir(spoolDir)
  const first = await startIngest(
    t, { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, env: { SPOOL_DIR: spoolDir } })
  const second = startProgram(t, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', '0',
    '--data-dir', await temporaryDirectory(t), '--database-url', postgres.url
  ], { env: { SPOOL_DIR: spoolDir } })
  t.equal(await second.exit, 1)
  t.ok(
    second.stderr.includes(`The SPOOL_DIR ${spoolDir} is in use by process ${first.program.pid} on host`),
    second.stderr)
  t.notMatch(second.stderr, /at .*\.js/, 'no stack for an operating error')
  const client = new JournalClient({ url: first.url, pointsPerRequest: 5 })
  client.start()
  await client.acknowledgedMore(100)
  await client.stop()
  t.equal(await first.program.stop(), 0)
  await verify(t, postgres, [client])
})
