/** A server that ends with points on disk: they are shown, stored exactly once by `spool drain`, and gone. */
import t from 'tap'
import { request } from 'undici'
import { runIngest } from '../support/command.js'
import { startTestPostgres, temporaryDirectory } from '../support/postgres.js'
import { startIngest } from '../support/program.js'
import { range, toInspection, valuesIn } from '../support/spool-inspection.js'

t.test('points that a server left on disk are shown, stored exactly once, and gone', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const dataDir = await temporaryDirectory(t)
  const place = ['--data-dir', dataDir, '--database-url', postgres.url]
  const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '2'] })
  const send = async (from: number, to: number, ack: string): Promise<number> => (await request(`${ingest.url}/telemetry/batch?ack=${ack}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(range(from, to).map((number) => ({ satellite_id: `SAT-${number % 7}`, storage_usage_mb: number })))
  })).statusCode

  t.equal(await send(1, 300, 'committed'), 202)
  const running = toInspection(await runIngest(['spool', 'inspect', '--json', ...place]))
  t.match(running, { database: { reachable: true, reason: null }, waitingRows: 0 }, 'all is stored')
  t.equal(running.slots.length, 2)
  t.equal(running.slots.reduce((sum, { ledger }) => sum + (ledger?.storedRows ?? 0), 0), 300)
  const refused = await runIngest(['spool', 'drain', ...place])
  t.match(refused, { code: 1, out: '', err: new RegExp(`^error: The DATA_DIR .* is in use by process ${ingest.program.pid} on host `) })

  await postgres.stop()
  for (let first = 301; first < 1_300; first += 100) t.equal(await send(first, first + 99, 'spooled'), 202)
  const blind = await runIngest(['spool', 'inspect', ...place])
  t.equal(blind.code, 0)
  t.match(blind.out, /The database was not asked, so a part of these rows may be stored already: The database cannot be reached/)
  t.match(blind.out, /ledger: not known, the database was not reached/)
  t.match(blind.out, /1,300 rows in \d+ frames at most wait to be stored\.\n$/)
  t.equal(await ingest.program.stop('SIGKILL'), 'SIGKILL')

  const without = await runIngest(['spool', 'drain', ...place])
  t.match(without, { code: 1, err: /^error: The database cannot be reached/ }, 'nothing to drain into')
  await postgres.start()
  t.match(toInspection(await runIngest(['spool', 'inspect', '--json', ...place])), { database: { reachable: true }, waitingRows: 1_000 })
  t.match((await runIngest(['spool', 'inspect', ...place])).out, /ledger: epoch \d+, sequence \d+; [\d,]+ rows? stored, last at 2[^]*\n1,000 rows in \d+ frames wait to be stored\.\n$/)

  const drained = await runIngest(['spool', 'drain', ...place])
  t.match(drained, { code: 0, out: /^slot-0: [\d,]+ rows? stored, empty\nslot-1: [\d,]+ rows? stored, empty\nThe spool is empty\.\n$/m })
  t.same(await valuesIn(postgres.url), range(1, 1_300), 'each exactly once')
  t.match(toInspection(await runIngest(['spool', 'inspect', '--json', ...place])), { waitingRows: 0, slots: [{ fault: null }, { fault: null }] })
  t.match((await runIngest(['spool', 'inspect', ...place])).out, /\nNothing waits to be stored\.\n$/)
  t.match(await runIngest(['spool', 'drain', ...place]), { code: 0, out: /^slot-0: 0 rows stored, empty$/m }, 'again: nothing to do')
  t.same(await valuesIn(postgres.url), range(1, 1_300))
})
