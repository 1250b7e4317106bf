import t from 'tap'
import { dropAggregates, PacedStore, type StoreJob } from '../../../benchmarks/timescale/paced-store.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { temporaryDirectory } from '../../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../../support/answers/same-answers.js'
import { pointStore } from '../../support/database/stored-rows.js'
import { simulated } from '../../support/database/timescale-rig.js'
import { openTimescale } from '../../support/database/timescale.js'

/** Old enough to be refreshed while the load runs. */
const JOB: StoreJob = {
  url: null,
  directory: null,
  aggregates: true,
  satellites: 3,
  transactionsPerSecond: 20,
  transactionPoints: 10,
  leadSeconds: 0,
  seconds: 1,
  refreshEveryMs: 200,
  ageMs: 120_000
}

t.test('with aggregates: everything is stored on time, refreshed meanwhile, and found', async t => {
  const result = await (await PacedStore.prepare({ ...JOB, directory: await temporaryDirectory(t) })).run()
  t.match(result, { sent: 200, acknowledged: 200, stored: 200, problems: [] })
  t.equal(result.latency.count, 20)
  t.ok(result.seconds >= 1, 'not early')
  t.ok(result.refreshed > 0 && result.refreshed <= 200, String(result.refreshed))
  t.same(Object.keys(result.busySeconds).sort(), ['maintenance', 'refreshes', 'storing'])
  t.same(Object.keys(result.cpuSeconds ?? {}), Object.keys(result.busySeconds))
})

t.test('without: the same load, and nothing is refreshed', async t => {
  const result = await (await PacedStore.prepare({ ...JOB, aggregates: false })).run()
  t.match(result, { sent: 200, acknowledged: 200, stored: 200, refreshed: 0, problems: [] })
  t.same(Object.keys(result.busySeconds).sort(), ['maintenance', 'storing'])
})

t.test('dropped aggregates leave no triggers or jobs behind', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  await dropAggregates(database)
  for (const rest of [
    'timescaledb_information.continuous_aggregates',
    "timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'",
    "pg_trigger WHERE tgrelid = 'telemetry'::regclass AND tgname LIKE '%invalidation%'"
  ]) t.equal((await database.query(`SELECT FROM ${rest}`)).rowCount, 0, rest)
  await (await pointStore(database))(simulated(2, 3, Date.now()))
  t.same((await database.query('SELECT count(*)::int AS count FROM telemetry')).rows, [{ count: 6 }])
})
