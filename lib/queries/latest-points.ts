/**
 * The last points of satellites, from the table that the primary keeps and the few rows that are newer: telemetry has
 * no index for them (docs/ARCHITECTURE.md, "The latest point of each satellite").
 */
import type { Metric, Stream } from '../../protocol/catalogue.js'
import { numberOf } from '../database/metric-columns.js'
import type { Database } from '../database/database.js'
import { tablesOf } from '../database/stream-tables.js'
import { isoTime } from '../pipeline/rows/rows.js'
import { Marks, ofSatellite } from './marks.js'

/** As stored: a bool is 1 or 0, a state is its number. */
export type Value = number | null

export interface LatestPoint {
  readonly timeMicros: number
  /** In the order asked for; null: the point has none. */
  readonly values: readonly Value[]
}

/** Metrics of one stream. */
export interface StreamMetrics {
  readonly stream: Stream
  readonly metrics: readonly Metric[]
}

export interface SatellitePageFilter {
  /** With `*` a pattern of whole ids, otherwise a part of them; '' for all. In any case. */
  readonly match: string
  /** Only satellites whose newest point is before this time; null: any. */
  readonly beforeMicros: number | null
  readonly after: string
  readonly countMax: number
}

export interface LatestOfSatellite {
  readonly satellite: string
  /** By stream, in the order asked for; null: it has no point there. */
  readonly points: ReadonlyArray<LatestPoint | null>
}

export interface SatellitePage {
  readonly satellites: readonly LatestOfSatellite[]
  /** Satellites on all pages. */
  readonly total: number
  readonly hasMore: boolean
}

interface FoundRow {
  readonly moved_back: boolean
  /** Null in the only row if there is no point. */
  readonly _micros: number | null
  readonly [value: string]: unknown
}

interface PageRow {
  readonly _total: number
  /** Null in the only row of an empty page. */
  readonly satellite_id: string | null
  /** Position in the streams asked for. */
  readonly stream: number
  readonly micros: number
  /** As text, because JSON has no NaN. */
  readonly values: ReadonlyArray<string | null>
}

/** Microseconds since 1970 as a number, which is exact until 2255; no metric has a name like this. */
export const MICROS = '(extract(epoch FROM "time") * 1000000)::double precision AS _micros'

/** A page of the last points of all satellites, by id in byte order. */
export async function readSatellitePage (
  db: Database, streams: readonly StreamMetrics[], filter: SatellitePageFilter
): Promise<SatellitePage> {
  const { match, beforeMicros, after, countMax } = filter
  const values: unknown[] = []
  const bind = (value: unknown): string => `$${values.push(value)}`
  const matching = match === '' ? '' : ` WHERE satellite_id ILIKE ${bind(likePattern(match))}`
  const before = beforeMicros === null ? '' : ` HAVING max("time") < ${bind(isoTime(beforeMicros))}`
  const points = streams.map(({ stream, metrics }, index) => `
      SELECT satellite_id, ${index} AS stream, "time",
             to_jsonb(ARRAY[${metrics.map((metric) => `(${numberOf(metric)})::text`).join(', ')}]::text[]) AS values
      FROM ${tablesOf(stream.name).latest}${matching}`)
  const { rows } = await db.query<PageRow>(`
    WITH known AS MATERIALIZED (${points.join(' UNION ALL ')}),
    matched AS MATERIALIZED (SELECT satellite_id FROM known GROUP BY satellite_id${before})
    SELECT _total, satellite_id, known.stream, known.values,
           (extract(epoch FROM known."time") * 1000000)::double precision AS micros
    FROM (SELECT count(*)::integer AS _total FROM matched) counted LEFT JOIN (
      SELECT * FROM matched WHERE satellite_id > ${bind(after)} ORDER BY satellite_id LIMIT ${bind(countMax + 1)}
    ) page ON true LEFT JOIN known USING (satellite_id)
    ORDER BY satellite_id, known.stream`, values)
  const satellites: Array<{ satellite: string, points: Array<LatestPoint | null> }> = []
  for (const { satellite_id: satellite, stream, micros, values } of rows) {
    if (satellite === null) continue
    let last = satellites.at(-1)
    if (last?.satellite !== satellite) {
      last = { satellite, points: streams.map(() => null) }
      satellites.push(last)
    }
    last.points[stream] = {
      timeMicros: micros, values: values.map((value) => value === null ? null : Number(value))
    }
  }
  return {
    satellites: satellites.slice(0, countMax), total: rows[0]?._total ?? 0, hasMore: satellites.length > countMax
  }
}

/**
 * The last point of a satellite in a stream; null: there is none. One round trip, once the marks are known.
 * @param marks kept between queries
 */
export async function readLatestPoint (
  db: Database, { stream, metrics }: StreamMetrics, satellite: string, marks = new Marks()
): Promise<LatestPoint | null> {
  const { points, last, late, rollupState } = tablesOf(stream.name)
  const { latest, isLatestNear } = await marks.of(db, stream.name)
  const columns = ['"time"', ...metrics.map((metric, index) => `${numberOf(metric)} AS value_${index}`)].join(', ')
  const { rows: [row] } = await db.query<FoundRow>(`
    SELECT state.moved_back, ${MICROS}, found.*
    FROM (SELECT latest_watermark < $2::timestamptz AS moved_back FROM ${rollupState}) state
    LEFT JOIN (
      SELECT * FROM (
        SELECT ${columns} FROM ${last} WHERE satellite_id = $1
        UNION ALL
        SELECT ${columns} FROM ${late} WHERE satellite_id = $1
        UNION ALL
        (SELECT ${columns} FROM ${points}
         WHERE ${ofSatellite('$1', isLatestNear)} AND "time" >= $2::timestamptz
           AND "time" >= (SELECT latest_watermark FROM ${rollupState}) ORDER BY "time" DESC LIMIT 1)
      ) known
      ORDER BY "time" DESC LIMIT 1
    ) found ON true`, [satellite, latest])
  if (row?.moved_back === true) {
    marks.forget(stream.name)
    return await readLatestPoint(db, { stream, metrics }, satellite, marks)
  }
  const timeMicros = row?._micros ?? null
  return timeMicros === null
    ? null
    : { timeMicros, values: metrics.map((_, index) => row?.[`value_${index}`] as Value) }
}

/** For ILIKE, whose escape character is the backslash. */
function likePattern (match: string): string {
  const literal = match.replaceAll(/[\\%_]/g, (each) => `\\${each}`)
  return match.includes('*') ? literal.replaceAll('*', '%') : `%${literal}%`
}
