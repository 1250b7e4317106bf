/**
 * The schema on TimescaleDB: in WebAssembly, or on the server of TEST_TIMESCALE_URL. The answers are the same as on
 * plain PostgreSQL, see rollups-plain.test.ts.
 */
import t from 'tap'
import type { Database } from '../../lib/database/database.js'
import { planAdditions } from '../../lib/schema/catalogue-additions.js'
import { migrate, migrateSchema, planMigrations, planSettings } from '../../lib/schema/migrate.js'
import { DAY_MS } from '../../lib/config/setting-types.js'
import {
  Catalogue, STORED_AS_SET, telemetryOnly, type Metric, type StreamDefinition, type StreamStorage
} from '../../protocol/catalogue.js'
import { METRICS, STREAM } from '../support/points/built-in.js'
import { oddValues } from '../support/database/odd-values.js'
import { setBack } from '../support/database/retention.js'
import { rollUp, sameAnswers, SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { silentLog } from '../support/database/postgres.js'
import { functionsOf, historyOf, makePrerelease } from '../support/database/prerelease.js'
import { pointStore } from '../support/database/stored-rows.js'
import type { StoredPoint } from '../support/database/stored-rows.js'
import { chunks, column, refreshAll, rollUpAll, simulated } from '../support/database/timescale-rig.js'
import { openTimescale } from '../support/database/timescale.js'

const HOUR_MS = 3_600_000
const NAMES = METRICS.map(metric => metric.name)

t.test('every documented query', async t => {
  await sameAnswers(t, await openTimescale(t), refreshAll)
})

t.test('no stored value breaks a rollup or an answer', async t => {
  await oddValues(t, await openTimescale(t), refreshAll)
})

t.test('the schema', async t => {
  const database = await openTimescale(t)
  const plan = await planMigrations(database)
  t.equal(plan.kind, 'timescale')
  const fresh = (await planSettings(database, 'timescale', SCHEMA_SETTINGS)).map(({ sql }) => sql)
  t.equal(fresh.filter(sql => sql.includes('add_')).length, 8, 'everything, before the first migration')
  await migrate(database, SCHEMA_SETTINGS)
  t.same((await migrate(database, SCHEMA_SETTINGS)).applied, [], 'only once')
  t.same(await planSettings(database, 'timescale', SCHEMA_SETTINGS), [], 'nothing is left to set')
  t.same(await column(database, `
    SELECT count(*)::int AS value FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled`),
  [0], 'policies run only when a test runs them')

  await (await pointStore(database))(simulated(2, 3, Date.now() - 5_000))
  const [chunk] = await chunks(database)
  const indexes = await column<string>(database, `
    SELECT indexdef AS value FROM pg_indexes WHERE schemaname || '.' || tablename = '${chunk!}' ORDER BY 1`)
  t.match(indexes, [/USING brin \(satellite_id, "time"\) WITH \(pages_per_range='1'\)/, /USING brin \("time"\)/])
  t.equal(indexes.length, 2)
  t.same(await column(database, `
    SELECT attname || coalesce(' segment ' || segmentby_column_index,
      ' order ' || orderby_column_index || CASE WHEN orderby_asc THEN '' ELSE ' desc' END) AS value
    FROM timescaledb_information.compression_settings WHERE hypertable_name = 'telemetry' ORDER BY 1`),
  ['satellite_id segment 1', 'time order 1'])
  t.same(await column(database, `
    SELECT attcollation::regcollation::text AS value FROM pg_attribute
    WHERE attrelid = 'telemetry'::regclass AND attname = 'satellite_id'`), ['"C"'])
  t.same(await column(database, `
    SELECT view_name::text AS value FROM timescaledb_information.continuous_aggregates
    WHERE materialized_only ORDER BY 1`), ['rollup_10s', 'rollup_1m'])
})

/** As if the server ran the extension under its Apache license, which shows only once the extension is installed. */
function apache (database: Database, installed: boolean): Database {
  const query = async (sql: string, values?: unknown[]): Promise<unknown> => {
    const outcome = await database.query(sql, values)
    installed ||= sql.startsWith('CREATE EXTENSION')
    const [row] = outcome.rows
    const isAnswer = row !== undefined && 'license' in row
    return isAnswer ? { ...outcome, rows: [{ ...row, installed, license: installed ? 'apache' : null }] } : outcome
  }
  return new Proxy(database, { get: (target, key) => key === 'query' ? query : Reflect.get(target, key) as unknown })
}

t.test('a server whose license lacks what is needed is treated as a plain one, with a warning', async t => {
  const database = await openTimescale(t)
  const warnings: string[] = []
  const warn = (_: unknown, text: string): void => { warnings.push(text) }
  const log = Object.assign(Object.create(SCHEMA_SETTINGS.log) as typeof SCHEMA_SETTINGS.log, { warn })
  t.equal((await planMigrations(apache(database, false))).kind, 'timescale', 'not known yet')
  t.equal((await migrate(apache(database, false), { ...SCHEMA_SETTINGS, log })).kind, 'plain')
  t.match(warnings, [/Apache licence.*plain PostgreSQL/])
  await (await pointStore(database))(simulated(2, 3, Date.now() - 5_000))
  t.same(await column(database, 'SELECT count(*)::int AS value FROM telemetry'), [6])
  const other = await openTimescale(t)
  await migrate(other, SCHEMA_SETTINGS)
  const refused = { name: 'StartupError', message: /Apache licence.*start again/ }
  await t.rejects(migrate(apache(other, true), SCHEMA_SETTINGS), refused)
})

t.test('the reader can read the public relations', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  await (await pointStore(database))(simulated(2, 3, Date.now() - 5_000))
  await refreshAll(database)
  await database.query('SET ROLE orbitstream_reader')
  for (const name of ['telemetry', 'telemetry_10s', 'telemetry_1m', 'satellites_latest']) {
    t.ok((await database.query(`SELECT FROM ${name}`)).rowCount > 0, name)
  }
  await t.rejects(database.query('DELETE FROM telemetry'), { code: '42501' })
  await database.query('RESET ROLE')
  await migrate(database, { ...SCHEMA_SETTINGS, readerPassword: 'correct horse' })
  await database.query('SET ROLE orbitstream_reader')
  await t.rejects(database.query("SELECT add_job('pg_sleep', '1h')"), { code: '42501', message: /add_job/ })
  await database.query('RESET ROLE')
})

t.test('changed settings apply at the next start', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const changed = {
    ...SCHEMA_SETTINGS, retentionMs: 2 * DAY_MS, compressAfterMs: 30 * 60_000, chunkIntervalMs: HOUR_MS / 2
  }
  const count = (await planSettings(database, 'timescale', changed)).length
  t.equal(count, 2 + 2 * 6, 'two intervals, two of compression, and four of retention')
  await migrate(database, changed)
  t.same(await planSettings(database, 'timescale', changed), [])
  const byDefault = { ...changed, retentionMs: DAY_MS, retentionIsDefault: true }
  const message = /keeps points for 2d, and RETENTION is not set.*Set RETENTION=2d to keep them, or RETENTION=1d/
  await t.rejects(migrate(database, byDefault), { name: 'StartupError', message })
  await migrate(database, { ...byDefault, retentionMs: 2 * DAY_MS })
  t.same(await column(database, `
    SELECT time_interval::text AS value FROM timescaledb_information.dimensions
    WHERE hypertable_name IN ('telemetry', 'anomalies') ORDER BY hypertable_name`), ['12:00:00', '00:30:00'])
  const policies = await column(database, `
    SELECT proc_name || ' ' || coalesce(config ->> 'drop_after', config ->> 'compress_after') AS value
    FROM timescaledb_information.jobs WHERE job_id >= 1000 AND proc_name NOT LIKE '%refresh%' ORDER BY 1`)
  const [compression, retention] = ['policy_compression 00:30:00', 'policy_retention 48:00:00']
  t.same(policies, [compression, compression, retention, retention, retention, retention])
})

t.test('compression jobs run as often as chunks close, also after the interval has changed', async t => {
  const database = await openTimescale(t)
  const schedules = async (chunkIntervalMs: number): Promise<unknown[]> => {
    await migrate(database, { ...SCHEMA_SETTINGS, chunkIntervalMs })
    return await column(database, `
      SELECT schedule_interval::text AS value FROM timescaledb_information.jobs
      WHERE proc_name = 'policy_compression' ORDER BY hypertable_name`)
  }
  t.same(await schedules(DAY_MS), ['01:00:00', '01:00:00'])
  t.same(await schedules(HOUR_MS), ['00:30:00', '00:30:00'])
  t.same(await schedules(HOUR_MS / 6), ['00:05:00', '00:05:00'])
})

t.test('a program that only uses the database leaves the settings of its server alone', async t => {
  const database = await openTimescale(t)
  t.ok((await migrateSchema(database, { log: silentLog })).applied.length > 0, 'an empty database gets its tables')
  const plan = await planSettings(database, 'timescale', SCHEMA_SETTINGS)
  const missing = plan.filter(({ sql }) => sql.includes('retention'))
  t.equal(missing.length, 4, 'but no retention, which nobody has set')
  const changed = {
    ...SCHEMA_SETTINGS, retentionMs: 365 * DAY_MS, compressAfterMs: 30 * 60_000, chunkIntervalMs: HOUR_MS / 2
  }
  await migrate(database, changed)
  await migrateSchema(database, { log: silentLog })
  t.same(await planSettings(database, 'timescale', changed), [])
  const next = telemetryOnly([...STREAM.metrics, { ...STREAM.metrics[0] as Metric, id: 9, name: 'next' }])
  await migrateSchema(database, { log: silentLog, proposed: next, revert: true })
  t.same(await column(database, `
    SELECT count(*)::int AS value FROM pg_attribute WHERE attrelid = 'rollup_1m'::regclass AND attname = 'next_sum'`),
  [1], 'the rollups were made again')
  t.same(await planSettings(database, 'timescale', changed), [], 'with their policies and privileges')
})

t.test('a stream has policies of its own if the catalogue says so', async t => {
  const database = await openTimescale(t)
  const [telemetry] = telemetryOnly(STREAM.metrics).definitions
  const proposed = (storage: StreamStorage): Catalogue => new Catalogue([
    telemetry as StreamDefinition,
    { ...telemetry as StreamDefinition, id: 2, name: 'power', storage }
  ])
  const settings = { ...SCHEMA_SETTINGS, retentionMs: 2 * DAY_MS }
  const policies = async (relation: string): Promise<unknown[]> => await column(database, `
    SELECT coalesce(config ->> 'drop_after', config ->> 'compress_after') || ' ' || schedule_interval AS value
    FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.continuous_aggregates c
      ON c.materialization_hypertable_name = j.hypertable_name OR c.view_name = j.hypertable_name
    WHERE coalesce(c.view_name, j.hypertable_name) = '${relation}' AND proc_name NOT LIKE '%refresh%'
    ORDER BY proc_name`)
  const interval = async (): Promise<unknown[]> => await column(database, `
    SELECT time_interval::text AS value FROM timescaledb_information.dimensions WHERE hypertable_name = 'power'`)
  const own = { retentionMs: 3 * DAY_MS, chunkIntervalMs: HOUR_MS / 4, compressAfterMs: HOUR_MS }
  await migrate(database, { ...settings, proposed: proposed(own) })
  t.same(await planSettings(database, 'timescale', settings), [], 'all of it, with the first start')
  t.same(await policies('power'), ['01:00:00 00:07:30', '72:00:00 01:00:00'])
  for (const rollup of ['power_rollup_10s', 'power_rollup_1m']) t.same(await policies(rollup), ['72:00:00 01:00:00'])
  t.match(await policies('telemetry'), [/./, '48:00:00 01:00:00'])
  t.match(await policies('anomalies'), [/./, '72:00:00 01:00:00'], 'as long as the stream that is kept longest')
  t.same(await interval(), ['00:15:00'])

  const next = proposed({ ...own, retentionMs: DAY_MS, compressAfterMs: 2 * HOUR_MS })
  await migrateSchema(database, { log: silentLog, proposed: next, revert: true })
  t.same(await policies('power'), ['02:00:00 00:07:30', '24:00:00 01:00:00'], 'applied without a restart')
  t.same(await policies('power_rollup_1m'), ['24:00:00 01:00:00'])
  await migrate(database, settings)
  t.match(await policies('anomalies'), [/./, '48:00:00 01:00:00'])

  await migrateSchema(database, { log: silentLog, proposed: proposed(STORED_AS_SET), revert: true })
  t.same(await policies('power'), ['02:00:00 00:07:30', '24:00:00 01:00:00'], 'until the server says otherwise')
  await migrate(database, settings)
  t.same(await policies('power'), await policies('telemetry'))
})

t.test('a metric new to the catalogue gets its column and rollups', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  await (await pointStore(database))(simulated(1, 60, Date.now() - DAY_MS))
  const name = NAMES.at(-1)!
  await database.query(`DROP VIEW telemetry_1m, telemetry_10s, orbitstream_all_10s;
    DROP MATERIALIZED VIEW rollup_1m;
    DROP MATERIALIZED VIEW rollup_10s;
    ALTER TABLE telemetry DROP COLUMN ${name} CASCADE`)
  const plan = await planAdditions(database, await planMigrations(database))
  t.same(plan?.metrics, [name])
  await migrate(database, SCHEMA_SETTINGS)
  const [minutes] = await column<number>(database, 'SELECT count(*)::int AS value FROM rollup_dirty')
  t.ok(minutes! >= 60, 'every minute of the chunk is noted: telemetry is locked, and not read')
  t.equal(await planAdditions(database, await planMigrations(database)), null)
  await rollUpAll(database)
  t.same(await column(database, `
    SELECT sum(points)::text || ' ' || sum(${name}_count)::text AS value FROM telemetry_1m`), ['60 0'])
  t.same(await planSettings(database, 'timescale', SCHEMA_SETTINGS), [], 'including its policies')
})

t.test('a database made before 0.1.0 is brought to the new set, with views on it and the rollups it has', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  await (await pointStore(database))(simulated(1, 60, Date.now() - DAY_MS))
  await rollUpAll(database)
  await database.query('CREATE VIEW ours AS SELECT * FROM telemetry_1m')
  const [functions, history, rollups] = [
    await functionsOf(database), await historyOf(database), await rolledUp(database)
  ]
  await makePrerelease(database, 'timescale')
  t.match(await planMigrations(database), { converts: true, pending: [], kind: 'timescale' })
  t.same((await migrate(database, SCHEMA_SETTINGS)).applied, [])
  t.match(await planMigrations(database), { converts: false, pending: [] })
  t.same(await historyOf(database), history)
  t.same(await functionsOf(database), functions)
  t.same(await rolledUp(database), rollups, 'none is made anew')
  t.same(await column(database, 'SELECT sum(points)::text AS value FROM ours'), ['60'])
  await makePrerelease(database, 'timescale', 20)
  await t.rejects(
    planMigrations(database), { message: /0020-rollup-locks;.* from 0021-rollups\. First start .*\.timescale\.sql/ })
})

/** Total points in both rollups, without what the views add. */
const rolledUp = (database: Database): Promise<string[]> => column(database, `
  SELECT coalesce(sum(points), 0)::text AS value FROM rollup_10s UNION ALL
  SELECT coalesce(sum(points), 0)::text FROM rollup_1m`)

t.test('rows that policies missed because of an outage are rolled up afterwards', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  const nowMs = Date.now()
  const point = (minutes: number): StoredPoint => (
    { satellite: 'SAT-1', timeMs: nowMs - minutes * 60_000, values: [1] })
  // Recent when they were stored: the oldest was not yet late, the newest had a clock that was ahead.
  await setBack(database, '1 day')
  const stored = [24 * 60 + 119, 24 * 60 + 60, 24 * 60 + 1, 24 * 60 - 4]
  for (const minutes of stored) await store([point(minutes)])
  await database.query('DELETE FROM rollup_dirty')
  // After the outage, before the primary has moved its watermark; and hours later from another worker.
  await store([point(23 * 60), point(180)])
  await store([point(5)])
  await refreshAll(database)
  t.same(await rolledUp(database), ['1', '1'], 'the policies reach the last hours')
  await rollUpAll(database)
  t.same(await rolledUp(database), ['7', '7'])
  t.same(await column(database, `
    SELECT sum(points)::text AS value FROM telemetry_10s UNION ALL
    SELECT sum(points)::text FROM telemetry_1m`), ['7', '7'])
})

t.test('a short pause leaves no entries', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  await (await pointStore(database))(simulated(2, 3, Date.now() - 5_000))
  await setBack(database, '9 minutes')
  await rollUp(database)
  t.same(await column(database, 'SELECT count(*)::int AS value FROM rollup_dirty'), [0])
})

t.test('a minute entered many times is refreshed once, with all of its entries', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  await database.query(`
    INSERT INTO rollup_dirty (bucket)
    SELECT time_bucket('1 minute', now()) - interval '5 hours' - m * interval '1 minute' + b * interval '10 seconds'
    FROM generate_series(0, 69) m, generate_series(0, 5) b, generate_series(1, 20)`)
  const late = `
    SELECT (extract(epoch FROM to_time - from_time) / 60)::int AS minutes, cardinality(ids) AS entries
    FROM orbitstream_late_rollups(360, 'infinity')`
  t.same((await database.query(late)).rows, [{ minutes: 60, entries: 60 * 6 * 20 }])
  await database.query("INSERT INTO rollup_dirty (bucket) SELECT time_bucket('1 minute', now()) - interval '3 hours'")
  const apart = [{ minutes: 1, entries: 1 }, { minutes: 59, entries: 59 * 6 * 20 }]
  t.same((await database.query(late)).rows, apart, 'newest first, separately')
  await rollUpAll(database)
  t.same(await column(database, 'SELECT count(*)::int AS value FROM rollup_dirty'), [0])
})

t.test('rebuilt rollups have the newest rows, whenever the policies run', async t => {
  const database = await openTimescale(t)
  await database.query(`
    CREATE TABLE telemetry (
      time timestamptz, satellite_id varchar(64), ${NAMES.map(name => `${name} real`).join(', ')});
    INSERT INTO telemetry SELECT now() - i * interval '17 minutes', 'SAT-' || i % 10, i FROM generate_series(1, 60) i`)
  await migrate(database, SCHEMA_SETTINGS)
  const latest = await column(database, `SELECT ${NAMES[0]!} AS value FROM satellites_latest ORDER BY time DESC`)
  t.same(latest, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 'the last point of each')
  t.same(await column(database, 'SELECT count(*)::int AS value FROM satellites_last'), [10])
  // As if ten hours had passed without the policies.
  await database.query(`CREATE TEMPORARY TABLE kept AS TABLE telemetry; TRUNCATE telemetry;
    UPDATE kept SET time = time - interval '10 hours'; INSERT INTO telemetry TABLE kept;
    UPDATE rollup_dirty SET bucket = bucket - interval '10 hours'`)
  await rollUpAll(database)
  t.same(await rolledUp(database), ['60', '60'])
})
