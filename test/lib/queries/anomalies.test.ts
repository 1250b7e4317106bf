/** Anomalies in a real PostgreSQL: stored with their points or not at all, kept as long, found page by page. */
import t, { type Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { Drain } from '../../../lib/drain/drain.js'
import { queryAnomalies, type AnomalyFilter } from '../../../lib/queries/anomaly-query.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { MemoryJournal } from '../../../lib/journal/memory-journal.js'
import { createLogger } from '../../../lib/support/log.js'
import { dropPartitions } from '../../../lib/schema/partitions.js'
import { ChangeLimits } from '../../../lib/limits/change-limits.js'
import type { LimitSet } from '../../../lib/limits/limit-set.js'
import type { Anomaly } from '../../../lib/pipeline/rows/anomaly-rows.js'
import { dropLastChanges } from '../../../lib/upkeep/last-changes.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { QueryPool } from '../../../lib/database/query-pool.js'
import { BUILT_IN, METRICS } from '../../support/points/built-in.js'
import { silentLog, startTestPostgres } from '../../support/database/postgres.js'
import { payloadOf, type PlainPoint } from '../../support/points/limits.js'

const SETTINGS = { retentionMs: 3 * DAY_MS, log: silentLog }
const log = createLogger({ level: 'error', name: 'test', destination: { write: () => {} } })
const NOW = Math.floor(Date.now() / 1000) * 1_000_000
const ANY: AnomalyFilter = {
  sinceMicros: null, untilMicros: null, satellite: null, metric: null, severity: null, cursor: null, countMax: 100
}

interface Rig {
  readonly url: string
  readonly db: Database
  readonly connect: () => Promise<Database>
  /** Stores points as a worker would; gives points stored and quarantined. */
  readonly store: (...batches: PlainPoint[][]) => Promise<{ stored: number, quarantined: number }>
  /** By which further stores judge changes; null: none. */
  readonly useChangeLimits: (limits: LimitSet | null) => void
  /** Anomalies of limits on change, as reported. */
  readonly found: Anomaly[]
}

async function rig (t: Test): Promise<Rig> {
  const { url } = await startTestPostgres(t)
  const open = async (): Promise<Database> => await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  const db = await open()
  t.teardown(async () => await db.close())
  await migrate(db, SETTINGS)
  let epoch = 0
  let changeLimits: ChangeLimits | null = null
  const found: Anomaly[] = []
  const store: Rig['store'] = async (...batches) => {
    // Of its own, so that stores may overlap.
    const journal = new MemoryJournal({ spoolId: `test/${++epoch}`, epoch, bytesMax: 1e9 })
    const sum = { stored: 0, quarantined: 0 }
    const drain = new Drain({
      catalogue: BUILT_IN,
      journal,
      connect: open,
      log,
      copyBytesMax: 1e9,
      intervalMs: 0,
      changeLimits: () => changeLimits,
      onChanges: ({ anomalies }) => found.push(...anomalies),
      onCommitted: (stored, quarantined) => { sum.stored += stored; sum.quarantined += quarantined }
    })
    for (const points of batches) {
      journal.append({
        payload: payloadOf(points), rows: points.length, spooled: () => {}, committed: () => {}
      })
    }
    journal.end()
    await drain.run()
    return sum
  }
  const useChangeLimits: Rig['useChangeLimits'] = (set) => {
    changeLimits = set === null ? null : new ChangeLimits({ version: 7, set }, BUILT_IN.streams).orNull
  }
  return { url, db, connect: open, store, useChangeLimits, found }
}

async function count (db: Database, table: string): Promise<number> {
  return Number((await db.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`)).rows[0]?.n)
}

const quarantined = async (db: Database): Promise<Array<{ reason: string, row: Record<string, unknown> }>> =>
  (await db.query<{ reason: string, row: Record<string, unknown> }>(
    'SELECT reason, row FROM quarantined_rows ORDER BY id')).rows

const CRITICAL = { limit_value: 10, severity: 'critical', side: 'high', limits_version: '1' }

t.test('a point and its anomalies are stored together or not at all', async (t) => {
  const { db, store } = await rig(t)
  await t.test('several frames, one transaction', async (t) => {
    t.strictSame(
      await store([['B', NOW, 11, 1], ['A', NOW, 1]], [['A', NOW + 1, 12, 13]]), { stored: 3, quarantined: 0 })
    t.equal(await count(db, 'telemetry'), 3)
    t.strictSame((await db.query(
      `SELECT satellite_id, metric, value, limit_value, severity, side, limits_version FROM anomalies
        ORDER BY value`)).rows, [
      { satellite_id: 'B', metric: METRICS[0].name, value: 11, ...CRITICAL },
      { satellite_id: 'A', metric: METRICS[0].name, value: 12, ...CRITICAL },
      { satellite_id: 'A', metric: METRICS[1].name, value: 13, ...CRITICAL }
    ])
  })
  await t.test('a refused point takes its anomalies along', async (t) => {
    await db.query(
      'TRUNCATE telemetry, anomalies; ALTER TABLE telemetry ADD CONSTRAINT no_bad CHECK (satellite_id <> \'BAD\')')
    t.strictSame(
      await store([['OK', NOW, 11], ['BAD', NOW, 12, 13], ['OK', NOW, 14]], [['BAD', NOW, 15]]),
      { stored: 2, quarantined: 2 })
    t.strictSame((await db.query('SELECT value FROM anomalies ORDER BY value')).rows, [{ value: 11 }, { value: 14 }])
    const rows = await quarantined(db)
    t.equal(rows.length, 5)
    t.strictSame(rows.map(({ row }) => row['value']), [undefined, undefined, 12, 13, 15])
    t.match(rows[2]?.reason, /its point was refused: .*no_bad/)
    await db.query('ALTER TABLE telemetry DROP CONSTRAINT no_bad; TRUNCATE telemetry, anomalies, quarantined_rows')
  })
  await t.test('a refused anomaly is put aside, its point is stored', async (t) => {
    await db.query('ALTER TABLE anomalies ADD CONSTRAINT no_twelve CHECK (value <> 12)')
    t.strictSame(await store([['A', NOW, 11, 12], ['B', NOW, 12]]), { stored: 2, quarantined: 0 })
    t.equal(await count(db, 'telemetry'), 2)
    t.strictSame((await db.query('SELECT value FROM anomalies')).rows, [{ value: 11 }])
    t.match(
      await quarantined(db),
      [{ row: { satellite_id: 'A', value: 12, metric: METRICS[1].name } }, { row: { satellite_id: 'B' } }])
    await db.query('ALTER TABLE anomalies DROP CONSTRAINT no_twelve; TRUNCATE telemetry, anomalies, quarantined_rows')
  })
  await t.test('a day whose partitions are missing in either table', async (t) => {
    const name = (table: string): string => `${table}_p${new Date(
      NOW / 1000).toISOString().slice(0, 10).replaceAll('-', '')}`
    for (const table of ['anomalies', 'telemetry']) {
      await db.query(`DROP TABLE ${name(table)}`)
      t.strictSame(await store([['A', NOW, 11]]), { stored: 1, quarantined: 0 }, table)
    }
    t.equal(await count(db, 'anomalies'), 2)
    t.equal(await count(db, 'quarantined_rows'), 0)
  })
  await t.test('both tables are dropped by age', async (t) => {
    for (const table of ['telemetry', 'anomalies']) {
      const dropped = await dropPartitions(db, table, SETTINGS, Date.now() + 5 * DAY_MS)
      t.ok(dropped.length >= 2)
      t.ok(dropped.every((each) => each.startsWith(`${table}_`)))
      t.strictSame(await dropPartitions(db, table, SETTINGS, Date.now() + 5 * DAY_MS), [])
    }
  })
})

t.test('queries', async (t) => {
  const { db, connect: open, store } = await rig(t)
  const points = Array.from(
    { length: 60 },
    (_, index): PlainPoint => [
      `S${index % 3}`, NOW + Math.floor(index / 12), 11 + index % 2, 5, index % 5 === 0 ? 20 : 1
    ])
  await store(points)
  await db.query("UPDATE anomalies SET severity = 'warning' WHERE value = 20")
  const all = await queryAnomalies(db, ANY)

  t.equal(all.anomalies.length, 72)
  t.equal(all.next, null)
  t.strictSame(
    all.anomalies.map(({ time }) => time), all.anomalies.map(({ time }) => time).sort().reverse(), 'newest first')

  for (const countMax of [1, 2, 5, 7, 72]) {
    const pages = []
    let cursor = null
    do {
      const page = await queryAnomalies(db, { ...ANY, countMax, cursor })
      pages.push(...page.anomalies)
      cursor = page.next
    } while (cursor !== null)
    t.strictSame(
      pages.map((each) => JSON.stringify(each)).sort(), all.anomalies.map((each) => JSON.stringify(each)).sort(),
      `pages of ${countMax}, with many alike`)
  }

  const find = async (filter: Partial<AnomalyFilter>): Promise<number> => (await queryAnomalies(
    db, { ...ANY, ...filter })).anomalies.length
  t.equal(await find({ satellite: 'S1' }), 24)
  t.equal(await find({ metric: METRICS[2].name }), 12)
  t.equal(await find({ severity: 'warning' }), 12)
  t.equal(
    await find({ sinceMicros: NOW + 1, untilMicros: NOW + 2 }),
    all.anomalies.filter(({ time }) => time?.endsWith('000001Z')).length)
  t.equal(await find({ satellite: 'S9' }), 0)

  const queries = new QueryPool(3, open)
  t.equal((await queries.run((each) => queryAnomalies(each, ANY))).anomalies.length, 72)
  await t.rejects(queries.run((each) => each.query('DELETE FROM anomalies')), /read-only/)
  await t.rejects(
    queries.run((each) => each.query('SET statement_timeout = 50; SELECT pg_sleep(5)')), { code: 'query_timeout' })
  const pid = await queries.run((each) => Promise.resolve(each.backendPid))
  await db.query('SELECT pg_terminate_backend($1)', [pid])
  t.equal(
    (await queries.run((each) => queryAnomalies(each, ANY))).anomalies.length, 72, 'a lost connection is made again')
  await t.rejects(
    queries.run((each) => each.query('SELECT pg_terminate_backend(pg_backend_pid())')),
    { code: 'database_unavailable' }, 'not tried for ever')
  const busy = Array.from(
    { length: 60 },
    async () => await queries.run((each) => each.query('SELECT pg_sleep(0.01)')).then(
      () => 'done', (error: unknown) => (error as { code: string }).code))
  t.strictSame([...new Set(await Promise.all(busy))], ['done', 'too_busy'])
  await queries.close()
})

const [counter, uptime] = METRICS.map(({ name }) => name) as [string, string]
const at = (second: number): number => NOW + second * 1_000_000
type Change = [satellite: string, at: number, metric: string, before: number, value: number, severity: string]

interface ChangeRig extends Rig {
  readonly limits: LimitSet
  readonly changes: () => Promise<Change[]>
  readonly forget: () => Promise<void>
}

function changeRig (base: Rig): ChangeRig {
  const { db, found } = base
  const byDefault: LimitSet['default'] = {
    [counter]: { change: { warning: 'any' } }, [uptime]: { change: { warning: 'increase', critical: 'decrease' } }
  }
  const overrides: LimitSet['overrides'] = {
    'QUIET-*': { [counter]: {}, [uptime]: {} },
    DOWN: { [counter]: {}, [uptime]: { change: { critical: 'decrease' } } }
  }
  const limits: LimitSet = { default: byDefault, overrides }
  const changes = async (): Promise<Change[]> => (await queryAnomalies(db, { ...ANY, countMax: 10_000 })).anomalies
    .filter(({ side }) => side === 'change')
    .map(({ satellite_id: satellite, time, metric, limit, value, severity }): Change => [
      satellite, Math.round((Date.parse(time ?? '') - NOW / 1000) / 1000), metric, limit, value, severity])
    .toReversed()
  const forget = async (): Promise<void> => {
    await db.query('TRUNCATE telemetry, anomalies, last_changes, quarantined_rows')
    found.length = 0
  }
  return { ...base, limits, changes, forget }
}

t.test('limits on change', async (t) => {
  const changing = changeRig(await rig(t))
  await findChanges(t, changing)
  await storeMany(t, changing)
})

async function findChanges (t: Test, rig: ChangeRig): Promise<void> {
  const { db, store, useChangeLimits, found, limits, changes, forget } = rig
  await t.test('without one nothing is kept', async (t) => {
    await store([['A', at(1), 1], ['A', at(2), 2]])
    t.equal(await count(db, 'last_changes'), 0)
    useChangeLimits({ default: { [counter]: { low: { critical: 0 } } }, overrides: {} })
    await store([['A', at(3), 3]])
    t.equal(await count(db, 'last_changes'), 0)
    await forget()
    useChangeLimits(limits)
  })
  await t.test('the first value is the reference, each change is found once', async (t) => {
    await store([['A', at(1), 1], ['A', at(2), 1], ['B', at(1), 5], ['QUIET-1', at(1), 5]])
    t.same(await changes(), [])
    await store([['B', at(2), 5], ['A', at(3), 2], ['QUIET-1', at(2), 6]], [['A', at(4), 2], ['A', at(5), 1]])
    await store([['A', at(6), 1], ['A', at(7), NaN], ['A', at(8), 1]])
    t.same(await changes(), [['A', 3, counter, 1, 2, 'warning'], ['A', 5, counter, 2, 1, 'warning']])
    t.match(found, [
      { satellite_id: 'A', side: 'change', value: 2, limit: 1, limits_version: 7 }, { value: 1, limit: 2 }])
    t.equal(found.length, 2)
    t.equal(await count(db, 'last_changes'), 2, 'QUIET-1 has no limit')
    await forget()
  })
  await t.test('directions', async (t) => {
    const values = [10, 11, 11, 3, 4]
    await store(values.flatMap((value, index): PlainPoint[] => [
      ['A', at(index), NaN, value], ['DOWN', at(index), 1, value], ['QUIET', at(index), index === 0 ? 1 : NaN]]))
    t.same(await changes(), [
      ['A', 1, uptime, 10, 11, 'warning'], ['A', 3, uptime, 11, 3, 'critical'], ['DOWN', 3, uptime, 11, 3, 'critical'],
      ['A', 4, uptime, 3, 4, 'warning']])
    await forget()
  })
  await t.test('late points are compared if they are later than the last change, and never twice', async (t) => {
    await store([['A', at(0), 1]])
    // Two workers have a change at 5 each, one of them a point earlier.
    await store([['A', at(4), 1], ['A', at(6), 2]])
    await store([['A', at(3), 1], ['A', at(5), 2], ['A', at(7), 2]])
    t.same(await changes(), [['A', 6, counter, 1, 2, 'warning']])
    // Of what was recorded meanwhile.
    await store([['A', at(1), 9], ['A', at(2), 1]])
    await store([['A', at(9), 2]])
    t.same(await changes(), [['A', 6, counter, 1, 2, 'warning']], 'before the last change')
    await store([['A', at(8), 3]])
    await store([['A', at(10), 2]])
    t.same((await changes()).slice(1), [['A', 8, counter, 2, 3, 'warning'], ['A', 10, counter, 3, 2, 'warning']])
    // A run of equal values that begins before the last change.
    await store([['A', at(9), 4], ['A', at(11), 4]])
    t.same((await changes()).slice(3), [['A', 11, counter, 2, 4, 'warning']])
    await forget()
  })
}

async function storeMany (t: Test, rig: ChangeRig): Promise<void> {
  const { db, store, found, limits, changes, forget } = rig
  await t.test('several workers store parts of a counter at once', async (t) => {
    const satellites = Array.from({ length: 20 }, (_, index) => `S${index}`)
    const lanes: PlainPoint[][][] = [[], [], [], []]
    for (let second = 0; second < 60; second++) {
      for (const [lane, batches] of lanes.entries()) {
        batches.push(satellites.map((id, index): PlainPoint => (
          [id, at(second) + lane, Math.floor((second * 4 + lane + index) / 50), second * 4 + lane])))
      }
    }
    // Whatever happens at the same time: new rows, changed rows, and transactions that wait for others.
    for (let from = 0; from < 60; from += 30) {
      await Promise.all(lanes.map(async (batches) => await store(...batches.slice(from, from + 30))))
    }
    const all = await changes()
    for (const [index, id] of satellites.entries()) {
      const own = all.filter(([satellite, , metric]) => satellite === id && metric === counter)
      const chain = own.map(([, , , before]) => before)
      t.same(own.map(([, , , , value]) => value).slice(0, -1), chain.slice(1), 'each begins where the last one ended')
      t.equal(own.at(-1)?.[4], Math.floor((59 * 4 + 3 + index) / 50), 'the last value')
      t.same(chain.toSorted((a, b) => a - b), chain, 'none is found twice')
    }
    t.notOk(all.some(([, , , , , severity]) => severity === 'critical'), 'points out of order are not decreases')
    await forget()
  })
  await t.test('many at once', async (t) => {
    await store(Array.from({ length: 6_000 }, (_, index): PlainPoint => ['A', at(0) + index, index % 3]))
    t.equal(await count(db, 'anomalies'), 5_999)
    t.equal(found.length, 200, 'a sample')
    await forget()
  })
  await t.test('refused anomalies are put aside, and their points stored', async (t) => {
    await db.query("ALTER TABLE anomalies ADD CONSTRAINT no_change CHECK (side <> 'change')")
    t.same(await store([['A', at(1), 1], ['A', at(2), 2]]), { stored: 2, quarantined: 0 })
    t.match(await quarantined(db), [{ reason: /no_change/, row: { satellite_id: 'A', value: 2, limit: 1 } }])
    t.equal(found.length, 0)
    await db.query('ALTER TABLE anomalies DROP CONSTRAINT no_change')
    await forget()
  })
  await t.test('what is no longer needed is forgotten', async (t) => {
    await store([['A', at(1), 1], ['GONE', at(1) - 2 * DAY_MS * 1000, 1]])
    await db.query(
      'INSERT INTO limits (version, changed_at, changed_by, limits) VALUES (1, now(), $1, $2)',
      ['test', JSON.stringify(limits)])
    await dropLastChanges(db, ['telemetry'])
    t.equal(await count(db, 'last_changes'), 2, 'GONE has a late point')
    await db.query('TRUNCATE satellites_late')
    await dropLastChanges(db, ['telemetry'])
    t.same((await db.query('SELECT satellite_id FROM last_changes')).rows, [{ satellite_id: 'A' }])
    await db.query('UPDATE limits SET limits = $1', [JSON.stringify({ default: {}, overrides: {} })])
    await dropLastChanges(db, ['telemetry'])
    t.equal(await count(db, 'last_changes'), 0)
  })
}
