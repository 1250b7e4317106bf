/** A server that ends with points on disk: `spool inspect` shows them, `spool drain` stores them exactly once. */
import t from 'tap'
import { request } from 'undici'
import { runIngest } from '../support/programs/command.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { range, toInspection, valuesIn } from '../support/journals/spool-inspection.js'

t.test('points that a server left on disk are shown, and stored exactly once', async (t) => {
  const postgres = await startTestPostgres(t, { fsync: true })
  const dataDir = await temporaryDirectory(t)
  const place = ['--data-dir', dataDir, '--database-url', postgres.url]
  const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '2'] })
  const pointOf = (number: number): object => ({ satellite_id: `SAT-${number % 7}`, storage_usage_mb: number })
  const send = async (from: number, to: number, ack: string): Promise<number> => {
    const { statusCode } = await request(`${ingest.url}/telemetry/batch?ack=${ack}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(range(from, to).map(pointOf))
    })
    return statusCode
  }
  const inspect = async (...options: string[]): Promise<string> =>
    (await runIngest(['spool', 'inspect', ...options, ...place])).out

  t.equal(await send(1, 300, 'committed'), 202)
  const running = toInspection(await runIngest(['spool', 'inspect', '--json', ...place]))
  t.match(running, { database: { reachable: true, reason: null }, waitingRows: 0 }, 'all is stored')
  t.equal(running.slots.length, 2)
  t.equal(running.slots.reduce((sum, { ledger }) => sum + (ledger?.storedRows ?? 0), 0), 300)
  const refused = await runIngest(['spool', 'drain', ...place])
  const inUse = new RegExp(`^error: The DATA_DIR .* is in use by process ${ingest.program.pid} on host `)
  t.match(refused, { code: 1, out: '', err: inUse })

  await postgres.stop()
  for (let first = 301; first < 1_300; first += 100) t.equal(await send(first, first + 99, 'spooled'), 202)
  const blind = await runIngest(['spool', 'inspect', ...place])
  t.equal(blind.code, 0)
  t.match(blind.out, /The database could not be read, so some of these rows may be stored already: The database cannot/)
  t.match(blind.out, /ledger: unknown, the database could not be reached/)
  // The stored 300 are gone if their segment was made before the ledger had a row.
  t.match(blind.out, /At most 1,[03]00 rows in \d+ frames pending\.\n$/)
  t.equal(await ingest.program.stop('SIGKILL'), 'SIGKILL')

  const without = await runIngest(['spool', 'drain', ...place])
  t.match(without, { code: 1, err: /^error: The database cannot be reached/ }, 'nothing to drain into')
  await postgres.start()
  t.match(JSON.parse(await inspect('--json')), { database: { reachable: true }, waitingRows: 1_000 })
  const text = await inspect()
  t.match(text, /ledger: epoch \d+, sequence \d+; [\d,]+ rows? stored, last at 2/)
  t.match(text, /\n1,000 rows in \d+ frames pending\.\n$/)

  const drained = await runIngest(['spool', 'drain', ...place])
  t.match(drained, { code: 0, out: /^slot-0: [\d,]+ rows? stored, empty\nslot-1: [\d,]+ rows? stored, empty\n/m })
  t.match(drained.out, /\nThe spool is empty\.\n$/)
  t.same(await valuesIn(postgres.url), range(1, 1_300), 'each exactly once')
  t.match(JSON.parse(await inspect('--json')), { waitingRows: 0, slots: [{ fault: null }, { fault: null }] })
  t.match(await inspect(), /\nNothing is pending\.\n$/)
  const again = await runIngest(['spool', 'drain', ...place])
  t.match(again, { code: 0, out: /^slot-0: 0 rows stored, empty$/m }, 'nothing left to do')
  t.same(await valuesIn(postgres.url), range(1, 1_300))
})
