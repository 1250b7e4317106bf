/** Rollups, satellites_latest and time_bucket on plain PostgreSQL: the same answers as in timescale.test.ts. */
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { fillRollups } from '../../lib/upkeep/rollup/fill.js'
import { startMaintenance } from '../../lib/upkeep/maintenance.js'
import { migrate } from '../../lib/schema/migrate.js'
import { dropRollups } from '../../lib/schema/partitions.js'
import { DAY_MS } from '../../lib/config/setting-types.js'
import { RollUp } from '../../lib/upkeep/rollups.js'
import { METRICS } from '../support/points/built-in.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../support/database/postgres.js'
import { oddValues } from '../support/database/odd-values.js'
import { eventually } from '../support/eventually.js'
import { runIngest, type Outcome } from '../support/programs/command.js'
import { RETAINED, setBack, storeAnomalies } from '../support/database/retention.js'
import { documentIsCovered, rollUp, sameAnswers, SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { pointStore, type StoredPoint } from '../support/database/stored-rows.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }
const server = await startTestPostgres(t)

async function open (t: Test, url: string): Promise<Database> {
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  return database
}

async function one<T> (database: Database, sql: string): Promise<T> {
  return (await database.query<{ value: T }>(sql)).rows[0]!.value
}

const point = (satellite: string, timeMs: number, value = 1): StoredPoint => ({ satellite, timeMs, values: [value] })

t.test('every documented query', async t => {
  documentIsCovered(t)
  await sameAnswers(t, await open(t, await createTestDatabase(server)), async () => {})
})

t.test('no stored value makes a rollup or an answer fail', async t => {
  await oddValues(t, await open(t, await createTestDatabase(server)), async () => {})
})

t.test('a bucket that cannot be rolled up affects no other', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  const fill = async (): Promise<Outcome> => await runIngest(['rollups', 'fill', '--database-url', url])
  const missing = 'error: The database does not have the rollups of this version yet: run start or migrate first'
  t.match(await fill(), { code: 1, err: missing })
  await migrate(database, SCHEMA_SETTINGS)
  await database.query(`UPDATE rollup_state
    SET watermark = time_bucket('10 minutes', now() - interval '20 minutes'),
        latest_watermark = watermark, closing = watermark`)
  const beginMs = (await one<Date>(database, 'SELECT watermark AS value FROM rollup_state')).getTime()
  const store = await pointStore(database)
  const fail = (bucketMs: number): string => `
    CREATE OR REPLACE FUNCTION fail () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF new.bucket = '${new Date(bucketMs).toISOString()}' THEN
        RAISE EXCEPTION 'damaged' USING ERRCODE = 'XX001';
      END IF;
      RETURN new; END $$`
  await database.query(`${fail(beginMs + 200_000)};
    CREATE TRIGGER fail BEFORE INSERT ON rollup_10s FOR EACH ROW EXECUTE FUNCTION fail()`)
  await store(Array.from({ length: 50 }, (_, index) => point('A', beginMs + index * 10_000)))
  const keeper = new RollUp()
  await keeper.run(database)
  const failed = async (): Promise<unknown[]> => (
    await database.query('SELECT width, bucket, sqlstate, reason FROM rollup_failed')).rows
  t.same(await failed(), [{ width: '10s', bucket: new Date(beginMs + 200_000), sqlstate: 'XX001', reason: 'damaged' }])
  t.match(keeper.status, { failedBuckets: 1, failure: /damaged/ })
  const isCurrent = "SELECT watermark > now() - interval '30 seconds' AS value FROM rollup_state"
  t.ok(await one(database, isCurrent), 'the rest continues')
  const sums = await database.query(`
    SELECT (SELECT sum(points)::int FROM telemetry_10s) AS tens,
           (SELECT sum(points)::int FROM telemetry_1m) AS minutes`)
  t.same(sums.rows, [{ tens: 49, minutes: 49 }])
  await store([point('A', beginMs + 100_000), point('A', beginMs + 200_000), point('A', beginMs + 300_000)])
  await new RollUp().run(database)
  t.equal(await one(database, 'SELECT sum(points)::int AS value FROM telemetry_10s'), 51, 'including late rows')
  t.equal((await failed()).length, 1)
  const filled = await fill()
  t.match(filled, { code: 1, out: /All other rollups are up to date\.\n$/ })
  t.match(filled.err, /^error: 1 bucket failed; the last with: .* of 10s: damaged\n$/)
  await database.query('DROP TRIGGER fail ON rollup_10s')
  t.match(await fill(), { code: 0, out: /All rollups are up to date\.\n$/ }, 'retried on request')
  t.same(await failed(), [])
  t.equal(await differences(database), SAME)
})

const AGGREGATES = METRICS.flatMap(({ name }) => ['count', 'min', 'max'].map((aggregate) => [aggregate, name] as const))
const METRIC_NAMES = METRICS.map(({ name }) => name)
/** Columns of a rollup, and the same from points. */
const ROLLED_UP = [
  ...AGGREGATES.map(([aggregate, name]) => `${name}_${aggregate}`),
  ...METRIC_NAMES.map((name) => `round(${name}_avg::numeric, 6)`)
].join(', ')
const FROM_POINTS = [
  ...AGGREGATES.map(([aggregate, name]) => `${aggregate}(${name})`),
  ...METRIC_NAMES.map((name) => `round(avg(${name})::numeric, 6)`)
].join(', ')

/** Counts rollup rows and latest points that differ from telemetry. */
async function differences (database: Database): Promise<string> {
  const rollup = (view: string, width: string): string => `
    SELECT count(*) FROM (
      SELECT bucket, satellite_id, points, ${ROLLED_UP} FROM ${view}
      EXCEPT
      SELECT time_bucket('${width}', time), satellite_id, count(*), ${FROM_POINTS} FROM telemetry GROUP BY 1, 2) wrong`
  const points = (relation: string): string => `SELECT satellite_id, time, ${METRIC_NAMES.join(', ')} FROM ${relation}`
  return await one(database, `
    SELECT (${rollup('telemetry_10s', '10 seconds')}) || ' ' || (${rollup('telemetry_1m', '1 minute')}) || ' ' ||
           ((SELECT coalesce(sum(points), 0) FROM telemetry_10s) - (SELECT count(*) FROM telemetry)) || ' ' ||
           ((SELECT coalesce(sum(points), 0) FROM telemetry_1m) - (SELECT count(*) FROM telemetry)) || ' ' ||
           (SELECT count(*) FROM (SELECT satellite_id, max(time) AS time FROM telemetry GROUP BY 1) raw
            FULL JOIN satellites_latest l USING (satellite_id) WHERE raw.time IS DISTINCT FROM l.time) || ' ' ||
           (SELECT count(*) FROM (${points('satellites_latest')} EXCEPT ${points('telemetry')}) invented) AS value`)
}

const SAME = '0 0 0 0 0 0'

/** Reproducible pseudorandom numbers. */
function sequence (seed: number): (below: number) => number {
  return (below) => (seed = seed * 48_271 % 2_147_483_647) % below
}

const left = (database: Database): Promise<string> => one(database, `
  SELECT count(*)::text AS value FROM rollup_dirty WHERE bucket < (SELECT watermark FROM rollup_state)`)

t.test('rollups match telemetry in whatever order points arrive, rolled up or not', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  const nowMs = Date.now()
  const next = sequence(1)
  for (let turn = 0; turn < 6; turn++) {
    await store(Array.from({ length: 300 }, () => ({
      satellite: `SAT-${next(5)}`,
      timeMs: nowMs + 100_000 - (next(4) === 0 ? next(20 * DAY_MS) : next(600_000)),
      values: METRICS.map(() => next(5) === 0 ? null : next(1000) / 8)
    })))
    t.equal(await differences(database), SAME, `turn ${turn}: stored`)
    t.not(await left(database), '0', 'some buckets have late rows')
    await rollUp(database)
    t.equal(await differences(database), SAME, `turn ${turn}: rolled up`)
  }
  t.equal(await left(database), '0', 'nothing is left to do')
})

t.test('the views answer in spite of countless entries of late rows', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  const nowMs = Date.now()
  const points = Array.from({ length: 40 }, (_, index) => point(`SAT-${index % 4}`, nowMs - index * 30_000, index))
  await store(points)
  await rollUp(database)
  await store(points.slice(20))
  await database.query(`
    INSERT INTO rollup_dirty (bucket)
    SELECT time_bucket('10 seconds', now() - interval '10 minutes' - (i % 6) * interval '10 seconds')
    FROM generate_series(1, 300000) i`)
  for (const view of ['telemetry_10s', 'telemetry_1m']) {
    const { rows } = await database.query<{ 'QUERY PLAN': string }>(`EXPLAIN SELECT * FROM ${view}`)
    const plan = rows.map(row => row['QUERY PLAN']).join('\n')
    t.match(plan, /Anti Join/, view)
    t.notMatch(plan, /(?<!hashed )SubPlan/, `${view}: the entries are not read again for each row`)
  }
  t.equal(await differences(database), SAME)
})

t.test('rows in time are not recorded as late', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  await rollUp(database)
  const store = await pointStore(database)
  await store([point('A', Date.now()), point('B', Date.now() - 1_000)])
  const recorded = "SELECT (SELECT count(*) FROM rollup_dirty) + (SELECT count(*) FROM satellites_late) || '' AS value"
  t.equal(await one(database, recorded), '0')
  await store([point('C', Date.now() - 60_000), point('C', Date.now() - 59_000), point('A', Date.now() - 30_000)])
  t.same(await one(database, `
    SELECT array_agg(satellite_id || ' ' || (time < now() - interval '59500 ms') ORDER BY satellite_id) AS value
    FROM satellites_late`), ['A false', 'C false'], 'the newest of each')
  t.equal(await differences(database), SAME)
})

t.test('rolling up waits for a running transaction; one that begins later counts as late', async t => {
  const url = await createTestDatabase(server)
  const [database, slow, later] = [await open(t, url), await open(t, url), await open(t, url)]
  await migrate(database, SCHEMA_SETTINGS)
  const watermark = (): Promise<Date> => one(database, 'SELECT (SELECT watermark FROM rollup_state) AS value')
  const before = await watermark()
  const insert = (satellite: string): string => `
    INSERT INTO telemetry (time, satellite_id)
    SELECT (SELECT watermark FROM rollup_state) + interval '1 second', '${satellite}'`
  const note = `
    SELECT orbitstream_note_rows(
      (SELECT watermark FROM rollup_state) + interval '1 second', ARRAY[(SELECT watermark FROM rollup_state)]) AS late`
  await later.query(`BEGIN; ${insert('later')}`)
  t.same((await slow.query(`BEGIN; ${insert('slow')}; ${note}`)).rows, [{ late: false }])
  await rollUp(database)
  t.same(await watermark(), before, 'nothing is rolled up while a transaction told "in time" may still commit')
  t.same((await later.query(note)).rows, [{ late: true }], 'the watermark had moved')
  await slow.query('COMMIT')
  await later.query('ROLLBACK')
  await database.query('SELECT orbitstream_roll_up(1)')
  t.ok(await watermark() > before)
  const satellites = (): Promise<string[]> => (
    one(database, 'SELECT array_agg(satellite_id ORDER BY satellite_id) AS value FROM telemetry_10s'))
  t.same(await satellites(), ['slow'])
  await later.query(`BEGIN;
    INSERT INTO telemetry (time, satellite_id) SELECT time, 'later' FROM telemetry;
    SELECT orbitstream_note_rows(time, ARRAY[time_bucket('10 seconds', time)]) FROM telemetry LIMIT 1;
    COMMIT`)
  t.same(await satellites(), ['later', 'slow'], 'read from telemetry')
  t.equal(await left(database), '1')
  await rollUp(database)
  t.equal(await left(database), '0')
  t.same(await satellites(), ['later', 'slow'])
  await slow.query(`BEGIN; ${insert('failed')}; ${note}; ROLLBACK`)
  await rollUp(database)
  t.same(await satellites(), ['later', 'slow'], 'a failed transaction leaves nothing')
})

/** Of a reader beside the others. */
const ANSWERS_MIN = 6

t.test('workers, the primary and readers run concurrently', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SCHEMA_SETTINGS)
  const next = sequence(7)
  const beginMs = performance.now()
  const answers: string[] = []
  const goesOn = (): boolean => performance.now() - beginMs < 2_500 || answers.length < ANSWERS_MIN
  const work = async (spool: string): Promise<void> => {
    const store = await pointStore(await open(t, url), { spool })
    const timeMs = (): number => Date.now() - next(next(3) === 0 ? 40_000 : 2_500)
    while (goesOn()) {
      await store(Array.from({ length: 1 + next(40) }, () => point(`SAT-${next(9)}`, timeMs(), next(100))))
    }
  }
  const keeper = await open(t, url)
  const keep = async (): Promise<void> => {
    while (goesOn()) await rollUp(keeper)
  }
  const read = async (): Promise<void> => {
    while (goesOn()) answers.push(await differences(database))
  }
  await Promise.all([work('a'), work('b'), keep(), read()])
  t.same([...new Set(answers)], [SAME], `${answers.length} answers`)
  t.ok(await one(database, 'SELECT count(*) > 10 AS value FROM rollup_10s'), 'some of it was rolled up')
})

t.test('recovers from a clock that was far ahead', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  await setBack(database, '-1 day')
  const store = await pointStore(database)
  await store([point('A', Date.now() - 30_000), point('B', Date.now())])
  t.equal(await differences(database), SAME)
  await rollUp(database)
  t.ok(await one(database, `
    SELECT closing < now() AND latest_watermark < now() AND watermark < now() AS value FROM rollup_state`))
  await store([point('A', Date.now()), point('B', Date.now())])
  t.equal(await differences(database), SAME)
})

t.test('work on late rows pauses, nine times longer while points wait for the database', async t => {
  const database = await open(t, await createTestDatabase(server))
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  for (const [isBehind, pauseMs] of [[true, 1_800], [false, 200]] as const) {
    let nowMs = 0
    // A step takes 200 ms.
    const slow = new Proxy(database, {
      get: (target, key) => key === 'query'
        ? async (sql: string, values?: unknown[]) => {
          if (sql.includes('roll_up_again')) nowMs += 200
          return await target.query(sql, values)
        }
        : Reflect.get(target, key) as unknown
    })
    const keeper = new RollUp({ storingIsBehind: () => isBehind, nowMs: () => nowMs })
    await store([point('A', Date.now() - 300_000)])
    await keeper.run(slow)
    t.equal(await left(database), '0')
    await store([point('A', Date.now() - 300_000)])
    nowMs += pauseMs - 1
    await keeper.run(slow)
    t.equal(await left(database), '1', 'not immediately again')
    t.equal(await differences(database), SAME)
    nowMs += 1
    await keeper.run(slow)
    t.equal(await left(database), '0')
  }
})

t.test('late rows are left to a running rebuild of all rollups', async t => {
  const url = await createTestDatabase(server)
  const [database, other] = [await open(t, url), await open(t, url)]
  await migrate(database, SCHEMA_SETTINGS)
  const store = await pointStore(database)
  await store(Array.from({ length: 30 }, (_, index) => point('A', Date.now() - 3_600_000 - index * 60_000)))
  const aborted = { signal: AbortSignal.abort(), onProgress: () => {}, onWaiting: () => {} }
  t.match(await fillRollups(database, aborted), { waitingMinutes: 30, remainingSeconds: null })
  const shown: Array<number | null> = []
  let rolled = Promise.resolve()
  const done = await fillRollups(database, {
    signal: new AbortController().signal,
    onProgress: ({ waitingMinutes }) => {
      shown.push(waitingMinutes)
      // The lease is held now.
      if (shown.length === 1) rolled = rollUp(other)
    },
    onWaiting: () => {}
  })
  await rolled
  t.equal(shown[0], 30)
  t.match(done, { waitingMinutes: 0, failedBuckets: 0 })
  t.equal(await differences(database), SAME)
  const isReleased = "SELECT expires_at = '-infinity' AS value FROM rollup_filler"
  t.ok(await one(database, isReleased), 'servers take over at once')
})

t.test('retention drops expired points, anomalies, rollups and satellites, and nothing younger', async t => {
  const url = await createTestDatabase(server)
  const database = await open(t, url)
  await migrate(database, SCHEMA_SETTINGS)
  const nowMs = Date.now()
  const dayMs = Math.floor(nowMs / DAY_MS) * DAY_MS
  const store = await pointStore(database)
  // Whole days only: the day in which retention ends loses nothing.
  const times = [
    ['gone', dayMs - 11 * DAY_MS + 1],
    ['gone', dayMs - 10 * DAY_MS - 1],
    ['kept', dayMs - 10 * DAY_MS],
    ['kept', nowMs - 10 * DAY_MS + 1000],
    ['kept', nowMs - 2 * DAY_MS],
    ['young', nowMs - 60_000]
  ] as const
  await store(times.map(([satellite, timeMs]) => point(satellite, timeMs)))
  await storeAnomalies(database, times)
  // Dirty buckets of dropped days must not come back.
  await rollUp(database)
  await store([point('gone', dayMs - 11 * DAY_MS + 2)])
  const counts = async (): Promise<string[]> => await Promise.all(RETAINED.map(relation => one<string>(database, `
    SELECT string_agg(satellite_id || ' ' || n, ' ' ORDER BY satellite_id) AS value
    FROM (SELECT satellite_id, count(*) AS n FROM ${relation} GROUP BY 1) c`)))
  const runMaintenance = async (retentionMs: number): Promise<void> => {
    const maintenance = startMaintenance({
      connect: () => connect(url, OPTIONS),
      settings: { ...SCHEMA_SETTINGS, retentionMs },
      log: silentLog,
      intervals: { rollupsMs: 3_600_000 }
    })
    await maintenance.runNow()
    t.equal(maintenance.lastError, null)
    await maintenance.close()
  }
  await runMaintenance(30 * DAY_MS)
  const [points] = await counts()
  t.equal(points, 'gone 3 kept 3 young 1', 'a retention of 30 days drops nothing')
  await runMaintenance(10 * DAY_MS)
  const kept = [...RETAINED.slice(1).map(() => 'kept 3 young 1'), 'kept 1 young 1']
  t.same(await counts(), kept, 'one of 10 days applies from the next start')
  await rollUp(database)
  t.equal(await differences(database), SAME)
})

t.test('points of an earlier day that come in while rollups are dropped are not forgotten', async t => {
  const url = await createTestDatabase(server)
  const [database, keeper, holder, watcher] =
    [await open(t, url), await open(t, url), await open(t, url), await open(t, url)]
  await migrate(database, SCHEMA_SETTINGS)
  await database.query("INSERT INTO rollup_dirty (bucket) VALUES (now() - interval '30 days')")
  await holder.query('BEGIN; SELECT FROM rollup_dirty FOR UPDATE')
  const waits = async ({ backendPid }: Database): Promise<true | undefined> => (await watcher.query(
    'SELECT FROM pg_locks WHERE pid = $1 AND NOT granted', [backendPid])).rowCount > 0 || undefined
  const dropped = dropRollups(keeper, '10s')
  await eventually('dropping waits', 10_000, async () => await waits(keeper))
  const store = await pointStore(database)
  let isStored = false
  const stored = store([point('A', Date.now() - 20 * DAY_MS)]).then(() => { isStored = true })
  await eventually('the point is stored, or waits', 10_000, async () => isStored || await waits(database))
  await holder.query('COMMIT')
  await Promise.all([dropped, stored])
  t.equal(await differences(database), SAME)
  await rollUp(keeper)
  t.equal(await differences(database), SAME)
})
