/** Queries for metrics of all types, compared with what was stored. */
import type { Test } from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { copyStatement } from '../../../lib/queries/export-slices.js'
import { readLatestPoint, readSatellitePage } from '../../../lib/queries/latest-points.js'
import { readNewestValues } from '../../../lib/queries/newest-values.js'
import { readSeries, type BucketValues } from '../../../lib/queries/series-query.js'
import type { Metric, Stream } from '../../../protocol/catalogue.js'
import { PointColumns } from '../../../protocol/columns.js'
import { decodeJsonBatch } from '../../../protocol/json/json.js'
import { SatelliteTable } from '../../../protocol/satellites.js'
import { LEFT_MS } from './telemetry-answers.js'
import type { TypedPoint } from '../points/typed-points.js'

const RULES = { timeWindowPastMs: 86_400_000, timeWindowFutureMs: 86_400_000, unknownFields: 'reject' } as const
const MINUTE_MS = 60_000
/** Seconds and entries: the points themselves, and buckets of every source. */
const ASKED = [[600, 10_000], [300, 2], [320, 8], [600, 2]] as const

/** @param points of different times, all that are stored */
export async function typedAnswers (
  t: Test, db: Database, stream: Stream, points: readonly TypedPoint[]
): Promise<void> {
  const { metrics } = stream
  const bySatellite = new Map<string, TypedPoint[]>()
  for (const point of points.toSorted((a, b) => a.timeMs - b.timeMs)) {
    bySatellite.set(point.satellite, [...bySatellite.get(point.satellite) ?? [], point])
  }
  const { satellites } = await readSatellitePage(
    db, [{ stream, metrics }], { match: '', beforeMicros: null, after: '', countMax: 1_000 })
  t.same(satellites.map(({ satellite, points: [last] }) => [satellite, plain(last?.values)]).sort(),
    Array.from(bySatellite, ([satellite, own]) => [satellite, plain(own.at(-1)?.values)]).sort(), 'last points')
  const busiest = [...bySatellite].sort(([, a], [, b]) => b.length - a.length).slice(0, 2)
  for (const [satellite, own] of busiest) {
    const last = await readLatestPoint(db, { stream, metrics }, satellite)
    t.same(plain(last?.values), plain(own.at(-1)?.values), 'the last point')
    await newest(t, db, stream, own)
    for (const [seconds, pointsMax] of ASKED) await series(t, db, stream, own, seconds, pointsMax)
  }
  await exported(t, db, stream, points)
}

/** Null for NaN, and no negative zero. */
function plain (values: ReadonlyArray<number | null> = []): Array<number | null> {
  return values.map((value) => value === null || Number.isNaN(value) ? null : value + 0)
}

async function newest (
  t: Test, db: Database, stream: Stream, own: readonly TypedPoint[]
): Promise<void> {
  const toMicros = Math.max(...own.map(({ timeMs }) => timeMs)) * 1000
  for (const [index, metric] of stream.metrics.slice(0, 10).entries()) {
    const filter = {
      satellite: own[0]?.satellite ?? '', stream, metric, fromMicros: toMicros - 600e6, toMicros, countMax: 3
    }
    const found = await readNewestValues(db, filter, LEFT_MS)
    const present = own.map(({ values }) => values[index] ?? NaN).filter((value) => !Number.isNaN(value))
    t.same(plain(found.map(({ value }) => value)), plain(present.slice(-3).reverse()), `the newest of ${metric.type}`)
  }
}

async function series (
  t: Test, db: Database, stream: Stream, own: readonly TypedPoint[], seconds: number, pointsMax: number
): Promise<void> {
  const { metrics } = stream
  const endMs = Math.ceil((Math.max(...own.map(({ timeMs }) => timeMs)) + 1) / MINUTE_MS) * MINUTE_MS
  const found = await readSeries(db, {
    satellite: own[0]?.satellite ?? '',
    stream,
    metrics,
    fromMicros: (endMs - seconds * 1_000) * 1000,
    toMicros: endMs * 1000,
    pointsMax
  }, LEFT_MS)
  const name = `${found.kind} from ${found.source}`
  if (found.kind === 'raw') {
    const wanted = metrics.map((_, index) => plain(own.map(({ values }) => values[index] ?? null)))
    t.same(found.values.map(plain), wanted, name)
    return
  }
  const buckets = new Map<number, TypedPoint[]>()
  for (const point of own) {
    const begin = Math.floor(point.timeMs * 1000 / found.widthMicros) * found.widthMicros
    buckets.set(begin, [...buckets.get(begin) ?? [], point])
  }
  t.same(found.timesMicros, [...buckets.keys()], `${name}: times`)
  for (const [index, metric] of metrics.entries()) {
    const lists = [...buckets.values()].map((bucket) => (
      bucket.map(({ values }) => values[index] ?? NaN).filter((value) => !Number.isNaN(value))))
    const { avg = [], ...rest } = found.values[index] ?? {}
    t.same(allPlain(rest), allPlain(aggregatesOf(metric, lists)), `${name}: ${metric.type}`)
    // The sum of floats may be infinite.
    if (metric.type !== 'int' && metric.type !== 'float32') continue
    const isClose = lists.every((list, bucket) => list.length === 0
      ? avg[bucket] === null
      : Math.abs(mean(list) - (avg[bucket] ?? NaN)) <= 1e-9 * Math.max(...list.map(Math.abs)))
    t.ok(isClose, `${name}: average of ${metric.type}`)
  }
}

function mean (list: readonly number[]): number {
  return list.reduce((sum, value) => sum + value, 0) / list.length
}

function aggregatesOf ({ type }: Metric, lists: ReadonlyArray<readonly number[]>): BucketValues {
  return type === 'bool' || type === 'state'
    ? { count: lists.map(({ length }) => length), last: lists.map((list) => list.at(-1) ?? null) }
    : {
        min: lists.map((list) => list.length === 0 ? null : Math.min(...list)),
        max: lists.map((list) => list.length === 0 ? null : Math.max(...list))
      }
}

function allPlain (values: BucketValues): object {
  return Object.fromEntries(Object.entries(values).map(([name, list]) => [name, plain(list)]))
}

/** COPY needs a connection of its own kind: here the queries in it. */
async function exported (
  t: Test, db: Database, stream: Stream, points: readonly TypedPoint[]
): Promise<void> {
  const { metrics, schema, typed } = stream
  const filter = { satellite: null, stream, metrics, fromMicros: 0, toMicros: 0 }
  const endMicros = (Math.max(...points.map(({ timeMs }) => timeMs)) + 1) * 1000
  const rowsOf = async <Row>(format: 'csv' | 'ndjson'): Promise<Row[]> => {
    const [, query = ''] = /^COPY \((.*)\) TO STDOUT/.exec(copyStatement(filter, 0, endMicros, format)) ?? []
    return (await db.query<Row & object>(query)).rows
  }
  const lines = (await rowsOf<{ row_to_json: object }>('ndjson')).map((row) => row.row_to_json)
  const columns = new PointColumns(schema)
  // A point whose values were all outside their ranges has none left to send.
  const hasValue = (point: object): boolean => (
    metrics.some(({ name }) => (point as Record<string, unknown>)[name] !== null))
  const body = Buffer.from(JSON.stringify(lines.filter(hasValue)))
  t.equal(decodeJsonBatch(body, Date.now() * 1000, RULES, new SatelliteTable(), columns), null, 'an export may be sent')
  const decoded = Array.from({ length: columns.count }, (_, point) => JSON.stringify([
    columns.satellites[point]?.id,
    plain(Array.from(columns.values.subarray(point * metrics.length, (point + 1) * metrics.length)))
  ]))
  const left = points.filter(({ values }) => values.some((value) => !Number.isNaN(value)))
  t.same(decoded.sort(), left.map(({ satellite, values }) => JSON.stringify([satellite, plain(values)])).sort())
  const texts = await rowsOf<Record<string, unknown>>('csv')
  const named = typed.filter(({ metric }) => metric.type === 'bool' || metric.type === 'state')
  t.same(texts.map((row) => named.map(({ metric: { name } }) => row[name])),
    lines.map((line) => named.map(({ metric: { name } }) => {
      const value = (line as Record<string, unknown>)[name]
      return typeof value === 'boolean' ? String(value) : value
    })), 'CSV has the same words')
}
