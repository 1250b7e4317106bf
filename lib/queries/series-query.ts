/**
 * Some metrics of one satellite over a range of time, in at most as many entries as asked for: the points themselves if
 * they are few, otherwise buckets of equal width. They have minimum, maximum and average of numbers, and the last value
 * of states and bools.
 *
 *   up to ROWS_RANGE_MICROS    buckets of any width, from telemetry
 *   longer                     multiples of ten seconds, from telemetry_10s
 *   width of a minute or more  multiples of a minute, from telemetry_1m
 *
 * Buckets are counted first. If they have no more points than asked for, the points are read instead. A satellite that
 * sends rarely, among many that send often, may have its points in too many pages for that: after ROWS_MS_MAX the
 * buckets are the answer.
 */
import type { Metric, Stream } from '../../protocol/catalogue.js'
import { bucketAggregates, numberOf, rollupColumns } from '../database/metric-columns.js'
import type { Aggregate, RollupColumn } from '../database/metric-columns.js'
import { isUnanswered } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { streamSql, tablesOf } from '../database/stream-tables.js'
import type { TimeLeft } from '../database/query-pool.js'
import { isoTime } from '../pipeline/rows/rows.js'
import { MICROS, type Value } from './latest-points.js'
import { Marks, ofSatellite } from './marks.js'

export interface SeriesFilter {
  readonly satellite: string
  readonly stream: Stream
  readonly metrics: readonly Metric[]
  /** Microseconds since 1970, inclusive. */
  readonly fromMicros: number
  /** Exclusive. */
  readonly toMicros: number
  /** At least 2: a bucket can be aligned to one end of the range only. */
  readonly pointsMax: number
}

/** Of the stream `telemetry`; that of another has its name instead. */
export type SeriesSource = 'telemetry' | 'telemetry_10s' | 'telemetry_1m'

export interface RawSeries {
  readonly kind: 'raw'
  readonly source: 'telemetry'
  readonly timesMicros: readonly number[]
  /** By metric, in the order asked for. */
  readonly values: ReadonlyArray<readonly Value[]>
}

export interface BucketSeries {
  readonly kind: 'buckets'
  readonly source: SeriesSource
  readonly widthMicros: number
  /** Beginnings of buckets that have points. */
  readonly timesMicros: readonly number[]
  /** Points in each bucket. */
  readonly counts: readonly number[]
  /** By metric, in the order asked for. */
  readonly values: readonly BucketValues[]
}

export type Series = RawSeries | BucketSeries

/** Those of the metric's type, in the order of AGGREGATES. */
export type BucketValues = { readonly [A in Aggregate]?: readonly Value[] }

const SECOND = 1_000_000
/** Widths are multiples of these. */
const STEP_MICROS: Readonly<Record<SeriesSource, number>> = {
  telemetry: 1_000, telemetry_10s: 10 * SECOND, telemetry_1m: 60 * SECOND
}
const ROWS_RANGE_MICROS = 300 * SECOND
const ROWS_MS_MAX = 1_000

interface Plan {
  readonly source: SeriesSource
  readonly widthMicros: number
}

interface BucketRow {
  readonly _micros: number
  readonly points: number
  readonly [aggregate: string]: unknown
}

/** In every row. */
interface RolledUpState {
  readonly moved_back: boolean
  readonly has_late: boolean
}

/** @param marks kept between queries */
export async function readSeries (
  db: Database, filter: SeriesFilter, leftMs: TimeLeft, marks = new Marks()
): Promise<Series> {
  const buckets = await readBuckets(db, filter, marks)
  const count = buckets.counts.reduce((sum, each) => sum + each, 0)
  return count > filter.pointsMax ? buckets : await readPoints(db, filter, Math.min(ROWS_MS_MAX, leftMs())) ?? buckets
}

/** The finest buckets of which a range has at most pointsMax, wherever it begins. */
export function planBuckets ({ fromMicros, toMicros, pointsMax }: SeriesFilter): Plan {
  const range = toMicros - fromMicros
  const plan = (source: SeriesSource): Plan => {
    const step = STEP_MICROS[source]
    return { source, widthMicros: Math.ceil(range / (pointsMax - 1) / step) * step }
  }
  if (range <= ROWS_RANGE_MICROS) return plan('telemetry')
  const tens = plan('telemetry_10s')
  return tens.widthMicros < STEP_MICROS.telemetry_1m ? tens : plan('telemetry_1m')
}

async function readBuckets (db: Database, filter: SeriesFilter, marks: Marks): Promise<BucketSeries> {
  const plan = planBuckets(filter)
  const { name } = filter.stream
  if (plan.source !== 'telemetry') {
    const found = await readRolledUp(db, filter, plan, marks)
    if (found !== null) return found
  }
  const time = plan.source === 'telemetry' ? '"time"' : 'bucket'
  const from = `public.${streamSql(plan.source, name)} WHERE satellite_id = $2 AND ${time} >= $3 AND ${time} < $4`
  const { rows } = await db.query<BucketRow>(
    `${bucketsFrom(plan, filter, from)} ORDER BY _micros`, parametersOf(plan, filter))
  return seriesOf(rows, plan, filter)
}

/**
 * The same from the tables behind the views, on plain PostgreSQL: a plan of the view has the partitions of all days,
 * several times, and planning it takes longer than the rest. Null: the view must answer, because a bucket has received
 * late rows, or the mark has moved back.
 */
async function readRolledUp (
  db: Database, filter: SeriesFilter, plan: Plan, marks: Marks
): Promise<BucketSeries | null> {
  const { rolledUp, isRolledUpNear, isPlain } = await marks.of(db, filter.stream.name)
  if (!isPlain) return null
  const { points, rollupState, rollupDirty, rollupTens, rollupMinutes } = tablesOf(filter.stream.name)
  const columns = filter.metrics.flatMap((metric) => rollupColumns(metric, false))
  const list = (of: (column: RollupColumn) => string): string => columns.map((column) => `, ${of(column)}`).join('')
  const watermark = `(SELECT watermark FROM ${rollupState})`
  const rollups = (table: string, condition: string): string => `
      SELECT bucket, points${list(({ name }) => name)} FROM ${table}
      WHERE satellite_id = $2 AND bucket >= $3 AND bucket < $4 AND ${condition}`
  const parts = plan.source === 'telemetry_10s'
    ? [rollups(rollupTens, `bucket < ${watermark}`)]
    : [
        rollups(rollupMinutes, `bucket < ${minuteOf(watermark)}`),
        rollups(rollupTens, `bucket >= ${minuteOf('$5::timestamptz')} AND bucket >= ${minuteOf(watermark)} ` +
          `AND bucket < ${watermark}`)
      ]
  const { rows } = await db.query<BucketRow & RolledUpState>(`
    SELECT state.*, found.*
    FROM (
      SELECT watermark < $5::timestamptz AS moved_back, EXISTS (
        SELECT FROM ${rollupDirty} WHERE bucket >= $3 AND bucket < $4 AND bucket < watermark
      ) AS has_late FROM ${rollupState}
    ) state LEFT JOIN (${bucketsFrom(plan, filter, `(
      SELECT bucket, points${list(({ shown }) => shown)} FROM (${parts.join(' UNION ALL ')} UNION ALL
      SELECT ${binned("interval '10 seconds'", '"time"')}, count(*)${list(({ fromRaw }) => fromRaw)} FROM ${points}
      WHERE ${ofSatellite('$2', isRolledUpNear)} AND "time" >= $3 AND "time" < $4
        AND "time" >= $5::timestamptz AND "time" >= ${watermark} GROUP BY 1
      ) rolled_up) shown`)}) found ON true
    ORDER BY _micros`, [...parametersOf(plan, filter), rolledUp])
  const [state] = rows
  if (state?.moved_back !== false) marks.forget(filter.stream.name)
  if (state?.moved_back !== false || state.has_late) return null
  return seriesOf(rows.filter(hasBucket), plan, filter)
}

/** Without buckets the state has a row of nulls. */
function hasBucket (row: { readonly _micros: number | null }): boolean {
  return row._micros !== null
}

/** @param from a table or view with a condition */
function bucketsFrom ({ source }: Plan, { metrics }: SeriesFilter, from: string): string {
  const [time, points] = source === 'telemetry' ? ['"time"', 'count(*)'] : ['bucket', 'sum(points)']
  const columns = metrics.flatMap((metric, index) => (
    aggregatesOf(metric, source).map(([name, sql]) => `${sql} AS ${name}_${index}`)))
  return `
    SELECT (extract(epoch FROM at) * 1000000)::double precision AS _micros, aggregated.*
    FROM (
      SELECT ${binned('make_interval(secs => $1)', time)} AS at,
             ${[`${points}::double precision AS points`, ...columns].join(', ')}
      FROM ${from} GROUP BY 1
    ) aggregated`
}

function aggregatesOf (metric: Metric, source: SeriesSource): ReturnType<typeof bucketAggregates> {
  return bucketAggregates(metric, source === 'telemetry' ? 'points' : 'rollups')
}

function binned (width: string, time: string): string {
  return `date_bin(${width}, ${time}, timestamptz '1970-01-01 00:00Z')`
}

function minuteOf (time: string): string {
  return binned("interval '1 minute'", time)
}

/** Width, satellite, and the range: a rollup cannot be divided. */
function parametersOf ({ source, widthMicros }: Plan, { satellite, fromMicros, toMicros }: SeriesFilter): unknown[] {
  const step = STEP_MICROS[source]
  const to = source === 'telemetry' ? toMicros : Math.ceil(toMicros / step) * step
  return [widthMicros / SECOND, satellite, isoTime(Math.floor(fromMicros / step) * step), isoTime(to)]
}

function seriesOf (rows: readonly BucketRow[], plan: Plan, { metrics }: SeriesFilter): BucketSeries {
  return {
    kind: 'buckets',
    ...plan,
    timesMicros: rows.map(({ _micros: micros }) => micros),
    counts: rows.map((row) => row.points),
    values: metrics.map((metric, index) => Object.fromEntries(
      aggregatesOf(metric, plan.source).map(([name]) => [name, valuesOf(rows, `${name}_${index}`)])))
  }
}

/** Null: it takes too long, or rollups did not know of all the points yet. */
async function readPoints (db: Database, filter: SeriesFilter, msMax: number): Promise<RawSeries | null> {
  const { satellite, stream, metrics, fromMicros, toMicros, pointsMax } = filter
  const columns = metrics.map((metric, index) => `${numberOf(metric)} AS value_${index}`)
  try {
    await db.query(`BEGIN; SET LOCAL statement_timeout = ${msMax}`)
    const { rows } = await db.query<Record<string, unknown> & { readonly _micros: number }>(`
      SELECT ${[MICROS, ...columns].join(', ')} FROM ${tablesOf(stream.name).points}
      WHERE satellite_id = $1 AND "time" >= $2 AND "time" < $3
      ORDER BY "time" LIMIT $4`, [satellite, isoTime(fromMicros), isoTime(toMicros), pointsMax + 1])
    if (rows.length > pointsMax) return null
    return {
      kind: 'raw',
      source: 'telemetry',
      timesMicros: rows.map(({ _micros: micros }) => micros),
      values: metrics.map((_, index) => valuesOf(rows, `value_${index}`))
    }
  } catch (error) {
    if (!db.alive || !isUnanswered(error)) throw error
    return null
  } finally {
    if (db.alive) await db.query('ROLLBACK')
  }
}

function valuesOf (rows: ReadonlyArray<Readonly<Record<string, unknown>>>, column: string): Value[] {
  return rows.map((row) => row[column] as Value)
}
