/** Two copies of a spool on one database, as after cloning a disk: one halts, and keeps its points on disk. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runIngest } from '../support/programs/command.js'
import { eventually } from '../support/eventually.js'
import { drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { verify, withDatabase } from '../support/load/verify.js'

const HALTED_DEADLINE_MS = 60_000

t.setTimeout(300_000)
t.test('two copies of a spool on one database: one is halted, nothing is lost, nothing is stored twice', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDirs = [await temporaryDirectory(t), await temporaryDirectory(t)] as const
  const start = async (dataDir: string): ReturnType<typeof startIngest> =>
    await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] })
  const original = await start(dataDirs[0])
  const before = new JournalClient({ url: original.url, pointsPerRequest: 5 })
  before.start(2_000)
  await before.acknowledgedMore(200)
  await postgres.stop()
  // Both copies have these waiting points.
  await before.acknowledgedMore(500)
  await original.program.stop('SIGKILL')
  await before.stop()
  const [from, to] = [join(dataDirs[0], 'spool'), join(dataDirs[1], 'spool')]
  await cp(from, to, { recursive: true, filter: (path) => !path.endsWith('orbitstream.lock') })
  await postgres.start()

  const twins = await Promise.all(dataDirs.map(start))
  const clients = twins.map(({ url }, index) =>
    new JournalClient({ url, pointsPerRequest: 5, firstNumber: (index + 1) * 10_000_000 }))
  for (const client of clients) client.start(1_000)
  const stateOf = async ({ url }: { readonly url: string }): Promise<string> =>
    String((await readHealth(url)).workers[0]?.database)
  const states = async (): Promise<string[]> => await Promise.all(twins.map(stateOf))
  const halted = await eventually('one of them is halted', HALTED_DEADLINE_MS, async () => {
    const index = (await states()).indexOf('halted')
    return index < 0 ? undefined : index
  })
  t.equal((await twins[halted]!.program.line((line) => line['level'] === 'fatal'))['kind'], 'ledger_ahead')
  for (const client of clients) await client.acknowledgedMore(300)
  for (const client of clients) {
    await client.stop()
    t.same([...client.failures], [], 'both accept points')
  }
  const [winner, loser] = [twins[1 - halted]!, twins[halted]!]
  await drained(winner.url)
  t.equal((await states())[halted], 'halted')
  const twice = await withDatabase(postgres, async (db) => await db.query(
    'SELECT storage_usage_mb FROM telemetry GROUP BY storage_usage_mb HAVING count(*) > 1'))
  t.same(twice.rows, [], 'nothing is stored twice')
  for (const { program } of [winner, loser]) t.equal(await program.stop(), 0)

  const place = ['--data-dir', loser.dataDir, '--database-url', postgres.url]
  t.match(await runIngest(['spool', 'drain', ...place]), { code: 1, err: /spool resolve/ }, 'also at the next start')
  t.match(await runIngest(['spool', 'resolve', '--yes', ...place]), { code: 0, out: /FAULT \(ledger_ahead\)/ })
  t.match(await runIngest(['spool', 'drain', ...place]), { code: 0 })
  await verify(t, postgres, [before, ...clients])
})
