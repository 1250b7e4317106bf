/** A database of several nodes: queries, dashboards and the whole program are the same as on one. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { request } from 'undici'
import { BUILT_IN, Catalogue, type StreamDefinition } from '../../protocol/catalogue.js'
import { catalogueJson } from '../../lib/catalogue/catalogue-json.js'
import type { Database } from '../../lib/database/database.js'
import { migrate } from '../../lib/schema/migrate.js'
import { everyQueryAnswers } from '../support/answers/dashboard-answers.js'
import { createCitusDatabase, NO_CITUS, openCitus } from '../support/database/citus.js'
import { drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { telemetryAnswers } from '../support/answers/telemetry-answers.js'
import { verify, withDatabase } from '../support/load/verify.js'

/** A metric and a stream more than the built-in catalogue. */
function grown (): Catalogue {
  const [telemetry] = BUILT_IN.definitions as [StreamDefinition]
  const [first] = telemetry.metrics
  if (first === undefined) throw new Error('the built-in stream has metrics')
  const voltage = { ...first, id: 4, name: 'bus_voltage', aliases: [], limits: {} }
  return new Catalogue([
    { ...telemetry, metrics: [...telemetry.metrics, voltage] },
    { ...telemetry, id: 2, name: 'power', title: 'Power', metrics: [{ ...voltage, id: 1 }] }
  ])
}

/** A database with all tables, spread over the nodes. */
async function openDistributed (t: Test): Promise<Database> {
  const database = await openCitus(await createCitusDatabase(t))
  t.teardown(async () => { await database.close() })
  await migrate(database, { ...SCHEMA_SETTINGS, distribute: 'on', readerPassword: 'reader-password' })
  return database
}

t.setTimeout(400_000)
t.test('queries', { skip: NO_CITUS }, async (t) => {
  await telemetryAnswers(t, await openDistributed(t), null)
})

t.test('dashboards', { skip: NO_CITUS }, async (t) => {
  await everyQueryAnswers(t, await openDistributed(t))
})

t.test('the program: killed, its catalogue grown, everything stored once', { skip: NO_CITUS }, async (t) => {
  const url = await createCitusDatabase(t)
  const dataDir = await temporaryDirectory(t)
  const start = async (...args: string[]): Promise<Ingest> =>
    await startIngest(t, { dataDir, databaseUrl: url, args, env: { DISTRIBUTE: 'on' } })
  const first = await start()
  const client = new JournalClient({ url: first.url, pointsPerRequest: 10 })
  client.start(1_000)
  await client.acknowledgedMore(1_000)
  const workers = (await readHealth(first.url)).workers.map(({ pid }) => pid)
  for (const pid of [first.program.pid, ...workers]) process.kill(pid, 'SIGKILL')
  await first.program.exit
  const file = join(dataDir, 'catalogue.yaml')
  await writeFile(file, JSON.stringify(catalogueJson(grown())))
  const second = await start('--catalogue', file)
  client.moveTo(second.url)
  await client.acknowledgedMore(1_000)
  const { statusCode, body } = await request(`${second.url}/telemetry/power`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"satellite_id":"SAT-1","bus_voltage":28}'
  })
  t.equal(statusCode, 202)
  await body.dump()
  await client.stop()
  await drained(second.url)
  const from = new Date(Date.now() - 3_600_000).toISOString()
  const exported = await request(`${second.url}/export?stream=power&satellite=SAT-1&from=${from}`)
  t.match(await exported.body.text(), /^time,satellite_id,bus_voltage\n.*,SAT-1,28\n$/)
  t.equal(await second.program.stop(), 0)
  await verify(t, { url }, [client])
  const rows = await withDatabase({ url }, async (db) => (await db.query<{ name: string, kind: string }>(`
    SELECT logicalrelid::regclass::text AS name, partmethod AS kind FROM pg_dist_partition
    WHERE NOT (SELECT relispartition FROM pg_class WHERE oid = logicalrelid) ORDER BY name`)).rows)
  const [bySatellite, everywhere] = ['h', 'n']
  t.strictSame(Object.fromEntries(rows.map(({ name, kind }) => [name, kind])), {
    anomalies: bySatellite,
    power: bySatellite,
    power_rollup_10s: bySatellite,
    power_rollup_1m: bySatellite,
    power_rollup_dirty: everywhere,
    rollup_10s: bySatellite,
    rollup_1m: bySatellite,
    rollup_dirty: everywhere,
    telemetry: bySatellite
  })
})
