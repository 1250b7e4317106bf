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
import { DAY_MS } from '../../../lib/config/value-types.js'
import { QueryPool } from '../../../lib/database/query-pool.js'
import { BUILT_IN, METRICS } from '../../support/built-in.js'
import { silentLog, startTestPostgres } from '../../support/postgres.js'
import { payloadOf, type PlainPoint } from '../../support/limits.js'

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
}

async function rig (t: Test): Promise<Rig> {
  const { url } = await startTestPostgres(t)
  const open = async (): Promise<Database> => await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  const db = await open()
  t.teardown(async () => await db.close())
  await migrate(db, SETTINGS)
  let epoch = 0
  const store: Rig['store'] = async (...batches) => {
    const journal = new MemoryJournal({ spoolId: 'test/0', epoch: ++epoch, bytesMax: 1e9 })
    const sum = { stored: 0, quarantined: 0 }
    const drain = new Drain({
      catalogue: BUILT_IN,
      journal,
      connect: open,
      log,
      copyBytesMax: 1e9,
      intervalMs: 0,
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
  return { url, db, connect: open, store }
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
