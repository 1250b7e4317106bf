/**
 * Pages of anomalies, newest first.
 *
 * A page ends with a cursor: time, satellite and metric of its last anomaly, and how many anomalies with the same three
 * were already returned. That identifies a position in the sort order without an id column; the remaining sort columns
 * only make the order deterministic.
 */
import { isoTime } from '../pipeline/rows/rows.js'
import type { Anomaly } from '../pipeline/rows/anomaly-rows.js'
import type { Database } from '../database/database.js'

export interface AnomalyCursor {
  readonly timeMicros: number
  readonly satellite: string
  readonly metric: string
  /** Anomalies with these three that were already returned. */
  readonly given: number
}

/** Null: any. */
export interface AnomalyFilter {
  /** Microseconds since 1970, inclusive. */
  readonly sinceMicros: number | null
  /** Exclusive. */
  readonly untilMicros: number | null
  readonly satellite: string | null
  readonly metric: string | null
  readonly severity: string | null
  readonly cursor: AnomalyCursor | null
  readonly countMax: number
}

export interface AnomalyPage {
  readonly anomalies: Anomaly[]
  /** Start of the next page; null: there is none. */
  readonly next: AnomalyCursor | null
}

interface Row {
  readonly micros: string
  readonly satellite_id: string
  readonly metric: string
  readonly value: number
  readonly limit_value: number
  readonly severity: string
  readonly side: string
  readonly limits_version: string
}

export async function queryAnomalies (db: Database, filter: AnomalyFilter): Promise<AnomalyPage> {
  const values: unknown[] = []
  const bind = (value: unknown): string => `$${values.push(value)}`
  const conditions = conditionsOf(filter, bind)
  const { rows } = await db.query<Row>(`
    SELECT (extract(epoch FROM "time") * 1000000)::bigint::text AS micros, satellite_id, metric, value,
           limit_value, severity, side, limits_version::text
    FROM public.anomalies
    ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`}
    ORDER BY "time" DESC, satellite_id DESC, metric DESC, value DESC, limits_version DESC, severity DESC,
      side DESC, limit_value DESC
    LIMIT ${bind(filter.countMax)} OFFSET ${bind(filter.cursor?.given ?? 0)}`, values)
  return { anomalies: rows.map(anomalyOf), next: cursorBehind(rows, filter) }
}

function conditionsOf (filter: AnomalyFilter, bind: (value: unknown) => string): string[] {
  const { sinceMicros, untilMicros, satellite, metric, severity, cursor } = filter
  const conditions: string[] = []
  if (sinceMicros !== null) conditions.push(`"time" >= ${bind(isoTime(sinceMicros))}`)
  if (untilMicros !== null) conditions.push(`"time" < ${bind(isoTime(untilMicros))}`)
  if (satellite !== null) conditions.push(`satellite_id = ${bind(satellite)}`)
  if (metric !== null) conditions.push(`metric = ${bind(metric)}`)
  if (severity !== null) conditions.push(`severity = ${bind(severity)}`)
  if (cursor !== null) {
    const time = isoTime(cursor.timeMicros)
    // The first condition alone prunes partitions and uses indexes.
    conditions.push(
      `"time" <= ${bind(time)}`,
      `("time", satellite_id, metric) <= (${bind(time)}, ${bind(cursor.satellite)}, ${bind(cursor.metric)})`)
  }
  return conditions
}

function anomalyOf (row: Row): Anomaly {
  return {
    time: isoTime(Number(row.micros)),
    satellite_id: row.satellite_id,
    metric: row.metric,
    value: row.value,
    limit: row.limit_value,
    severity: row.severity,
    side: row.side,
    limits_version: Number(row.limits_version)
  }
}

function cursorBehind (rows: readonly Row[], { cursor: before, countMax }: AnomalyFilter): AnomalyCursor | null {
  const last = rows.at(-1)
  if (last === undefined || rows.length < countMax) return null
  const { micros, satellite_id: satellite, metric } = last
  const alike = rows.filter((row) => row.micros === micros && row.satellite_id === satellite && row.metric === metric)
  const timeMicros = Number(micros)
  const continues = before?.timeMicros === timeMicros && before.satellite === satellite && before.metric === metric
  return { timeMicros, satellite, metric, given: alike.length + (continues ? before.given : 0) }
}
