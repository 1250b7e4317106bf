/** Rollups on TimescaleDB are those of telemetry whatever the jobs have done, in whatever order, or failed to do. */
import t from 'tap'
import { DatabaseError } from 'pg'
import type { Test } from 'tap'
import type { Database } from '../../lib/database/database.js'
import { LateRollups } from '../../lib/upkeep/late-rollups.js'
import { fillRollups } from '../../lib/upkeep/rollup/fill.js'
import { PolicyWatch } from '../../lib/upkeep/rollup/policy-watch.js'
import { migrate } from '../../lib/schema/migrate.js'
import { silentLog } from '../support/database/postgres.js'
import { rollUp, SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { pointStore } from '../support/database/stored-rows.js'
import { column, refresh, rollUpAll, runPolicies, simulated } from '../support/database/timescale-rig.js'
import { openTimescale } from '../support/database/timescale.js'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const minute = (ageMs: number): number => Math.floor((Date.now() - ageMs) / MINUTE_MS) * MINUTE_MS

async function open (t: Test): Promise<Database> {
  const database = await openTimescale(t)
  await migrate(database, SCHEMA_SETTINGS)
  return database
}

/** The sum of points in each of the views. */
const sums = async (database: Database): Promise<number[]> => await column(database, `
  SELECT sum(points)::int AS value FROM telemetry_1m UNION ALL
  SELECT sum(points)::int FROM telemetry_10s UNION ALL
  SELECT count(*)::int FROM telemetry`)

/** Stores one point at each of these times. */
async function storeAt (database: Database, ...timesMs: readonly number[]): Promise<void> {
  const store = await pointStore(database)
  await store(timesMs.map((timeMs) => ({ satellite: 'SAT-1', timeMs, values: [1] })))
}

t.test('minutes are right while the ten seconds lag behind, and after only they have caught up', async t => {
  const database = await open(t)
  const beginMs = minute(5 * MINUTE_MS)
  await (await pointStore(database))(simulated(3, 200, beginMs))
  const all = [600, 600, 600]
  t.same(await sums(database), all, 'before the first refresh')
  await refresh(database, 'rollup_10s', beginMs, beginMs + 90_000)
  t.same(await sums(database), all)
  await refresh(database, 'rollup_1m', beginMs, beginMs + 3 * MINUTE_MS)
  t.same(await column(database, 'SELECT sum(points)::int AS value FROM rollup_1m'), [270], 'one minute is incomplete')
  t.same(await sums(database), all, 'lagging behind')
  await refresh(database, 'rollup_10s', beginMs, beginMs + 150_000)
  t.same(await sums(database), all, 'caught up')
  await refresh(database, 'rollup_1m', beginMs, beginMs + 3 * MINUTE_MS)
  t.same(await sums(database), all, 'both')
})

t.test('a refresh that commits during a query leaves no gap in its answer', async t => {
  const database = await open(t)
  const beginMs = minute(5 * MINUTE_MS)
  await (await pointStore(database))(simulated(1, 240, beginMs))
  await refresh(database, 'rollup_10s', beginMs, beginMs + 2 * MINUTE_MS)
  await refresh(database, 'rollup_1m', beginMs, beginMs + 2 * MINUTE_MS)
  // Some versions read the watermark at planning time if they recognize the view as their own.
  await database.query(`SELECT set_config(name, 'off', false) FROM pg_settings
    WHERE name = 'timescaledb.enable_cagg_watermark_constify'`)
  for (const view of ['telemetry_10s', 'telemetry_1m']) {
    // A cursor takes its snapshot at the start and reads later.
    await database.query(`BEGIN; DECLARE slow CURSOR FOR SELECT sum(points)::int AS value FROM ${view};
      UPDATE _timescaledb_catalog.continuous_aggs_watermark SET watermark = watermark + 120000000`)
    t.same(await column(database, 'FETCH ALL FROM slow'), [240], view)
    await database.query('ROLLBACK')
  }
})

t.test('chunks outside the queried range are excluded', async t => {
  const database = await open(t)
  const store = await pointStore(database)
  for (const hours of [30, 20, 10, 0]) await store(simulated(1, 60, minute(hours * HOUR_MS + 2 * MINUTE_MS)))
  await runPolicies(database, 'policy_refresh_continuous_aggregate')
  const { rows } = await database.query<{ 'QUERY PLAN': string }>(`
    EXPLAIN (ANALYZE, COSTS off, TIMING off)
    SELECT * FROM telemetry_10s WHERE bucket > now() - interval '10 minutes'`)
  const plan = rows.map(row => row['QUERY PLAN']).join('\n')
  const telemetry = await column<string>(database, `
    SELECT chunk_name::text AS value FROM timescaledb_information.chunks
    WHERE hypertable_name = 'telemetry' ORDER BY range_start`)
  t.notMatch(plan, telemetry[0]!)
  t.notMatch(plan, telemetry[1]!)
  t.match(plan, telemetry.at(-1)!)
})

/** A database that intercepts refreshes: `onRefresh` returns whether to run one. */
function meddled (database: Database, onRefresh: (sql: string) => Promise<boolean>): Database {
  return new Proxy(database, {
    get: (target, key) => key === 'query'
      ? async (sql: string, values?: unknown[]) => {
        const isSkipped = sql.startsWith('CALL') && !await onRefresh(sql)
        return isSkipped ? { rows: [], rowCount: 0 } : await target.query(sql, values)
      }
      : Reflect.get(target, key) as unknown
  })
}

const left = (database: Database): Promise<number[]> => (
  column(database, 'SELECT count(*)::int AS value FROM rollup_dirty'))
const rolledUp = (database: Database): Promise<number[]> => column(database, `
  SELECT coalesce(sum(points), 0)::int AS value FROM rollup_10s UNION ALL
  SELECT coalesce(sum(points), 0)::int FROM rollup_1m`)

t.test('entries stay until the rollups are right, whatever a refresh reports', async t => {
  const database = await open(t)
  await storeAt(database, ...[5, 6].map(hours => Date.now() - hours * HOUR_MS))
  const late = new LateRollups()
  const calls: string[] = []
  const idle = meddled(database, sql => Promise.resolve(calls.push(sql) < 0))
  t.equal(await late.step(idle, 6, Infinity), true)
  const expected = [/rollup_10s/, /rollup_1m/, /rollup_10s.*force => true/, /rollup_1m.*force => true/]
  t.match(calls, expected, 'forced after doing nothing')
  t.same(await left(database), [2])
  t.equal(await late.step(database, 6, Infinity), true, 'earlier spans are processed')
  t.same(await left(database), [1])
  t.same(await rolledUp(database), [1, 1])
  t.equal(await late.step(database, 6, Infinity), false, 'and the span itself is left for later')
  t.equal(await new LateRollups().step(database, 6, Infinity), true)
  t.same(await left(database), [0])
  t.same(await rolledUp(database), [2, 2])
})

t.test('changed values count as not rolled up', async t => {
  const database = await open(t)
  await storeAt(database, Date.now() - 5 * HOUR_MS)
  await rollUpAll(database)
  const right = (): Promise<boolean[]> => (
    column(database, "SELECT orbitstream_is_rolled_up(now() - interval '6 hours', now()) AS value"))
  t.same(await right(), [true])
  await database.query('UPDATE telemetry SET battery_charge_percent = 2')
  t.same(await right(), [false])
})

t.test('changes that the extension has lost track of are found', async t => {
  const database = await open(t)
  const store = await pointStore(database)
  const point = { satellite: 'SAT-1', timeMs: Date.now() - 5 * HOUR_MS, values: [1] }
  await store([point])
  await rollUpAll(database)
  await store([point])
  await database.query('DELETE FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log')
  await rollUpAll(database)
  t.same(await rolledUp(database), [2, 2])
})

t.test('a span that another session is refreshing is left for later, without a failure', async t => {
  const database = await open(t)
  await storeAt(database, Date.now() - 5 * HOUR_MS)
  const busy = (code: string): Database => (
    meddled(database, () => Promise.reject(Object.assign(new DatabaseError('no', 2, 'error'), { code }))))
  await new LateRollups().step(busy('55P03'), 6, Infinity)
  t.same(await left(database), [1])
  await t.rejects(new LateRollups().step(busy('XX000'), 6, Infinity), { code: 'XX000' })
  t.same(await left(database), [1])
})

t.test('what the policies can still reach is left to them', async t => {
  const database = await open(t)
  await storeAt(database, ...[130, 150, 170].map(minutes => Date.now() - minutes * MINUTE_MS))
  const spans: string[] = []
  await new LateRollups().step(meddled(database, sql => Promise.resolve(spans.push(sql) > 0)), 360, Infinity)
  t.equal(spans.length, 2)
  t.same(await left(database), [2])
})

t.test('a turn starts with one minute, and starts no span once its time is up', async t => {
  const database = await open(t)
  const enter = async (step: string): Promise<void> => {
    await database.query(`DELETE FROM rollup_dirty;
      INSERT INTO rollup_dirty (bucket)
      SELECT time_bucket('1 minute', now()) - interval '5 hours' - m * interval '${step}' FROM generate_series(0, 9) m`)
  }
  const spans: string[] = []
  const watched = meddled(database, sql => Promise.resolve(spans.push(sql) > 0))
  await enter('3 minutes')
  await new LateRollups().step(watched, 360, 0)
  t.equal(spans.length, 2, 'one span')
  t.same(await left(database), [9])
  await enter('1 minute')
  await rollUp(watched)
  const [from = '', to = ''] = spans[2]!.match(/[\d-]+T[\d:.]+Z/g) ?? []
  t.equal(Date.parse(to) - Date.parse(from), MINUTE_MS)
})

t.test('an overdue policy is run on its behalf', async t => {
  const database = await open(t)
  await storeAt(database, ...[2, 9, 100].map((minutes) => minute(minutes * MINUTE_MS)))
  const lines: string[] = []
  const say = (_: unknown, text: string): void => { lines.push(text) }
  let nowMs = 0
  let meanwhile: { age?: number, running?: boolean } = {}
  const calls: string[] = []
  const server = meddled(new Proxy(database, {
    get: (target, key) => key === 'query'
      ? async (sql: string, values?: unknown[]) => {
        const outcome = await target.query(sql, values)
        const isAsked = sql.includes('job_stats')
        return isAsked ? { ...outcome, rows: outcome.rows.map((row) => ({ ...row, ...meanwhile })) } : outcome
      }
      : Reflect.get(target, key) as unknown
  }), (sql) => Promise.resolve(calls.push(sql) > 0))
  const log = Object.assign(Object.create(silentLog) as typeof silentLog, { warn: say, info: say })
  const watch = new PolicyWatch(log, () => nowMs)
  const run = async (seconds: number): Promise<unknown[]> => {
    nowMs = seconds * 1_000
    await watch.run(server, Infinity)
    return watch.overdue.map(({ view }) => view)
  }
  await run(0)
  t.same(await run(200), [], 'paused policies stay paused')
  await database.query(`SELECT alter_job(job_id, scheduled => true, next_start => 'infinity')
    FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh%'`)
  t.same(await run(300), [], 'they may be new')
  t.same(await run(355), [])
  t.same(calls, [])
  meanwhile = { running: true }
  t.same(await run(370), ['rollup_10s'])
  t.same(calls, [], 'a long run is in progress')
  meanwhile = {}
  t.same((await run(410)).toSorted(), ['rollup_10s', 'rollup_1m'])
  t.same(await rolledUp(database), [3, 3])
  meanwhile = { age: 1 }
  t.same(await run(430), [])
  t.match(lines, [/rollup_10s is overdue/, /rollup_1m is overdue/, /rollup_\w+ runs again/, /rollup_\w+ runs again/])
  meanwhile = { age: -86_400 }
  calls.length = 0
  t.same(await run(450), [], 'the clock of the server was set back')
  t.same((await run(560)).toSorted(), ['rollup_10s', 'rollup_1m'], 'they would wait until it is there again')
  t.not(calls.length, 0)
  meanwhile = { age: 1 }
  t.same(await run(580), [])
})

t.test('what policies do not reach after a long pause is refreshed', async t => {
  const database = await open(t)
  await storeAt(database, minute(4 * HOUR_MS))
  await database.query('DELETE FROM rollup_dirty')
  let startedMs = Date.now() - 5 * HOUR_MS
  const server = new Proxy(database, {
    get: (target, key) => key === 'query'
      ? async (sql: string, values?: unknown[]) => {
        const outcome = await target.query(sql, values)
        return sql.includes('job_stats')
          ? { ...outcome, rows: outcome.rows.map((row) => ({ ...row, startedMs })) }
          : outcome
      }
      : Reflect.get(target, key) as unknown
  })
  let nowMs = 0
  const watch = new PolicyWatch(silentLog, () => nowMs)
  const run = async (): Promise<number[]> => {
    await watch.run(server, Infinity)
    nowMs += 10_000
    return await column(database, 'SELECT count(*)::int AS value FROM rollup_dirty')
  }
  t.same(await run(), [0])
  startedMs += 30 * MINUTE_MS
  t.same(await run(), [0], 'the next run reaches all that may have come')
  startedMs = Date.now()
  t.not((await run())[0], 0)
  await rollUpAll(database)
  t.same(await rolledUp(database), [1, 1])
  const [noted] = await left(database)
  t.same(await run(), [noted], 'noted once')
})

/** Whether a refresh is of a span with this time. */
function covers (sql: string, timeMs: number): boolean {
  const [from = NaN, to = NaN] = (sql.match(/[\d-]+T[\d:.]+Z/g) ?? []).map((text) => Date.parse(text))
  return from <= timeMs && timeMs < to
}

const damaged = (): Error => Object.assign(new DatabaseError('damaged', 7, 'error'), { code: 'XX001' })

t.test('a minute that fails in the place of a policy is known until it succeeds', async t => {
  const database = await open(t)
  const badMs = minute(100 * MINUTE_MS)
  await storeAt(database, badMs, badMs + 10 * MINUTE_MS)
  await database.query(`SELECT alter_job(job_id, scheduled => true, next_start => 'infinity')
    FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh%'`)
  const failing = meddled(database, (sql) => (
    sql.includes('rollup_10s') && covers(sql, badMs) ? Promise.reject(damaged()) : Promise.resolve(true)))
  let nowMs = 0
  const watch = new PolicyWatch(silentLog, () => nowMs)
  const failed = async (server: Database, seconds: number): Promise<object[]> => {
    nowMs = seconds * 1_000
    await watch.run(server, Infinity)
    return (await database.query('SELECT width, bucket FROM rollup_failed')).rows
  }
  t.same(await failed(failing, 0), [])
  t.same(await failed(failing, 200), [{ width: '1m', bucket: new Date(badMs) }])
  t.same(await rolledUp(database), [1, 1])
  t.same(await failed(database, 400), [])
  t.same(await rolledUp(database), [2, 2])
})

t.test('a minute whose refresh fails affects no other, until it succeeds', async t => {
  const database = await open(t)
  const badMs = minute(5 * HOUR_MS)
  await storeAt(database, ...[-1, 0, 1, 2].map((minutes) => badMs + minutes * MINUTE_MS))
  const failing = meddled(database, (sql) => covers(sql, badMs) ? Promise.reject(damaged()) : Promise.resolve(true))
  await rollUpAll(failing)
  t.same(await rolledUp(database), [3, 3])
  const failed = await database.query('SELECT width, bucket, sqlstate, reason FROM rollup_failed')
  t.same(failed.rows, [{ width: '1m', bucket: new Date(badMs), sqlstate: 'XX001', reason: 'damaged' }])
  const fill = async (server: Database): Promise<unknown> => (
    await fillRollups(server, { signal: new AbortController().signal, onProgress: () => {}, onWaiting: () => {} }))
  t.match(await fill(failing), { waitingMinutes: 0, failedBuckets: 1, failure: /damaged/ })
  t.match(await fill(database), { waitingMinutes: 0, failedBuckets: 0, failure: null })
  t.same(await rolledUp(database), [4, 4])
})
