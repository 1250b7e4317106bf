/** Every query of the dashboards on one kind of server, asked as Grafana asks, by the role that it has, with data there. */
import assert from 'node:assert/strict'
import type { Test } from 'tap'
import type { LimitSet } from '../../lib/limits/limit-set.js'
import type { Database } from '../../lib/database/connection.js'
import { storeIngestSteps } from '../../lib/upkeep/ingest-stats.js'
import { replaceLimits, seedLimits } from '../../lib/queries/limits-store.js'
import { migrate } from '../../lib/schema/migrate.js'
import { DAY_MS } from '../../lib/schema/partitions.js'
import { RollUp } from '../../lib/upkeep/rollups.js'
import { METRICS } from '../../protocol/metrics.js'
import { allQueries, RANGES, type DashboardQuery } from '../../grafana/queries/dashboards.js'
import { expandMacros } from '../../grafana/queries/macros.js'
import { ingestStep } from './ingest-step.js'
import { SCHEMA_SETTINGS } from './same-answers.js'
import { pointStore, type StoredPoint } from './stored-rows.js'

const [FIRST] = METRICS
/** Names as people give them. */
const SATELLITES = ['SAT-0001', "O'Neill \"2\" $1"]
const SILENT = 'SAT-0009'
/** That satellite fell silent an hour ago; the others are not silent for as long as a test may take. */
const SILENT_AFTER = '30m'
/** Heard of after everything else. */
const NEW = 'SAT-0010'
const LOW = 10
/** For a day: of TimescaleDB 24 chunks, of plain PostgreSQL the partitions of all rollups. Both have hundreds more. */
const LOCKS_MAX = 300
const OVERRIDE = 15

type Json = string | number | boolean | null
type Row = Readonly<Record<string, Json>>

/** Milliseconds at which everything was stored. */
export async function fill (database: Database): Promise<number> {
  await migrate(database, SCHEMA_SETTINGS)
  const nowMs = Date.now()
  const store = await pointStore(database)
  const values = (level: number): Array<number | null> => [level, ...METRICS.slice(1).map(({ limit }) => limit.side === 'low' ? limit.value + 5 : limit.value - 5)]
  const points = SATELLITES.flatMap((satellite): StoredPoint[] => [
    ...Array.from({ length: 280 }, (_, second) => ({ satellite, timeMs: nowMs - second * 1000, values: values(second % 20) })),
    ...Array.from({ length: 700 }, (_, index) => ({ satellite, timeMs: nowMs - 290_000 - index * 3_600_000, values: values(15) }))
  ])
  await store([...points, { satellite: SILENT, timeMs: nowMs - 3_600_000, values: [null, ...values(0).slice(1)] }])
  await database.query(`
    INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
    SELECT time, satellite_id, '${FIRST.name}', ${FIRST.name}, ${LOW}, 'critical', 'low', 1 FROM telemetry WHERE ${FIRST.name} < ${LOW}`)
  const others = METRICS.slice(1).map(({ name, limit }) => [name, { [limit.side]: { critical: limit.value } }] as const)
  const limits: LimitSet = { default: { [FIRST.name]: { low: { warning: 20, critical: LOW } }, ...Object.fromEntries(others) }, overrides: {} }
  await seedLimits(database, limits, 'test')
  await database.query("UPDATE limits_history SET changed_at = now() - interval '40 days'")
  await replaceLimits(database, 1, { ...limits, overrides: { 'SAT-*': { [FIRST.name]: { low: { critical: OVERRIDE } } } } }, 'test')
  await database.query("UPDATE limits_history SET changed_at = now() - interval '2 minutes' WHERE version = 2")
  await storeIngestSteps(database, { pending: () => steps(nowMs), stored: () => undefined })
  // On a busy machine they may have been stored too late to know.
  await database.query('UPDATE ingest_stats SET satellites_heard = 2')
  await database.query("INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row) VALUES ('test', 1, 1, '23514', 'constraint', '{\"satellite_id\": \"SAT-0001\"}')")
  for (let turn = 0; turn < 3; turn++) await new RollUp().run(database)
  return nowMs
}

/** An hour of ten seconds each of one server and ten minutes of a second one; 100 points/s over HTTP and 50 over UDP each. */
function steps (nowMs: number): Array<ReturnType<typeof ingestStep>> {
  const label = Math.floor(nowMs / 10_000) * 10_000
  return ['a', 'b'].flatMap((instance, server) => Array.from({ length: server === 0 ? 360 : 60 }, (_, index) => ingestStep(label - index * 10_000, {
    instance,
    http_points: 1000,
    udp_points: 500,
    committed_points: 1400,
    rejected_points: 10,
    requests: 100,
    ack_p50_seconds: 0.002,
    ack_p99_seconds: 0.02,
    batches: 10,
    batch_points: 1500,
    transactions: 5,
    transaction_points: 1400,
    transaction_seconds: 0.5,
    transaction_p99_seconds: 0.2,
    spool_bytes: 1_000_000 * (60 - Math.min(index, 60)),
    spool_oldest_seconds: 20,
    udp_packets: 98,
    udp_missing_packets: 2,
    anomaly_kinds: `${FIRST.name} critical,${FIRST.name} warning`,
    anomaly_counts: [28, 1],
    workers_ready: 3,
    worker_restarts: index === 5 ? 1 : 0
  })))
}

export class Asker {
  /** @param storedMs when everything was stored: the end of the ranges, so that answers do not hang on how long a test takes */
  constructor (readonly database: Database, readonly storedMs: number) {}

  /** @param typed what Grafana puts in for $__searchFilter */
  text ({ sql, intervalMsMin }: Pick<DashboardQuery, 'sql' | 'intervalMsMin'>, range: typeof RANGES[number], satellite: string, toMs = this.storedMs, typed: string | null = '%'): string {
    return expandMacros(sql, {
      from: new Date(toMs - range.rangeMs),
      to: new Date(toMs),
      intervalMs: Math.max(range.intervalMs, intervalMsMin),
      variables: { satellite, silent: SILENT_AFTER, ...typed === null ? {} : { __searchFilter: typed } }
    })
  }

  /** As it is for the columns, then as JSON for values as Grafana has them: in one transaction, in which now() stands still. */
  async ask (sql: string): Promise<Row[]> {
    await this.database.query('BEGIN')
    try {
      await this.database.query('SET LOCAL ROLE orbitstream_reader')
      const { rowCount } = await this.database.query(sql)
      const { rows } = await this.database.query<{ row: Row }>(`SELECT to_jsonb(answer) AS row FROM (${sql}) answer`)
      assert.equal(rows.length, rowCount, 'the same rows')
      return rows.map(({ row }) => row)
    } finally {
      await this.database.query('ROLLBACK')
    }
  }

  /** Tables, chunks and indexes that a query holds until it ends. */
  async locksOf (sql: string): Promise<number> {
    await this.database.query('BEGIN')
    try {
      await this.database.query(sql)
      // In WebAssembly no process has a number.
      const { rows } = await this.database.query<{ locks: number }>("SELECT count(*)::int AS locks FROM pg_locks WHERE locktype = 'relation' AND pid IS NOT DISTINCT FROM nullif(pg_backend_pid(), 0)")
      assert.ok(rows[0]!.locks > 0, 'that on pg_locks is among them')
      return rows[0]!.locks
    } finally {
      await this.database.query('ROLLBACK')
    }
  }
}

/** @param t fails for answers of another shape than the purpose needs */
export async function everyQueryAnswers (t: Test, database: Database): Promise<void> {
  const asker = new Asker(database, await fill(database))
  const seen = new Map<string, Set<string>>()
  for (const query of allQueries()) {
    await t.test(query.title, async (t) => {
      for (const range of RANGES) {
        for (const satellite of SATELLITES) {
          const rows = await asker.ask(asker.text(query, range, satellite))
          const names = checkShape(t, query, rows, `${range.title}, ${satellite}`)
          const key = query.title.slice(0, -1)
          seen.set(key, new Set([...seen.get(key) ?? [], ...names]))
          if (!/\$/.test(query.sql)) return
        }
      }
    })
  }
  t.test('what panels say of columns and series is of those that there are', (t) => {
    for (const { title, panel } of allQueries()) {
      const names = [...seen.get(title.slice(0, -1)) ?? []]
      for (const { matcher } of panel?.fieldConfig?.overrides ?? []) {
        const fits = matcher.id === 'byName'
          ? names.includes(matcher.options) || /^(low|high) /.test(matcher.options)
          : names.some((name) => new RegExp(matcher.options.slice(1, -1)).test(name))
        t.ok(fits, `${title}: ${matcher.options} of ${names.join(', ')}`)
      }
    }
    t.end()
  })
  await theRightAnswers(t, asker)
  await rightSearch(t, asker)
  await newestPointsAlone(t, asker)
  await fewLocks(t, asker)
}

/** Columns or series; the rows are of the form that the purpose needs. */
function checkShape (t: Test, { purpose }: DashboardQuery, rows: readonly Row[], message: string): string[] {
  const [first] = rows
  if (first === undefined) {
    t.fail(`${message}: no rows`)
    return []
  }
  const columns = Object.keys(first)
  const isTyped = (value: Json | undefined, type: 'number' | 'string'): boolean => type === 'number' ? typeof value === 'number' : typeof value === 'string'
  const typed = (type: 'number' | 'string', column: string): boolean =>
    rows.every((row) => row[column] === null || isTyped(row[column], type)) && rows.some((row) => row[column] !== null)
  switch (purpose) {
    case 'series': return checkSeries(t, rows, message)
    case 'stat':
      t.equal(rows.length, 1, message)
      t.ok(columns.length === 1 && typeof rows[0]![columns[0]!] === 'number', `${message}: one number, ${JSON.stringify(first)}`)
      break
    case 'alert':
      t.same(columns.map((column) => typed('number', column)).filter(Boolean).length, 1, `${message}: one number`)
      t.ok(rows.every((row) => columns.every((column) => row[column] !== null)), 'never null')
      break
    case 'annotation':
      t.ok(rows.every((row) => isTime(row['time'])) && typed('string', 'text') && typed('string', 'tags'), `${message}: time, text, tags`)
      break
    case 'variable':
      t.same(columns.length, 1)
      t.ok(typed('string', columns[0]!), message)
      break
    case 'table':
      t.ok(columns.length > 1 && new Set(columns).size === columns.length, message)
  }
  return columns
}

function checkSeries (t: Test, rows: readonly Row[], message: string): string[] {
  t.ok(rows.every((row) => isTime(row['time'])), `${message}: a time in each row`)
  const times = rows.map((row) => Date.parse(String(row['time'])))
  t.ok(times.every((time, index) => index === 0 || time >= times[index - 1]!), `${message}: in order`)
  const columns = Object.keys(rows[0]!).filter((column) => column !== 'time')
  const isLong = columns.includes('metric')
  if (isLong) t.same(columns.sort(), ['metric', 'value'], `${message}: long form`)
  const values = isLong ? ['value'] : columns
  for (const column of values) {
    t.ok(rows.every((row) => row[column] === null || typeof row[column] === 'number'), `${message}: ${column} is numbers`)
    t.ok(rows.some((row) => row[column] !== null), `${message}: ${column} has values`)
  }
  t.ok(rows.length <= 2_000 * (isLong ? 6 : 1), `${message}: ${rows.length} rows are no more than can be drawn`)
  return isLong ? [...new Set(rows.map((row) => String(row['metric'])))] : columns
}

function isTime (value: Json | undefined): boolean {
  return typeof value === 'string' && Number.isFinite(Date.parse(value))
}

/** Some that can be worked out by hand. */
async function theRightAnswers (t: Test, asker: Asker): Promise<void> {
  const answer = async (title: string, range: typeof RANGES[number] = RANGES[0], satellite = SATELLITES[0]!, toMs = asker.storedMs): Promise<Row[]> => {
    return await asker.ask(asker.text(queryOf(title), range, satellite, toMs))
  }
  await t.test('the right answers: fleet', async (t) => {
    const table = await answer('Fleet: Latest values A')
    t.same(table.map((row) => [row['Satellite'], row[`${FIRST.title} limits`], row[FIRST.title]]),
      [[SATELLITES[1], 'critical', 0], [SATELLITES[0], 'critical', 0], [SILENT, null, null]], 'the worst first')
    t.same((await answer('Fleet: Silent satellites A')).map((row) => row['Satellite']), [SILENT])
    t.same(await answer('Fleet: Silent now A'), [{ 'Silent now': 1 }])
    t.same(await answer('Fleet: Satellites heard now A'), [{ 'Satellites heard now': 2 }])
    t.same(await answer('Fleet: Out of limits now A'), [{ 'Out of limits now': 2 }])
    const points = await answer('Fleet: Points/s A', RANGES[1])
    t.match(points.at(-2), { accepted: 300, stored: 280 }, 'both servers')
    t.ok((await answer('Fleet: Satellites heard A')).slice(0, -1).every(({ satellites }) => satellites === 2), 'what was counted')
  })
  await t.test('the right answers: satellite', async (t) => {
    const raw = await answer(`Satellite: ${FIRST.title} A`)
    t.equal(raw.length, 281, 'every point')
    t.ok(raw.every((row) => row['metric'] === 'value'))
    for (const range of RANGES.slice(1)) {
      const rows = await answer(`Satellite: ${FIRST.title} A`, range)
      const byTime = new Map<Json | undefined, Record<string, number>>()
      for (const { time, metric, value } of rows) byTime.set(time, { ...byTime.get(time), [String(metric)]: Number(value) })
      t.ok([...byTime.values()].every(({ least = NaN, average = NaN, greatest = NaN }) => least <= average && average <= greatest), `${range.title}: the average is in the band`)
      t.ok(rows.some((row) => row['metric'] === 'greatest' && row['value'] === 19), range.title)
    }
    const lines = await answer(`Satellite: ${FIRST.title} B`)
    t.same(lines.map((row) => [row['metric'], row['value']].join(' ')).sort(), [
      `low critical ${LOW}`, `low critical ${LOW}`, `low critical ${OVERRIDE}`, `low critical ${OVERRIDE}`, 'low warning 20', 'low warning 20'
    ], 'the limits of before, then the override')
    t.same((await answer(`Satellite: ${FIRST.title} B`, RANGES[0], SATELLITES[1])).filter((row) => row['metric'] === 'low critical').map((row) => row['value']), [LOW, LOW, LOW, LOW])
    const [now] = await answer('Satellite: Now A')
    t.match(now, { Metric: FIRST.title, Value: 0, Unit: FIRST.unit, Limits: 'critical', 'low critical': OVERRIDE, 'low warning': null })
    t.equal((await answer('Satellite: annotation Anomalies')).length, 14, 'runs of ten seconds, each of 20')
    t.equal((await answer('Satellite: annotation Anomalies', RANGES[1])).length, 1, 'seen from afar: one')
  })
  await t.test('the right answers: ingest and alerts', async (t) => {
    const rates = await answer('Ingest: Points/s by transport A', RANGES[1])
    t.match(rates.at(-2), { HTTP: 200, UDP: 100, stored: 280 }, 'both servers')
    t.match(rates[5], { HTTP: 100, UDP: 50, stored: 140 }, 'when there was one')
    t.same(await answer('Ingest: Workers ready A'), [{ 'Workers ready': 6 }])
    t.ok(Number((await answer('alert: No points for a minute'))[0]!['seconds']) <= (Date.now() - asker.storedMs) / 1000 + 1)
    const cutOff = [ingestStep(Date.now() - 300_000, { instance: 'cut off' })]
    await storeIngestSteps(asker.database, { pending: () => cutOff, stored: () => undefined })
    const silent = await answer('alert: A server does not report')
    t.same(silent.map((row) => row['instance']).sort(), ['a', 'b', 'cut off'])
    t.ok(Number(silent.find((row) => row['instance'] === 'cut off')!['seconds']) >= 300, 'though others report')
    await asker.database.query("DELETE FROM ingest_stats WHERE instance = 'cut off'")
    t.equal(Math.round(Number((await answer('alert: Spool is growing'))[0]!['bytes_a_minute'])), 12_000_000)
    t.match(await answer('alert: UDP packets are lost'), [{ percent: 2 }])
    const shares = await answer('alert: Many anomalies')
    t.same(shares.map((row) => row['metric']).sort(), METRICS.map(({ title }) => title).sort())
    t.ok(Math.abs(Number(shares.find((row) => row['metric'] === FIRST.title)!['percent']) - 2900 / 1400) < 1e-9)
  })
  await t.test('the right answers: what is new is seen at once', async (t) => {
    const nowMs = Date.now()
    const store = await pointStore(asker.database, { spool: 'new' })
    await store([{ satellite: NEW, timeMs: nowMs, values: METRICS.map(() => 50) }])
    const heard = await answer('Fleet: Satellites heard A', RANGES[0], NEW, nowMs)
    t.ok(Date.parse(String(heard.at(-1)!['time'])) >= Math.floor(nowMs / 10_000) * 10_000, 'a value for the ten seconds under way')
    t.ok(Number(heard.at(-1)!['satellites']) >= 1)
    const [rate] = await answer('Satellite: Points/s A', RANGES[0], NEW)
    t.ok(Math.abs(Number(rate!['Points/s']) - 1 / 60) < 1e-9, `${String(rate!['Points/s'])} points/s`)
  })
}

function queryOf (title: string): DashboardQuery {
  const query = allQueries().find((each) => each.title === title)
  assert.ok(query !== undefined, title)
  return query
}

/** Up to Grafana 12.3 a % stands behind what was typed; from 12.4 on it stands alone, and nothing is put in for nothing. */
async function rightSearch (t: Test, asker: Asker): Promise<void> {
  await t.test('satellites are found by a part of their name', async (t) => {
    const query = queryOf('Satellite: variable satellite')
    const all = [SATELLITES[1], SATELLITES[0], SILENT, NEW]
    const found: Array<[typed: string | null, satellites: Array<string | undefined>]> = [
      [null, all], ['', all], ['%', all], ['sat%', all.slice(1)], ['SAT', all.slice(1)], ['0001%', [SATELLITES[0]]], ['000', [SATELLITES[0], SILENT]], ["o''neill", [SATELLITES[1]]]
    ]
    for (const [typed, satellites] of found) {
      const rows = await asker.ask(asker.text(query, RANGES[0], '', asker.storedMs, typed))
      t.same(rows.map((row) => row['satellite_id']), satellites, typed ?? 'nothing typed')
    }
  })
}

/** Grafana cuts an answer off behind a million rows. */
async function newestPointsAlone (t: Test, asker: Asker): Promise<void> {
  await t.test('of too many points the newest are shown', async (t) => {
    const text = asker.text(queryOf(`Satellite: ${FIRST.title} A`), RANGES[0], SATELLITES[0]!)
    const [limit = '', pointsMax = ''] = /LIMIT (\d+)/.exec(text) ?? []
    t.ok(Number(pointsMax) > 0 && Number(pointsMax) < 1_000_000)
    const [all, few] = [await asker.ask(text), await asker.ask(text.replace(limit, 'LIMIT 10'))]
    t.same(few, all.slice(-10))
  })
}

/** A lock for each chunk and index that a query might look at: a server has a few thousand for all its sessions together. */
async function fewLocks (t: Test, asker: Asker): Promise<void> {
  await t.test('queries of up to a day lock what is of that day', async (t) => {
    for (const range of RANGES.filter(({ rangeMs }) => rangeMs <= DAY_MS)) {
      for (const query of allQueries()) {
        const locks = await asker.locksOf(asker.text(query, range, SATELLITES[0]!))
        t.ok(locks <= LOCKS_MAX, `${query.title}, ${range.title}: ${locks} locks`)
      }
    }
  })
}
