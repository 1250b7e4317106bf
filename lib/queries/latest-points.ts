/**
 * The last points of satellites, from the table that the primary keeps and the few rows that are newer: telemetry has
 * no index for them (docs/ARCHITECTURE.md, "The latest point of each satellite").
 */
import type { Metric } from '../../protocol/catalogue.js'
import { numberOf } from '../database/metric-columns.js'
import type { Database } from '../database/database.js'
import { isoTime } from '../pipeline/rows/rows.js'

/** As stored: a bool is 1 or 0, a state is its number. */
export type Value = number | null

export interface LatestPoint {
  readonly satellite: string
  readonly timeMicros: number
  /** In the order asked for; null: the point has none. */
  readonly values: readonly Value[]
}

export interface SatellitePageFilter {
  /** With `*` a pattern of whole ids, otherwise a part of them; '' for all. In any case. */
  readonly match: string
  /** Only points before this time; null: any. */
  readonly beforeMicros: number | null
  readonly after: string
  readonly countMax: number
}

export interface SatellitePage {
  readonly points: readonly LatestPoint[]
  /** Satellites on all pages. */
  readonly total: number
  readonly hasMore: boolean
}

interface Row {
  /** Null in the only row of an empty page. */
  readonly _micros: number | null
  readonly satellite_id: string
  readonly [value: string]: unknown
}

/** Microseconds since 1970 as a number, which is exact until 2255; no metric has a name like this. */
export const MICROS = '(extract(epoch FROM "time") * 1000000)::double precision AS _micros'

/** A page of the last points of all satellites, by id in byte order. */
export async function readSatellitePage (
  db: Database, metrics: readonly Metric[], filter: SatellitePageFilter
): Promise<SatellitePage> {
  const { match, beforeMicros, after, countMax } = filter
  const values: unknown[] = []
  const bind = (value: unknown): string => `$${values.push(value)}`
  const conditions: string[] = []
  if (match !== '') conditions.push(`satellite_id ILIKE ${bind(likePattern(match))}`)
  if (beforeMicros !== null) conditions.push(`"time" < ${bind(isoTime(beforeMicros))}`)
  const { rows } = await db.query<Row & { readonly _total: number }>(`
    WITH matched AS MATERIALIZED (
      SELECT ${columnsOf(metrics)} FROM public.satellites_latest
      ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`}
    )
    SELECT _total, ${MICROS}, page.*
    FROM (SELECT count(*)::integer AS _total FROM matched) counted LEFT JOIN (
      SELECT * FROM matched WHERE satellite_id > ${bind(after)} ORDER BY satellite_id LIMIT ${bind(countMax + 1)}
    ) page ON true
    ORDER BY satellite_id`, values)
  const found = rows.filter(({ _micros: micros }) => micros !== null)
  return {
    points: found.slice(0, countMax).map((row) => pointOf(row, metrics)),
    total: rows[0]?._total ?? 0,
    hasMore: found.length > countMax
  }
}

/** The last point of a satellite; null: there is none. */
export async function readLatestPoint (
  db: Database, metrics: readonly Metric[], satellite: string
): Promise<LatestPoint | null> {
  // In a statement of its own, so that the planner knows the time and opens only the newest partitions. What the mark
  // passes in between is in the table by then.
  const { rows: [state] } = await db.query<{ mark: string }>(
    'SELECT latest_watermark::text AS mark FROM public.rollup_state')
  const columns = columnsOf(metrics)
  const { rows: [row] } = await db.query<Row>(`
    SELECT ${MICROS}, known.*
    FROM (
      SELECT ${columns} FROM public.satellites_last WHERE satellite_id = $1
      UNION ALL
      SELECT ${columns} FROM public.satellites_late WHERE satellite_id = $1
      UNION ALL
      (SELECT ${columns} FROM public.telemetry
       WHERE satellite_id = $1 AND "time" >= $2::timestamptz ORDER BY "time" DESC LIMIT 1)
    ) known
    ORDER BY "time" DESC LIMIT 1`, [satellite, state?.mark ?? '-infinity'])
  return row === undefined ? null : pointOf(row, metrics)
}

function columnsOf (metrics: readonly Metric[]): string {
  const values = metrics.map((metric, index) => `${numberOf(metric)} AS value_${index}`)
  return ['satellite_id', '"time"', ...values].join(', ')
}

function pointOf (row: Row, metrics: readonly Metric[]): LatestPoint {
  return {
    satellite: row.satellite_id,
    timeMicros: row._micros ?? 0,
    values: metrics.map((_, index) => row[`value_${index}`] as Value)
  }
}

/** For ILIKE, whose escape character is the backslash. */
function likePattern (match: string): string {
  const literal = match.replaceAll(/[\\%_]/g, (each) => `\\${each}`)
  return match.includes('*') ? literal.replaceAll('*', '%') : `%${literal}%`
}
