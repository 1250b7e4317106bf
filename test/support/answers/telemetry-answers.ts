/** The queries behind GET /satellites and its kin, on one kind of server, compared with what was stored. */
import type { Test } from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { readLatestPoint, readSatellitePage } from '../../../lib/queries/latest-points.js'
import { readNewestValues } from '../../../lib/queries/newest-values.js'
import { planBuckets, readSeries, type Series } from '../../../lib/queries/series-query.js'
import { copyStatement } from '../../../lib/queries/export-slices.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { METRICS, STREAM } from '../points/built-in.js'
import { rollUp, SCHEMA_SETTINGS, type RunPolicies } from './same-answers.js'
import { pointStore, type StoredPoint } from '../database/stored-rows.js'

const NAMES = METRICS.map(({ name }) => name)
const BATTERY = METRICS[0]
export const BUSY = 'SAT-0001'
const RARE = "50%/a_b 'x' \\n"
const SILENT = 'sat-0002'
const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
export const LEFT_MS = (): number => 4_000
const BASE_MS = { telemetry: 1, telemetry_10s: 10 * SECOND_MS, telemetry_1m: MINUTE_MS }

/** One point a second for half an hour and one a minute for hours before, one an hour, and one long ago. */
function points (nowMs: number): StoredPoint[] {
  const value = (step: number): Array<number | null> => [step % 3 === 2 ? null : step % 97, step * 10, -(step % 7)]
  return [
    ...Array.from({ length: 1_800 }, (_, step) => (
      { satellite: BUSY, timeMs: nowMs - step * SECOND_MS - 0.25, values: value(step) })),
    ...Array.from({ length: 600 }, (_, step) => (
      { satellite: BUSY, timeMs: nowMs - (31 + step) * MINUTE_MS, values: value(step) })),
    ...Array.from({ length: 40 }, (_, step) => (
      { satellite: RARE, timeMs: nowMs - step * HOUR_MS - 5, values: value(step) })),
    { satellite: SILENT, timeMs: nowMs - 3 * HOUR_MS, values: [1, null, null] }
  ]
}

/**
 * Fills an empty database, part of it behind the rollups, and asks.
 * @param settle brings rollups up to date with late rows; null: they always are
 */
export async function telemetryAnswers (t: Test, database: Database, settle: RunPolicies | null): Promise<void> {
  await migrate(database, SCHEMA_SETTINGS)
  const nowMs = Date.now()
  const all = points(nowMs)
  const store = await pointStore(database)
  // The last hour: TimescaleDB refreshes what is older in its own time.
  const late = all.filter(({ timeMs }, index) => index % 11 === 3 && timeMs > nowMs - HOUR_MS)
  const newest = all.filter((point) => point.timeMs > nowMs - 60 * SECOND_MS && !late.includes(point))
  await store(all.filter((point) => !late.includes(point) && !newest.includes(point)))
  await settle?.(database)
  await rollUp(database)
  await store(newest)
  await store(late)
  await theLast(t, database, all, nowMs)
  if (settle === null) await series(t, database, all, nowMs)
  await newestValues(t, database, all, nowMs)
  await exportLines(t, database, all, nowMs)
  await rollUp(database)
  await settle?.(database)
  await theLast(t, database, all, nowMs)
  await series(t, database, all, nowMs)
}

const ALL = { stream: STREAM, metrics: METRICS }
const NONE = { stream: STREAM, metrics: [] }

async function theLast (t: Test, db: Database, all: readonly StoredPoint[], nowMs: number): Promise<void> {
  const last = (id: string): object => {
    const found = all.filter(({ satellite }) => satellite === id).reduce((a, b) => a.timeMs > b.timeMs ? a : b)
    return { timeMicros: Math.trunc(found.timeMs * 1000), values: found.values }
  }
  const listed = (satellite: string): object => ({ satellite, points: [last(satellite)] })
  for (const id of [BUSY, RARE, SILENT]) t.strictSame(await readLatestPoint(db, ALL, id), last(id), id)
  t.equal(await readLatestPoint(db, ALL, 'SAT-000'), null)
  const page = { match: '', beforeMicros: null, after: '', countMax: 2 }
  t.strictSame(
    await readSatellitePage(db, [ALL], page), { satellites: [RARE, BUSY].map(listed), total: 3, hasMore: true })
  t.strictSame(
    await readSatellitePage(db, [ALL], { ...page, after: BUSY }),
    { satellites: [listed(SILENT)], total: 3, hasMore: false })
  t.strictSame(
    await readSatellitePage(db, [ALL], { ...page, after: 'z' }), { satellites: [], total: 3, hasMore: false })
  const matching = async (match: string): Promise<string[]> => (
    (await readSatellitePage(db, [NONE], { ...page, match })).satellites.map(({ satellite }) => satellite))
  t.strictSame(await matching('T-000'), [BUSY, SILENT])
  t.strictSame(await matching('sat-*2'), [SILENT])
  t.strictSame(await matching('*%/a_*'), [RARE])
  t.strictSame(await matching('sat_0002'), [], 'no wildcards of SQL')
  t.strictSame(await matching('SAT-*-'), [])
  const stale = await readSatellitePage(db, [NONE], { ...page, beforeMicros: (nowMs - 2 * HOUR_MS) * 1000 })
  t.strictSame(stale.satellites.map(({ satellite }) => satellite), [SILENT])
}

/** A range that ends `agoMs` ago. */
interface Range {
  readonly satellite: string
  readonly rangeMs: number
  readonly agoMs: number
  readonly pointsMax: number
  readonly source: Series['source']
  readonly kind: Series['kind']
}

const RANGES: readonly Range[] = [
  { satellite: BUSY, rangeMs: 20_000, agoMs: 0, pointsMax: 20, source: 'telemetry', kind: 'raw' },
  { satellite: BUSY, rangeMs: 90_001, agoMs: 1_234, pointsMax: 40, source: 'telemetry', kind: 'buckets' },
  { satellite: BUSY, rangeMs: 900_000, agoMs: 0, pointsMax: 1_000, source: 'telemetry', kind: 'raw' },
  { satellite: BUSY, rangeMs: 900_000, agoMs: 0, pointsMax: 899, source: 'telemetry_10s', kind: 'buckets' },
  { satellite: BUSY, rangeMs: 900_000, agoMs: 500_000, pointsMax: 20, source: 'telemetry_10s', kind: 'buckets' },
  { satellite: BUSY, rangeMs: 7 * HOUR_MS, agoMs: 0, pointsMax: 100, source: 'telemetry_1m', kind: 'buckets' },
  { satellite: BUSY, rangeMs: 7 * HOUR_MS, agoMs: 0, pointsMax: 2, source: 'telemetry_1m', kind: 'buckets' },
  { satellite: RARE, rangeMs: 30 * HOUR_MS, agoMs: 0, pointsMax: 500, source: 'telemetry', kind: 'raw' },
  { satellite: SILENT, rangeMs: HOUR_MS, agoMs: 0, pointsMax: 10, source: 'telemetry', kind: 'raw' }
]

async function series (t: Test, db: Database, all: readonly StoredPoint[], nowMs: number): Promise<void> {
  for (const { satellite, rangeMs, agoMs, pointsMax, source, kind } of RANGES) {
    const name = `${satellite}, ${rangeMs} ms in ${pointsMax}`
    const toMicros = (nowMs - agoMs) * 1000
    const filter = {
      satellite, ...ALL, fromMicros: toMicros - rangeMs * 1000, toMicros, pointsMax
    }
    const found = await readSeries(db, filter, LEFT_MS)
    t.match(found, { source, kind }, name)
    t.ok(found.timesMicros.length <= pointsMax, `${name}: never more than asked for`)
    const own = all.filter((point) => point.satellite === satellite).sort((a, b) => a.timeMs - b.timeMs)
    if (found.kind === 'raw') {
      const inRange = own.filter(({ timeMs }) => timeMs * 1000 >= filter.fromMicros && timeMs * 1000 < toMicros)
      t.strictSame(found.timesMicros, inRange.map(({ timeMs }) => Math.trunc(timeMs * 1000)), `${name}: times`)
      const expected = NAMES.map((_, metric) => inRange.map(({ values }) => values[metric]))
      t.strictSame(found.values, expected, `${name}: values`)
      continue
    }
    const { widthMicros } = planBuckets(filter)
    const baseMicros = BASE_MS[found.source] * 1000
    const begin = Math.floor(filter.fromMicros / baseMicros) * baseMicros
    const end = Math.ceil(toMicros / baseMicros) * baseMicros
    const expected = new Map<number, StoredPoint[]>()
    for (const point of own) {
      const bucket = Math.floor(point.timeMs * 1000 / widthMicros) * widthMicros
      if (point.timeMs * 1000 < begin || point.timeMs * 1000 >= end) continue
      expected.set(bucket, [...expected.get(bucket) ?? [], point])
    }
    t.strictSame(found.timesMicros, [...expected.keys()], `${name}: buckets`)
    t.strictSame(found.counts, [...expected.values()].map(({ length }) => length), `${name}: counts`)
    for (const [metric, { min, max, avg = [] }] of found.values.entries()) {
      const values = [...expected.values()].map((bucket) => (
        bucket.map((point) => point.values[metric] ?? null).filter((value) => value !== null)))
      t.strictSame(min, values.map((each) => each.length === 0 ? null : Math.min(...each)), `${name}: min`)
      t.strictSame(max, values.map((each) => each.length === 0 ? null : Math.max(...each)), `${name}: max`)
      const averages = values.map((each) => each.reduce((sum, value) => sum + value, 0) / each.length)
      const isClose = averages.every((value, index) => Math.abs((avg[index] ?? NaN) - value) <= 1e-9 * Math.abs(value))
      t.ok(isClose || values.some(({ length }) => length === 0), `${name}: avg`)
    }
  }
}

async function newestValues (t: Test, db: Database, all: readonly StoredPoint[], nowMs: number): Promise<void> {
  const toMicros = nowMs * 1000 - 500e6
  const asked = [[BUSY, 10, 1], [RARE, 3, 30], [RARE, 100, 30], [SILENT, 1, 24]] as const
  for (const [satellite, countMax, hours] of asked) {
    const fromMicros = toMicros - hours * HOUR_MS * 1000
    const found = await readNewestValues(
      db, { satellite, stream: STREAM, metric: BATTERY, fromMicros, toMicros, countMax }, LEFT_MS)
    const expected = all.filter((point) => point.satellite === satellite && point.values[0] !== null &&
      point.timeMs * 1000 <= toMicros && point.timeMs * 1000 >= fromMicros).sort((a, b) => b.timeMs - a.timeMs)
    t.strictSame(found, expected.slice(0, countMax).map(({ timeMs, values }) => (
      { timeMicros: Math.trunc(timeMs * 1000), value: values[0] })), `the newest ${countMax} of ${satellite}`)
  }
}

/** COPY needs a connection of its own kind: here the query in it. */
async function exportLines (t: Test, db: Database, all: readonly StoredPoint[], nowMs: number): Promise<void> {
  const filter = { satellite: RARE, ...ALL, fromMicros: 0, toMicros: nowMs * 1000 }
  const [, query = ''] = /^COPY \((.*)\) TO STDOUT/.exec(copyStatement(filter, 0, nowMs * 1000, 'ndjson')) ?? []
  const { rows } = await db.query<{ row_to_json: object }>(query)
  const expected = all.filter(({ satellite }) => satellite === RARE).sort((a, b) => a.timeMs - b.timeMs)
  t.strictSame(rows.map((row) => row.row_to_json), expected.map(({ timeMs, values }) => ({
    time: `${new Date(timeMs).toISOString().slice(0, -1)}000Z`,
    satellite_id: RARE,
    ...Object.fromEntries(NAMES.map((name, index) => [name, values[index]]))
  })))
}
