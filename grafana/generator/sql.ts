/**
 * Pieces of SQL that several panels share.
 *
 * Only what both kinds of server have, and of Grafana's macros only those that stay what they are whatever the data source
 * is set to: $__timeFilter, $__timeFrom, $__timeTo, $__interval_ms.
 */
import { METRICS, type Metric } from '../../protocol/metrics.js'

/** The satellite that was chosen on the dashboard, as SQL text. */
export const SATELLITE = '${satellite:sqlstring}' // eslint-disable-line no-template-curly-in-string

export function literal (text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

export function name (text: string): string {
  return `"${text.replaceAll('"', '""')}"`
}

/** Begin of the time range, its end, and its length. */
export const FROM = '$__timeFrom()::timestamptz'
export const TO = '$__timeTo()::timestamptz'
export const RANGE = `(${TO} - ${FROM})`

/**
 * In the time range if a condition of constants holds, and in none else.
 *
 * Never the condition by itself: where it is false the planner forgets the time, and a view without one is planned, and
 * locked, over every chunk that there is. An end before all begins leaves none.
 */
export function inRangeIf (condition: string, column: string): string {
  return `${column} >= ${FROM} AND ${column} <= CASE WHEN ${condition} THEN ${TO} ELSE 'epoch'::timestamptz END`
}

/** Buckets as wide as the panel wants, and no narrower than what the table holds. */
export function bucket (column: string, secondsMin: number): string {
  return `time_bucket(make_interval(secs => greatest($__interval_ms / 1000.0, ${secondsMin})), ${column})`
}

/** Title of a metric by its name. */
export function metricTitle (column: string): string {
  return `CASE ${column} ${METRICS.map((metric) => `WHEN ${literal(metric.name)} THEN ${literal(metric.title)}`).join(' ')} ELSE ${column} END`
}

/**
 * Sums of ingest_stats over time, for all servers together.
 * @param values what is asked of one server and bucket, by the name of the series; aggregates. `of` adds up the servers.
 */
export function ingestOverTime (values: ReadonlyArray<{ readonly title: string, readonly sql: string, readonly of?: 'sum' | 'max' }>): string {
  return `
    SELECT bucket AS "time", ${values.map(({ title, of = 'sum' }, index) => `${of}(value_${index}) AS ${name(title)}`).join(', ')}
    FROM (
      SELECT ${bucket('"time"', 10)} AS bucket, instance, ${values.map(({ sql }, index) => `(${sql})::double precision AS value_${index}`).join(', ')}
      FROM ingest_stats WHERE $__timeFilter("time") GROUP BY 1, 2
    ) by_server
    GROUP BY 1 ORDER BY 1`
}

/** Rows of ingest_stats, each with its anomalies: kind.name, which is "metric severity", and kind.count. */
export const STATS_WITH_ANOMALIES = 'ingest_stats stats, unnest(string_to_array(stats.anomaly_kinds, \',\'), stats.anomaly_counts) kind (name, count)'

/** A count of ingest_stats as a rate. */
export function perSecond (column: string): string {
  return `sum(${column}) / sum(seconds)`
}

/** The newest value of ingest_stats of every server that was there in the last minute. */
export function ingestNow (title: string, sql: string, aggregate: 'sum' | 'max' = 'sum'): string {
  return `
    SELECT coalesce(${aggregate}(value), 0)::double precision AS ${name(title)}
    FROM (
      SELECT ${sql} AS value FROM ingest_stats WHERE "time" > now() - interval '1 minute' GROUP BY instance
    ) by_server`
}

/** How a value stands to the limits: 'ok', 'warning', 'critical'; null for no value. */
export function status (value: string, limits: string): string {
  return `CASE WHEN ${value} < ${limits}.low_critical OR ${value} > ${limits}.high_critical THEN 'critical' ` +
    `WHEN ${value} < ${limits}.low_warning OR ${value} > ${limits}.high_warning THEN 'warning' WHEN ${value} IS NOT NULL THEN 'ok' END`
}

/** Rollups' columns of a metric. */
export function rolled (metric: Metric, aggregate: 'count' | 'min' | 'max' | 'avg'): string {
  return name(`${metric.name}_${aggregate}`)
}
