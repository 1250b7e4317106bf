/**
 * Streams with metrics of all types, through every decoder and a database: what comes out is what was sent, in rollups
 * too.
 */
import t from 'tap'
import type { Test } from 'tap'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { Catalogue, type Metric, type Stream } from '../../protocol/catalogue.js'
import { PointColumns } from '../../protocol/columns.js'
import { METRICS_MAX } from '../../protocol/schema.js'
import { SatelliteTable, type Satellite } from '../../protocol/satellites.js'
import { decodeJsonBatch } from '../../protocol/json/json.js'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { identifier } from '../../lib/database/quote.js'
import { inStream, streamSql, tablesOf } from '../../lib/database/stream-tables.js'
import { unpack } from '../../lib/ingress/http/api/formats.js'
import { RangeCheck } from '../../lib/pipeline/range-check.js'
import { migrate } from '../../lib/schema/migrate.js'
import { anyCatalogue, catalogueOf } from '../support/points/catalogues.js'
import { createTestDatabase, startTestPostgres } from '../support/database/postgres.js'
import { rollUp, SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { columnStore } from '../support/database/stored-rows.js'
import { refresh } from '../support/database/timescale-rig.js'
import { openTimescale } from '../support/database/timescale.js'
import { typedAnswers } from '../support/answers/typed-answers.js'
import { DECODERS, RULES, anyPoints, bodyOf, type TypedPoint } from '../support/points/typed-points.js'

/** With the metrics of `telemetry`, and a stream of other types. */
function twoStreams (...metrics: string[]): Catalogue {
  const { definitions } = catalogueOf('b: { id: 1, type: bool }', 'i: { id: 3, type: int }', 'f: { id: 4 }')
  const others = definitions.map((other) => ({ ...other, id: 2, name: 'other' }))
  return new Catalogue([...catalogueOf(...metrics).definitions, ...others])
}

const ALL_TYPES = twoStreams(
  'f: { id: 1, range: { max: 1, outside: null } }', 'r: { id: 2, type: float32, range: { min: 0, outside: refuse } }',
  'i: { id: 3, type: int }', 'b: { id: 4, type: bool }',
  's: { id: 5, type: state, states: { SAFE: 0, NOMINAL: 1, LOST: -7 } }')
const MINUTE_MS = 60_000
/** Metrics of a catalogue that a test of this kind has time for; all sizes: METRICS=8000. */
const SIZE_MAX = Number(process.env.METRICS ?? 100)
const anySmall = anyCatalogue.filter(({ streams }) => (
  streams.length > 1 && streams.reduce((sum, { metrics }) => sum + metrics.length, 0) <= SIZE_MAX))
const SEED = Number(process.env.SEED ?? Date.now() % 1e9)

type Row = Readonly<Record<string, unknown>>
/** In the order of the catalogue. */
type Values = readonly number[]

/** By satellite and time, in no order. */
type Stored = ReadonlyArray<readonly [key: string, values: Values]>

const numberOf = ({ type }: Metric, value: unknown): number => {
  if (value === null) return NaN
  return type === 'float32' ? Math.fround(Number(value)) : Number(value)
}

async function storedPoints (database: Database, { name, metrics }: Stream): Promise<Stored> {
  const { rows } = await database.query<Row>(
    `SELECT satellite_id || date_part('epoch', "time") * 1000 AS key, * FROM ${tablesOf(name).points}`)
  return rows.map((row) => [row['key'] as string, metrics.map((metric) => numberOf(metric, row[metric.name]))])
}

const sorted = (stored: Stored): string[] => stored
  .map(([key, values]) => `${key} ${values.map((value) => Object.is(value, -0) ? '-0' : String(value)).join()}`).sort()

/** What a rollup must say of a metric. */
function rolledUp ({ type }: Metric, values: Values): Readonly<Record<string, number>> {
  const present = values.filter((value) => !Number.isNaN(value))
  const last = present.at(-1) ?? NaN
  const count = present.length
  const extremes = count === 0 ? { min: NaN, max: NaN } : { min: Math.min(...present), max: Math.max(...present) }
  if (type === 'bool') return { count, true: present.filter((value) => value === 1).length, last }
  return type === 'state' ? { count, ...extremes, last } : { count, ...extremes }
}

/** @param points of different times */
async function checkRollups (
  t: Test, database: Database, { name, metrics }: Stream, points: readonly TypedPoint[], when: string
): Promise<void> {
  const { tens, minutes } = tablesOf(name)
  for (const [view, widthMs] of [[tens, 10_000], [minutes, MINUTE_MS]] as const) {
    const { rows } = await database.query<Row>(
      `SELECT date_part('epoch', bucket) * 1000 AS begin, * FROM ${view}`)
    const faults = rows.flatMap((row) => {
      const inBucket = points
        .filter(({ satellite, timeMs }) => (
          satellite === row['satellite_id'] && Math.floor(timeMs / widthMs) * widthMs === row['begin']))
        .sort((a, b) => a.timeMs - b.timeMs)
      if (Number(row['points']) !== inBucket.length) return [`${String(row['points'])} points`]
      return metrics.flatMap((metric, index) => Object.entries(
        rolledUp(metric, inBucket.map(({ values }) => values[index] as number))).filter(([aggregate, wanted]) => {
        const isValue = aggregate !== 'count' && aggregate !== 'true'
        const found = row[`${metric.name}_${aggregate}`]
        return !Object.is((isValue ? numberOf(metric, found) : Number(found)) + 0, wanted + 0)
      }).map(([aggregate]) => `${metric.name}_${aggregate}`))
    })
    t.same(faults, [], `${view} ${when}`)
    t.equal(rows.reduce((sum, row) => sum + Number(row['points']), 0), points.length, `${view} ${when}: all points`)
  }
}

/** Points of different times, some in the minute before the last, all complete buckets. */
function samplePoints (stream: Stream, seed: number): TypedPoint[] {
  const nowMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 3 * MINUTE_MS
  const [points = []] = fc.sample(anyPoints(stream, nowMs, 40), { numRuns: 1, seed })
  return points.map((point, index) => ({ ...point, timeMs: nowMs - 30_000 + index * 997 }))
}

/** What the decoder of JSON makes of a compressed body. */
const gzip: typeof DECODERS[string] = async (stream, points, nowMs, satellites, columns) => {
  const packed = gzipSync(bodyOf(stream, points))
  const body = await new Promise<Buffer>((resolve, reject) => unpack(packed, 1 << 24, resolve, reject))
  return decodeJsonBatch(body, nowMs * 1000, RULES, satellites, columns)
}

/** On TimescaleDB, what the policies do. */
type Refresh = (stream: Stream, fromMs: number, toMs: number) => Promise<void>

async function roundTrip (t: Test, database: Database, catalogue: Catalogue, refreshed: Refresh): Promise<void> {
  t.comment(`SEED=${SEED}`)
  await migrate(database, { ...SCHEMA_SETTINGS, proposed: catalogue })
  const satellites = new SatelliteTable()
  for (const stream of catalogue.streams) {
    await t.test(stream.name, async (t) => await roundTripOf(t, database, stream, satellites, refreshed))
  }
  const states = catalogue.streams.flatMap((stream) => stream.metrics.flatMap(({ name, states }) => (
    states.map((state) => ({ metric: stream.qualify(name), value: state.value, name: state.name })))))
  const { rows: named } = await database.query<{ metric: string, value: number, name: string }>(
    'SELECT * FROM metric_states')
  const text = (all: ReadonlyArray<{ metric: string, value: number, name: string }>): string[] => all
    .map(({ metric, value, name }) => `${metric} ${value} ${name}`).sort()
  t.same(text(named), text(states), 'and the states have their names')
}

async function roundTripOf (
  t: Test, database: Database, stream: Stream, satellites: SatelliteTable, refreshed: Refresh
): Promise<void> {
  const store = await columnStore(database, stream, { spool: stream.name })
  const sent: TypedPoint[] = []
  for (const [index, [name, decode]] of Object.entries({ ...DECODERS, gzip }).entries()) {
    const points = samplePoints(stream, SEED + index)
      .map((point) => ({ ...point, satellite: `${name} ${point.satellite}` }))
    const columns = new PointColumns(stream.schema)
    t.equal(await decode(stream, points, Date.now(), satellites, columns), null, name)
    RangeCheck.of(stream)?.check(columns)
    await store(columns)
    sent.push(...points)
  }
  const wanted = sorted(sent.map(({ satellite, timeMs, values }) => [`${satellite}${timeMs}`, values]))
  t.same(sorted(await storedPoints(database, stream)), wanted, 'what comes out is what was sent')
  await checkRollups(t, database, stream, sent, 'before rolling up')
  const times = sent.map(({ timeMs }) => timeMs)
  const minute = (ms: number): number => Math.floor(ms / MINUTE_MS) * MINUTE_MS
  await refreshed(stream, minute(Math.min(...times)), minute(Math.max(...times)) + MINUTE_MS)
  await rollUp(inStream(database, stream.name))
  await checkRollups(t, database, stream, sent, 'after rolling up')
  await typedAnswers(t, database, stream, sent)
  const { points, latest } = tablesOf(stream.name)
  const shown = stream.metrics.map(({ name }) => identifier(name)).join(', ')
  const { rows: unknown } = await database.query(`
    SELECT satellite_id, "time", ${shown} FROM ${latest} EXCEPT SELECT satellite_id, "time", ${shown} FROM ${points}`)
  t.same(unknown, [], 'every latest point is a stored one')
}

t.test('property: plain PostgreSQL', async (t) => {
  const server = await startTestPostgres(t)
  for (const catalogue of [ALL_TYPES, ...fc.sample(anySmall, { numRuns: 1, seed: SEED })]) {
    const database = await connect(
      await createTestDatabase(server), { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
    t.teardown(async () => await database.close())
    await roundTrip(t, database, catalogue, async () => {})
  }
})

/**
 * The widest rows: all metrics but a few, each a double in every column, and ids of the lengths around which
 * PostgreSQL aligns the next column, or moves the id out of the row.
 */
async function widestRows (t: Test, database: Database): Promise<void> {
  const catalogue = catalogueOf(...Array.from({ length: METRICS_MAX }, (_, index) => `m${index}: { id: ${index + 1} }`))
  await migrate(database, { ...SCHEMA_SETTINGS, proposed: catalogue })
  const store = await columnStore(database, catalogue.telemetry)
  const timeMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 3 * MINUTE_MS
  const points = [0, 1, 2, 8, 100].flatMap((absent) => {
    const values = catalogue.telemetry.metrics.map((_, index) => index < absent ? NaN : 1.5)
    const ids = [4, 8, 15, 16, 22, 23, 24, 25, 64].map((length) => `${absent}`.padEnd(length, 'x'))
    return [...ids, `${absent} ${'😀'.repeat(60)}`].map((satellite) => ({ satellite, timeMs, values, sent: values }))
  })
  const columns = new PointColumns(catalogue.telemetry.schema)
  const satellites = new SatelliteTable()
  for (const { satellite, values } of points) {
    const point = columns.push(satellites.byId(satellite) as Satellite, timeMs * 1000)
    columns.values.set(values, point * METRICS_MAX)
  }
  await store(columns)
  await rollUp(database)
  const { rows: failed } = await database.query('SELECT * FROM rollup_failed')
  t.same(failed, [], 'every row fits into a page')
  await checkRollups(t, database, catalogue.telemetry, points, 'widest rows')
}

t.test('as many metrics as there may be', async (t) => {
  const server = await startTestPostgres(t)
  const plain = await connect(
    await createTestDatabase(server), { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await plain.close())
  await widestRows(t, plain)
})

t.test('TimescaleDB', async (t) => {
  const database = await openTimescale(t)
  await roundTrip(t, database, ALL_TYPES, async ({ name }, fromMs, toMs) => {
    await refresh(database, streamSql('rollup_10s', name), fromMs, toMs)
    await refresh(database, streamSql('rollup_1m', name), fromMs, toMs)
  })
  await database.query('SELECT compress_chunk(chunk, true) FROM show_chunks(\'telemetry\') chunk')
  const added = twoStreams(
    'f: { id: 1 }', 'r: { id: 2, type: float32 }', 'i: { id: 3, type: int }', 'b: { id: 4, type: bool }',
    's: { id: 5, type: state, states: { SAFE: 0, NOMINAL: 1, LOST: -7, NEW: 8 } }', 'more: { id: 6, type: bool }')
  await migrate(database, { ...SCHEMA_SETTINGS, proposed: added })
  const { rows } = await database.query('SELECT more, b FROM telemetry WHERE more IS NOT NULL')
  t.same(rows, [], 'a metric is added to compressed points')
})
