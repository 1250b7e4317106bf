import t from 'tap'
import { parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { IngestStepCutter } from '../../../lib/primary/counts/ingest-steps.js'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { startMaintenance } from '../../../lib/upkeep/maintenance.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { dropIngestSteps, storeIngestSteps, type IngestStep } from '../../../lib/upkeep/ingest-stats.js'
import { ingestStep } from '../../support/points/ingest-step.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const SETTINGS = { retentionMs: 30 * DAY_MS, log: silentLog }

const server = await startTestPostgres(t)
const database = await connect(server.url, OPTIONS)
t.teardown(() => database.close())
await migrate(database, SETTINGS)

async function store (steps: readonly IngestStep[]): Promise<readonly IngestStep[]> {
  let stored: readonly IngestStep[] = []
  await storeIngestSteps(database, { pending: () => steps, stored: (given) => { stored = given } })
  return stored
}

async function all (): Promise<Array<Record<string, unknown>>> {
  return (await database.query('SELECT * FROM ingest_stats ORDER BY time')).rows
}

t.test('every column has its value, twice the same is once', async (t) => {
  const { rows } = await database.query<{ name: string, type: string }>(`
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
      WHERE attrelid = 'ingest_stats'::regclass AND attnum > 0`)
  const nowMs = Date.now()
  const numbered = Object.fromEntries(
    rows.flatMap(({ name, type }, index) => {
      const isNumber = ['bigint', 'double precision'].includes(type)
      return isNumber && name !== 'satellites_heard' && name !== 'seconds' ? [[name, index]] : []
    }))
  const given = ingestStep(nowMs - 10_000, numbered)
  t.same(
    [...Object.keys(given), 'satellites_heard'].sort(), rows.map(({ name }) => name).sort(),
    'the row and the table have the same columns')
  t.same(await store([given]), [given])
  await store([{ ...given, udp_points: 77 }])
  const [row] = await all()
  t.equal((await all()).length, 1)
  for (const [name, value] of Object.entries(numbered)) {
    t.equal(
      Number(row![name]), name === 'udp_points' ? 77 : value, name)
  }
  t.same(row!['time'], new Date(nowMs - 10_000))
  await database.query('DELETE FROM ingest_stats')
})

t.test('satellites heard: for steps that end now, and kept when the row is stored late', async (t) => {
  const nowMs = Date.now()
  await database.query(
    `INSERT INTO satellites_last (satellite_id, time)
       VALUES ('A', now()), ('B', now() - interval '5 seconds'), ('C', now() - interval '1 hour')`)
  await store([ingestStep(nowMs - 60_000), ingestStep(nowMs - 10_000)])
  t.same((await all()).map((row) => row['satellites_heard']), [null, '2'])
  await database.query("UPDATE ingest_stats SET satellites_heard = 5, time = time - interval '1 minute'")
  await store([ingestStep(nowMs - 70_000)])
  t.same((await all()).map((row) => row['satellites_heard']), ['5', '5'])
  await database.query('DELETE FROM ingest_stats')
})

t.test('satellites heard on several streams are counted once', async (t) => {
  const url = await createTestDatabase(server)
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  const parsed = parseCatalogue(`{ catalogue: 1, streams: {
    telemetry: { metrics: { a: { id: 1 } } }, power: { id: 2, metrics: { volts: { id: 1 } } } } }`)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  await migrate(database, { ...SETTINGS, proposed: parsed.catalogue })
  const [later, before] = ["now() + interval '1 hour'", "now() - interval '1 hour'"]
  await database.query(`INSERT INTO satellites_last (satellite_id, time) VALUES ('A', ${later}), ('B', ${later});
    INSERT INTO power_last (satellite_id, time) VALUES ('B', ${later}), ('C', ${later}), ('D', ${before})`)
  const maintenance = startMaintenance({
    connect: () => connect(url, OPTIONS),
    settings: SETTINGS,
    log: silentLog,
    streams: ['telemetry', 'power'],
    steps: { pending: () => [ingestStep(Date.now())], stored: () => {} },
    intervals: { partitionsMs: 600_000, summariesMs: 600_000, rollupsMs: 600_000, statisticsMs: 600_000 }
  })
  t.teardown(() => maintenance.close())
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  const { rows } = await database.query('SELECT DISTINCT satellites_heard FROM ingest_stats')
  t.same(rows, [{ satellites_heard: '3' }])
})

t.test('rows past retention go', async (t) => {
  const nowMs = Date.now()
  await store([ingestStep(nowMs - 2 * DAY_MS), ingestStep(nowMs)])
  await dropIngestSteps(database, 3 * DAY_MS, nowMs)
  t.equal((await all()).length, 2)
  await dropIngestSteps(database, DAY_MS, nowMs - 2 * DAY_MS)
  t.equal((await all()).length, 2, 'by the clock that was given')
  await dropIngestSteps(database, DAY_MS, nowMs)
  t.equal((await all()).length, 1)
  t.same(await store([]), [], 'nothing to store')
  await database.query('DELETE FROM ingest_stats')
})

t.test('maintenance stores them, and all of an outage afterwards', async (t) => {
  const cutter = new IngestStepCutter('a', Date.now() - 60_000)
  cutter.sample([], Date.now() - 45_000)
  let reachable = true
  let connection: Database | null = null
  let connections = 0
  const maintenance = startMaintenance({
    connect: async () => {
      if (!reachable) throw new Error('away')
      connections++
      connection = await connect(server.url, OPTIONS)
      return connection
    },
    settings: SETTINGS,
    log: silentLog,
    steps: cutter,
    intervals: { partitionsMs: 600_000, summariesMs: 600_000, rollupsMs: 600_000, statisticsMs: 600_000 }
  })
  t.teardown(() => maintenance.close())
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.equal((await all()).length, 1)
  await maintenance.runNow()
  t.equal(connections, 1, 'a connection is kept')
  reachable = false
  connection!.destroy()
  cutter.sample([], Date.now() - 30_000)
  cutter.sample([], Date.now() - 15_000)
  await maintenance.runNow()
  t.equal(maintenance.lastError, 'away')
  reachable = true
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.equal(connections, 2)
  t.equal((await all()).length, 3)
  t.same(cutter.pending(), [])
})
