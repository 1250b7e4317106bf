/**
 * SQL fragments shared by panels.
 *
 * They use only what both kinds of server have, and only those of Grafana's macros that do not depend on the data
 * source's settings: $__timeFilter, $__timeFrom, $__timeTo, $__interval_ms.
 */
import type { Metric, Stream } from '../../protocol/catalogue.js'

/** The satellite selected on the dashboard, as SQL text. */
export const SATELLITE = '${satellite:sqlstring}' // eslint-disable-line no-template-curly-in-string

export function literal (text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

export function name (text: string): string {
  return `"${text.replaceAll('"', '""')}"`
}

/** Start, end and length of the time range. */
export const FROM = '$__timeFrom()::timestamptz'
export const TO = '$__timeTo()::timestamptz'
export const RANGE = `(${TO} - ${FROM})`

/**
 * In the time range if a constant condition holds, otherwise never.
 *
 * Not simply the condition: if it is false, the planner drops the time bounds, and a view without them is planned, and
 * locked, over every chunk. An end before any start matches nothing.
 */
export function inRangeIf (condition: string, column: string): string {
  return `${column} >= ${FROM} AND ${column} <= CASE WHEN ${condition} THEN ${TO} ELSE 'epoch'::timestamptz END`
}

/** Buckets as wide as the panel wants, but no narrower than the table's resolution. */
export function bucket (column: string, secondsMin: number): string {
  return `time_bucket(make_interval(secs => greatest($__interval_ms / 1000.0, ${secondsMin})), ${column})`
}

/** The titles of metrics by their names; of several streams, the stream's title stands before all but the first's. */
export function titlesOf (
  streams: readonly Stream[]
): Array<readonly [name: string, title: string, streamIndex: number]> {
  return streams.flatMap((stream, index) => stream.live.map(({ name, title }) => (
    [stream.qualify(name), index === 0 ? title : `${stream.title}: ${title}`, index] as const)))
}

/** Title of a metric by its name. */
export function metricTitle (streams: readonly Stream[], column: string): string {
  return `CASE ${column} ${titlesOf(streams)
    .map(([name, title]) => `WHEN ${literal(name)} THEN ${literal(title)}`)
    .join(' ')} ELSE ${column} END`
}

/**
 * Sums of ingest_stats over time, for all servers together.
 * @param values aggregates per server and bucket, by series title; `of` combines the servers
 */
export function ingestOverTime (values: ReadonlyArray<{
  readonly title: string,
  readonly sql: string,
  readonly of?: 'sum' | 'max'
}>): string {
  return `
    SELECT bucket AS "time", ${values
      .map(({ title, of = 'sum' }, index) => `${of}(value_${index}) AS ${name(title)}`)
      .join(', ')}
    FROM (
      SELECT ${bucket('"time"', 10)} AS bucket, instance, ${values
        .map(({ sql }, index) => `(${sql})::double precision AS value_${index}`)
        .join(', ')}
      FROM ingest_stats WHERE $__timeFilter("time") GROUP BY 1, 2
    ) by_server
    GROUP BY 1 ORDER BY 1`
}

/** Rows of ingest_stats joined with their anomalies: kind.name, which is "metric severity", and kind.count. */
export const STATS_WITH_ANOMALIES =
  'ingest_stats stats, unnest(string_to_array(stats.anomaly_kinds, \',\'), stats.anomaly_counts) kind (name, count)'

/** A count in ingest_stats as a rate. */
export function perSecond (column: string): string {
  return `sum(${column}) / sum(seconds)`
}

/** The latest value in ingest_stats, over all servers that reported in the last minute. */
export function ingestNow (title: string, sql: string, aggregate: 'sum' | 'max' = 'sum'): string {
  return `
    SELECT coalesce(${aggregate}(value), 0)::double precision AS ${name(title)}
    FROM (
      SELECT ${sql} AS value FROM ingest_stats WHERE "time" > now() - interval '1 minute' GROUP BY instance
    ) by_server`
}

/** Whether a metric has states instead of numbers: false and true, or names. */
export function hasStates ({ type }: Metric): boolean {
  return type === 'state' || type === 'bool'
}

/** A value of such a metric as limits list it, in JSON: true, or the name of a state. */
export function stateJson ({ type, states }: Metric, value: string): string {
  if (type === 'bool') return `to_jsonb(${value})`
  const names = states.map((state) => `WHEN ${state.value} THEN ${literal(state.name)}`)
  return `to_jsonb(CASE ${value} ${names.join(' ')} END)`
}

/** As status(), of a value as stateJson() has it. */
export function stateStatus (json: string, limits: string): string {
  return `CASE WHEN ${limits}.states -> 'critical' @> ${json} THEN 'critical' ` +
    `WHEN ${limits}.states -> 'warning' @> ${json} THEN 'warning' WHEN ${json} IS NOT NULL THEN 'ok' END`
}

/** Status of a metric's value. */
export function statusOf (metric: Metric, value: string, limits: string): string {
  return hasStates(metric) ? stateStatus(stateJson(metric, value), limits) : status(value, limits)
}

/** State of a value relative to the limits: 'ok', 'warning', 'critical'; null without a value. */
export function status (value: string, limits: string): string {
  return `CASE WHEN ${value} < ${limits}.low_critical OR ${value} > ${limits}.high_critical THEN 'critical' ` +
    `WHEN ${value} < ${limits}.low_warning OR ${value} > ${limits}.high_warning THEN 'warning' WHEN ${value} IS NOT ` +
    'NULL THEN \'ok\' END'
}

/** Rollup column of a metric. */
export function rolled (metric: Metric, aggregate: 'count' | 'min' | 'max' | 'avg' | 'last'): string {
  return name(`${metric.name}_${aggregate}`)
}
