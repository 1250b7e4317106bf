/**
 * A ledger that does not fit the spool: its row deleted, set back, or set ahead. The program keeps accepting points,
 * reports what is wrong and what to do, and stores nothing until it is done.
 */
import t from 'tap'
import { request } from 'undici'
import { runIngest } from '../support/programs/command.js'
import { drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { verify, withDatabase } from '../support/load/verify.js'

const FAULTS = [
  {
    what: 'deleted',
    kind: 'ledger_missing',
    sql: 'DELETE FROM ingest_ledger',
    says: /has no ledger row for spool .* restore a later backup/
  },
  {
    what: 'set back',
    kind: 'ledger_behind',
    sql: 'UPDATE ingest_ledger SET last_sequence = 1',
    says: /The ledger of spool .* Restore a later state of the database/
  },
  {
    what: 'set ahead',
    kind: 'ledger_ahead',
    sql: 'UPDATE ingest_ledger SET last_sequence = last_sequence + 1000000',
    says: /no frame of that epoch beyond \d+ can have been committed\. .* correct the row/
  }
] as const

t.setTimeout(200_000)

/** How many rows telemetry has, or how many different ones. */
async function storedRows (postgres: TestPostgres, what = '*'): Promise<number> {
  return await withDatabase(postgres, async (db) => {
    const { rows } = await db.query<{ count: string }>(`SELECT count(${what}) FROM telemetry`)
    return Number(rows[0]?.count)
  })
}

for (const { what, kind, sql, says } of FAULTS) {
  t.test(`the ledger's row ${what}: reports it, accepts points, and continues once the row is right`, async (t) => {
    const postgres = await startTestPostgres(t)
    const dataDir = await temporaryDirectory(t)
    const start = { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] }
    const first = await startIngest(t, start)
    const client = new JournalClient({ url: first.url, pointsPerRequest: 5 })
    client.start(1_000)
    await client.acknowledgedMore(500)
    await withDatabase(postgres, async (db) => await db.query(sql))
    const line = await first.program.line((line) => line['level'] === 'fatal')
    t.equal(line['kind'], kind)
    t.match(line.msg, says)
    const stored = await storedRows(postgres)
    await client.acknowledgedMore(500)
    t.same([...client.failures], [], 'points are accepted')
    t.equal(await storedRows(postgres), stored, 'nothing more is stored')
    const health = await readHealth(first.url)
    t.equal(health.status, 'degraded')
    const isShown = health.reasons.some((reason) => reason.includes(String(line.msg)))
    t.ok(isShown, `/health shows the message: ${health.reasons.join()}`)
    await client.stop()
    t.equal(await first.program.stop(), 0)

    t.match(line.msg, /"orbitstream-ingest spool resolve"/)
    const place = ['--data-dir', dataDir, '--database-url', postgres.url]
    t.match(await runIngest(['spool', 'resolve', '--yes', ...place]), { code: 0 })
    const second = await startIngest(t, start)
    await drained(second.url)
    const answer = await request(`${second.url}/telemetry?ack=committed`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"satellite_id":"LATER","storage_usage_mb":1}'
    })
    t.equal(answer.statusCode, 202, 'new points are stored')
    await answer.body.dump()
    t.equal(await second.program.stop(), 0)
    await verify(t, postgres, [client])
  })
}

t.test('a row deleted while no program runs: the next start stores nothing twice', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  const start = { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] }
  const first = await startIngest(t, start)
  const client = new JournalClient({ url: first.url, pointsPerRequest: 5 })
  client.start(1_000)
  await client.acknowledgedMore(500)
  await first.program.stop('SIGKILL')
  await client.stop()
  await withDatabase(postgres, async (db) => await db.query('DELETE FROM ingest_ledger'))
  const second = await startIngest(t, start)
  const line = await second.program.line((line) => line['level'] === 'fatal')
  t.equal(line['kind'], 'ledger_missing')
  t.equal((await readHealth(second.url)).status, 'degraded')
  t.equal(await second.program.stop(), 0)
  const distinct = await storedRows(postgres, 'DISTINCT storage_usage_mb')
  t.equal(await storedRows(postgres), distinct, 'nothing is stored twice')
})
