/** A disk that is full, or that fails to write down: no point is acknowledged that is not stored later. */
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { eventually } from '../support/eventually.js'
import { conservationErrorPoints, drained, readHealth, readyWorkers } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { injectError } from '../support/faults/strace.js'
import { Tmpfs } from '../support/faults/tmpfs.js'
import { verify } from '../support/load/verify.js'

const MEGABYTE = 1024 * 1024
/** The program leaves 256 MB of a file system free, and asks its senders to slow down a quarter earlier. */
const SOFT_BYTES = 320 * MEGABYTE
const TMPFS_BYTES = 400 * MEGABYTE
/** Slow enough that nothing is full but by the balloon. */
const POINTS_PER_SECOND = 5_000
/** The program looks at the free space once a second. */
const LOOKED_MS = 1_500

t.setTimeout(300_000)

interface Rig {
  readonly postgres: TestPostgres
  readonly ingest: Ingest
  readonly client: JournalClient
  readonly start: () => Promise<Ingest>
}

async function startRig (t: Test, spoolDir: string, workers: number): Promise<Rig> {
  const postgres = await startTestPostgres(t, { fsync: true })
  const dataDir = await temporaryDirectory(t)
  // One thread for files, so that strace's count of calls is the order of calls.
  const start = async (): Promise<Ingest> => await startIngest(
    t,
    {
      dataDir,
      databaseUrl: postgres.url,
      args: ['--workers', String(workers)],
      env: { SPOOL_DIR: spoolDir, UV_THREADPOOL_SIZE: '1' }
    })
  const ingest = await start()
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: 100 })
  return { postgres, ingest, client, start }
}

async function saysOf (ingest: Ingest, status: string, reason: string): Promise<void> {
  await eventually(`/health says ${status}: ${reason}`, 30_000, async () => {
    const health = await readHealth(ingest.url)
    return health.status === status && health.reasons.some((one) => one.includes(reason)) ? true : undefined
  })
}

t.test('no room: 429, then 503, with Retry-After; and it goes on by itself when there is room again', async (t) => {
  const tmpfs = await Tmpfs.mount(t, TMPFS_BYTES)
  if (typeof tmpfs === 'string') {
    t.plan(0, tmpfs)
    return
  }
  const { postgres, ingest, client } = await startRig(t, tmpfs.path, 2)
  client.start(POINTS_PER_SECOND)
  await client.acknowledgedMore(500)
  await postgres.kill()
  await tmpfs.leave(SOFT_BYTES + MEGABYTE / 4)
  await client.failed('429', 20)
  await saysOf(ingest, 'degraded', 'nearly full (soft limit)')
  await tmpfs.leave(100 * MEGABYTE)
  await client.failed('503', 20)
  await saysOf(ingest, 'unhealthy', 'full (hard limit)')

  await postgres.start()
  await tmpfs.release()
  await client.acknowledgedMore(5_000)
  await client.stop()
  await drained(ingest.url)
  t.equal(await conservationErrorPoints(ingest.url), 0)
  t.equal(client.withoutRetryAfter, 0, 'each refusal said when to come again')
  t.equal(await ingest.program.stop(), 0)
  await verify(t, postgres, [client])
})

t.test('a disk that fills up in the midst of writing: nothing is acknowledged that is not on it', async (t) => {
  const tmpfs = await Tmpfs.mount(t, TMPFS_BYTES)
  if (typeof tmpfs === 'string') {
    t.plan(0, tmpfs)
    return
  }
  const { postgres, ingest, client, start } = await startRig(t, tmpfs.path, 2)
  client.start(POINTS_PER_SECOND)
  for (let time = 0; time < 2; time++) {
    await client.acknowledgedMore(500)
    await postgres.kill()
    const refusals = client.failures.get('503') ?? 0
    // Faster than the program looks at the free space: writes run into the end of the disk.
    await tmpfs.leave(0)
    await client.failed('503', refusals + 20)
    await tmpfs.release()
    await client.acknowledgedMore(500)
    await postgres.start()
  }
  await postgres.kill()
  await tmpfs.leave(0)
  await delay(LOOKED_MS)
  await ingest.program.stop('SIGKILL')
  await client.stop()
  t.equal(client.withoutRetryAfter, 0)

  await postgres.start()
  // Without any room it starts, refuses points, and drains what is there: the files of its locks are there already.
  const second = await start()
  await drained(second.url)
  await saysOf(second, 'unhealthy', 'full (hard limit)')
  t.equal(await conservationErrorPoints(second.url), 0)
  await tmpfs.release()
  const later = new JournalClient({ url: second.url, pointsPerRequest: 100, firstNumber: 10_000_000 })
  later.start()
  await later.acknowledgedMore(500)
  await later.stop()
  t.equal(await second.program.stop(), 0)
  await verify(t, postgres, [client, later])
})

for (const { what, when } of [
  { what: 'one fdatasync fails', when: '3' }, { what: 'every fdatasync fails', when: '3+' }
]) {
  t.test(`${what} with EIO: only points on disk are acknowledged, and ingest resumes without a restart`, async (t) => {
    const spoolDir = await temporaryDirectory(t)
    const { postgres, ingest, client, start } = await startRig(t, spoolDir, 1)
    client.start(POINTS_PER_SECOND)
    await client.acknowledgedMore(500)
    // What was acknowledged is on the disk alone now.
    await postgres.kill()
    const [worker] = await readyWorkers(ingest.url)
    const from = ingest.program.lines.length
    const injection = await injectError(t, worker!.pid, 'fdatasync', 'EIO', when)
    if (typeof injection === 'string') {
      await client.stop()
      t.plan(0, injection)
      return
    }
    await eventually(
      'an fdatasync fails', 30_000, async () => await Promise.resolve(injection.injected() > 0 ? true : undefined))
    if (when === '3') {
      await client.acknowledgedMore(2_000)
      t.equal(injection.injected(), 1)
      t.equal((await readyWorkers(ingest.url))[0]?.pid, worker!.pid, 'the same worker goes on, with a new segment')
    } else {
      await client.failed('503', 1)
      const { cause } = await ingest.program.line((line) => line.msg === 'a worker died; starting a new one', from)
      t.match(cause, /the spool cannot be written/)
      await client.acknowledgedMore(2_000)
      t.not((await readyWorkers(ingest.url))[0]?.pid, worker!.pid, 'another worker took its place')
    }
    await injection.end()
    await ingest.program.stop('SIGKILL')
    await client.stop()
    await postgres.start()
    const second = await start()
    await drained(second.url)
    t.equal(await conservationErrorPoints(second.url), 0)
    t.equal(await second.program.stop(), 0)
    await verify(t, postgres, [client])
  })
}

t.test('SPOOL_RESERVE_BYTES is left free: with less points are refused, without any they are taken', async (t) => {
  const postgres = await startTestPostgres(t)
  const post = async (reserve: string): Promise<{ status: number, body: unknown }> => {
    const ingest = await startIngest(
      t,
      {
        dataDir: await temporaryDirectory(t),
        databaseUrl: postgres.url,
        args: ['--workers', '1', '--spool-reserve-bytes', reserve]
      })
    const { statusCode, body } = await request(
      `${ingest.url}/telemetry`,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"satellite_id":"A","storage_usage_mb":1}'
      })
    const answer = { status: statusCode, body: await body.json().catch(() => null) }
    t.equal(await ingest.program.stop(), 0)
    return answer
  }
  t.match(await post('1024TB'), { status: 503, body: { error: { code: 'spool_full' } } })
  t.match(await post('0'), { status: 202 })
})
