/**
 * Two ingest hosts lost while points wait, each with its spool on a volume that survives: one spool is drained by the
 * command, the other by a new server.
 */
import t from 'tap'
import { join } from 'node:path'
import { runIngest } from '../support/programs/command.js'
import { drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { verify } from '../support/load/verify.js'

const NUMBERS = 10_000_000

t.setTimeout(200_000)
t.test('a host is lost: what it acknowledged is stored from the volume of its spool, nothing twice', async (t) => {
  const postgres = await startTestPostgres(t)
  const volumes = [join(await temporaryDirectory(t), 'spool'), join(await temporaryDirectory(t), 'spool')] as const
  const start = async (spoolDir: string): Promise<Ingest> => await startIngest(t, {
    dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, args: ['--workers', '1', '--spool-dir', spoolDir]
  })
  const hosts = await Promise.all(volumes.map(start))
  const clients = hosts.map(({ url }, index) =>
    new JournalClient({ url, pointsPerRequest: 10, firstNumber: 1 + index * NUMBERS }))
  for (const client of clients) client.start(1_000)
  await Promise.all(clients.map(async (client) => await client.acknowledgedMore(300)))
  await postgres.kill()
  await Promise.all(clients.map(async (client) => await client.acknowledgedMore(300)))
  for (const { program, url } of hosts) {
    const workers = (await readHealth(url)).workers.map(({ pid }) => pid)
    for (const pid of [program.pid, ...workers]) process.kill(pid, 'SIGKILL')
    await program.exit
  }
  await Promise.all(clients.map(async (client) => { await client.stop() }))
  await postgres.start()

  const place = ['--spool-dir', volumes[0], '--data-dir', await temporaryDirectory(t), '--database-url', postgres.url]
  const command = await runIngest(['spool', 'drain', ...place])
  t.match(command, { code: 0, out: /slot-0: \d+ rows stored, empty\nThe spool is empty/ })
  const heir = await start(volumes[1])
  await drained(heir.url)
  t.equal(await heir.program.stop(), 0)
  await verify(t, postgres, clients)
})
