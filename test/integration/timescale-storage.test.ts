/** How TimescaleDB stores points: compression, retention, direct compress, and tables of the first release. */
import t from 'tap'
import { directCompressHindrance } from '../../lib/drain/direct-compress.js'
import { migrate, planSettings } from '../../lib/schema/migrate.js'
import { DAY_MS } from '../../lib/config/setting-types.js'
import { dropRollups } from '../../lib/schema/partitions.js'
import { countStored } from '../../lib/lane/stored-points.js'
import { METRICS, STREAM } from '../support/points/built-in.js'
import { encodeRow } from '../support/points/rows.js'
import { RETAINED, storeAnomalies } from '../support/database/retention.js'
import { rollUp, SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { pointStore } from '../support/database/stored-rows.js'
import { chunks, column, refreshAll, rollUpAll, runPolicies, simulated } from '../support/database/timescale-rig.js'
import { openTimescale } from '../support/database/timescale.js'

const HOUR_MS = 3_600_000
const NAMES = METRICS.map(metric => metric.name)
const COPY_ROWS = 10_000

t.test('compression loses nothing and accepts late rows', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const hourMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
  const store = await pointStore(database)
  const points = simulated(10, 100, hourMs - 5 * HOUR_MS, 10)
  await store(points)
  await store([{ satellite: 'young', timeMs: Date.now() - 1000, values: [1] }])
  const sum = (): Promise<unknown[]> => column(database, `
    SELECT sum(${NAMES[0]!}::numeric)::text || ' ' || count(*) AS value FROM telemetry`)
  const before = await sum()
  await runPolicies(database, 'policy_compression')
  t.equal((await chunks(database, 'is_compressed')).length, 1, 'the closed chunk')
  t.same(await sum(), before, 'the same rows')
  const rows = points.map(({ satellite, timeMs, values }) => (
    encodeRow({ id: Buffer.from(satellite), timeMicros: BigInt(timeMs) * 1000n, values })))
  t.equal(
    await countStored(database, STREAM, [Buffer.concat(rows)]), rows.length,
    'each is found bit by bit')
  await store([{ satellite: 'SAT-0001', timeMs: hourMs - 5 * HOUR_MS + 500, values: [1_000] }])
  const late = await column(database, `SELECT count(*)::int AS value FROM telemetry WHERE ${NAMES[0]!} = 1000`)
  t.same(late, [1], 'a late row goes into a compressed chunk')
  await rollUp(database)
  t.same(await column(database, `
    SELECT ${NAMES[0]!}_max AS value FROM telemetry_10s
    WHERE satellite_id = 'SAT-0001' ORDER BY bucket LIMIT 1`), [1000], 'and into the rollups')
})

t.test('retention drops expired points, anomalies, rollups and satellites, and nothing younger', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  const nowMs = Date.now()
  const ages: Array<[satellite: string, ageMs: number]> = [
    ['gone', 45 * DAY_MS],
    ['gone', 31 * DAY_MS + HOUR_MS],
    ['kept', 30 * DAY_MS - HOUR_MS],
    ['kept', 29 * DAY_MS],
    ['kept', 3 * HOUR_MS],
    ['young', 1000]
  ]
  await store(ages.map(([satellite, ageMs]) => ({ satellite, timeMs: nowMs - ageMs, values: [1] })))
  await storeAnomalies(database, ages.map(([satellite, ageMs]) => [satellite, nowMs - ageMs]))
  await refreshAll(database)
  await rollUpAll(database)
  const counts = async (): Promise<unknown[]> => {
    const found: unknown[] = []
    for (const relation of RETAINED) {
      found.push(...await column(database, `
        SELECT coalesce(string_agg(satellite_id || ' ' || n, ' ' ORDER BY satellite_id), '') AS value
        FROM (SELECT satellite_id, count(*) AS n FROM ${relation} GROUP BY 1) c`))
    }
    return found
  }
  t.same(await counts(), [...Array.from({ length: 4 }, () => 'gone 2 kept 3 young 1'), 'gone 1 kept 1 young 1'])
  await runPolicies(database, 'policy_retention')
  for (const width of ['10s', '1m'] as const) await dropRollups(database, width)
  t.same(await counts(), [...Array.from({ length: 4 }, () => 'kept 3 young 1'), 'kept 1 young 1'])
  await rollUpAll(database)
  const kept = [...Array.from({ length: 4 }, () => 'kept 3 young 1'), 'kept 1 young 1']
  t.same(await counts(), kept, 'and nothing brings it back')
})

t.test('simulated points are compressed to an eighth or less', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  const hourMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
  for (const [index, [satellites, seconds, rate]] of ([[10, 100, 100], [30, 3_400, 1]] as const).entries()) {
    const points = simulated(satellites, seconds, hourMs - (10 - 2 * index) * HOUR_MS, rate)
    for (let at = 0; at < points.length; at += COPY_ROWS) await store(points.slice(at, at + COPY_ROWS))
    const [chunk] = (await chunks(database)).slice(-1)
    const [plain] = await column<string>(database, `SELECT pg_total_relation_size('${chunk!}')::text AS value`)
    await database.query(`SELECT compress_chunk('${chunk!}')`)
    const [compressed] = await column<string>(database, `
      SELECT after_compression_total_bytes::text AS value FROM chunk_compression_stats('telemetry')
      WHERE chunk_schema || '.' || chunk_name = '${chunk!}'`)
    const ratio = Number(plain) / Number(compressed)
    const perMillion = (bytes: string | undefined): string => (Number(bytes) / points.length).toFixed(1)
    t.comment(`${rate} points/s per satellite: ${points.length} points, ` +
      `${perMillion(plain)} MB per million, compressed ${perMillion(compressed)} MB: ${ratio.toFixed(1)} to 1`)
    t.ok(ratio >= 8, `${ratio}`)
  }
})

t.test('compressed anomalies give the same answers', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const rows = 50_000
  await database.query(`
    INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
    SELECT date_trunc('day', now(), 'UTC') - interval '5 days' + i * interval '1.7 seconds',
           'SAT-' || to_char(i % 97, 'FM0000'),
           (ARRAY[${NAMES.map(name => `'${name}'`).join()}])[1 + i % ${NAMES.length}],
           round((random() * 15)::numeric, 1), 15,
           CASE i % 3 WHEN 0 THEN 'critical' ELSE 'warning' END, 'low', 1
    FROM generate_series(1, ${rows}) i`)
  const asked = (): Promise<unknown[]> => column(database, `
    SELECT satellite_id || severity || count(*) || sum(value::numeric) AS value FROM anomalies
    WHERE time > now() - interval '6 days' GROUP BY satellite_id, severity ORDER BY 1`)
  const before = await asked()
  const [plain] = await column<string>(database, `
    SELECT pg_total_relation_size(c)::text AS value FROM show_chunks('anomalies') c`)
  await runPolicies(database, 'policy_compression')
  const [compressed] = await column<string>(database, `
    SELECT after_compression_total_bytes::text AS value FROM chunk_compression_stats('anomalies')
    WHERE compression_status = 'Compressed'`)
  const [plainMegabytes, megabytes] = [plain, compressed].map((bytes) => (Number(bytes) / rows).toFixed(1))
  t.comment(`anomalies: ${plainMegabytes!} MB per million, compressed ${megabytes!} MB`)
  t.ok(Number(plain) / Number(compressed) > 8, `${plain} ${compressed}`)
  t.same(await asked(), before)
})

t.test('direct compress stores the same rows, and is known not to work where it does not', async t => {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  const hindrance = await directCompressHindrance(database)
  const points = simulated(20, 600, Date.now() - 3 * HOUR_MS)
  const compressed = async (): Promise<number> => (await chunks(database, 'is_compressed')).length
  await (await pointStore(database, { directCompress: true, spool: 'with' }))(points)
  t.equal(await compressed() > 0, hindrance === null, hindrance ?? 'it works with continuous aggregates')
  await database.query(`DROP VIEW telemetry_1m, telemetry_10s, orbitstream_all_10s;
    DROP MATERIALIZED VIEW rollup_1m;
    DROP MATERIALIZED VIEW rollup_10s`)
  t.equal(await directCompressHindrance(database), null)
  const store = await pointStore(database, { directCompress: true, spool: 'without' })
  const shifted = points.map(point => ({ ...point, timeMs: point.timeMs - 5 * HOUR_MS }))
  const before = await compressed()
  await store(shifted.slice(0, 9_999))
  t.equal(await compressed(), before, 'too few rows')
  await store(shifted.map(point => ({ ...point, timeMs: point.timeMs - 5 * HOUR_MS })))
  t.ok(await compressed() > before, 'compressed at once')
  t.same(await column(database, 'SELECT count(*)::text AS value FROM telemetry'), [String(12_000 * 2 + 9_999)])
  await database.query('CREATE UNIQUE INDEX telemetry_key ON telemetry (satellite_id, time, signal_strength_dbm)')
  t.match(await directCompressHindrance(database), /telemetry_key/)
})

/** Like the plain one in migrate.test.ts. */
const FIRST_RELEASE = `
  CREATE TABLE telemetry (
    time timestamptz, satellite_id varchar(64), ${NAMES.map(name => `${name} real`).join(', ')});
  CREATE INDEX ON telemetry (satellite_id, time DESC);
  INSERT INTO telemetry
    SELECT now() - i * interval '15 minutes', 'SAT-' || i, i, i, NULL FROM generate_series(1, 200) i;
  INSERT INTO telemetry VALUES ('1999-12-31T23:59:59Z', 'ancient', 1), (now() + interval '2 days', 'soon', 2)`

t.test('a plain table of the first release is adopted without losing a row', async t => {
  const database = await openTimescale(t)
  await database.query(`${FIRST_RELEASE}, ('infinity', 'after all', 4), (NULL, 'no time', 5), (now(), NULL, 6)`)
  await migrate(database, SCHEMA_SETTINGS)
  t.same(await column(database, 'SELECT count(*)::int AS value FROM telemetry'), [202])
  const quarantined = await column(database, "SELECT row ->> 'satellite_id' AS value FROM quarantined_rows ORDER BY id")
  t.same(quarantined, ['after all', 'no time', null])
  t.same(await column(database, `
    SELECT count(*)::int AS value FROM telemetry
    WHERE ${NAMES[0]!} = substr(satellite_id, 5)::float AND satellite_id LIKE 'SAT-%'`), [200], 'values are unchanged')
  t.ok((await chunks(database)).length < 600, 'no chunk for every hour since 1999')
  await (await pointStore(database))(simulated(2, 2, Date.now()))
  await rollUpAll(database)
  t.same(await column(database, 'SELECT count(*)::int AS value FROM satellites_latest'), [204])
  t.same(await column(database, `
    SELECT sum(points)::text AS value FROM telemetry_1m WHERE bucket < now() - interval '5 minutes'`),
  ['201'], 'its rollups are built')
})

for (const compressed of [false, true]) {
  t.test(`a hypertable of the first release is adopted, ${compressed ? 'compressed' : 'not compressed'}`, async t => {
    const database = await openTimescale(t)
    await database.query(`${FIRST_RELEASE.replaceAll(' real', compressed ? ' double precision' : ' real')};
      SELECT create_hypertable('telemetry', 'time', migrate_data => true)`)
    if (compressed) {
      await database.query(`
        ALTER TABLE telemetry SET (timescaledb.compress, timescaledb.compress_segmentby = 'satellite_id')`)
      await database.query("SELECT compress_chunk(c) FROM show_chunks('telemetry') c")
    }
    await migrate(database, SCHEMA_SETTINGS)
    t.same(await column(database, 'SELECT count(*)::int AS value FROM telemetry'), [202])
    t.same(await planSettings(database, 'timescale', SCHEMA_SETTINGS), [])
    await (await pointStore(database))(simulated(2, 2, Date.now()))
    t.same(await column(database, 'SELECT count(*)::int AS value FROM telemetry'), [206])
  })
}

t.test('a table that is not from the first release is left alone', async t => {
  const database = await openTimescale(t)
  await database.query('CREATE TABLE telemetry (time timestamptz, satellite_id text, colour text)')
  const unknown = { name: 'StartupError', message: /does not know \(colour\).*rename it/ }
  await t.rejects(migrate(database, SCHEMA_SETTINGS), unknown)
  await database.query('DROP TABLE telemetry; CREATE VIEW telemetry AS SELECT 1 AS one')
  await t.rejects(migrate(database, SCHEMA_SETTINGS), { message: /neither a plain table nor a hypertable/ })
})
