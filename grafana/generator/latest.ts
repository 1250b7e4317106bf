/**
 * The latest points of all satellites, compared with their limits.
 *
 * Limits are resolved once for all satellites. Up to JOINS_MAX metrics each has its limits from a join of its own,
 * which is fastest; the query of a wider stream joins once, with a row for each value, whatever the number of metrics.
 */
import type * as table from '@grafana/grafana-foundation-sdk/table'
import type { Metric, Stream } from '../../protocol/catalogue.js'
import { property, satelliteColumn, stateMappings, statusColumn, tablePanel, unitOf } from './panels.js'
import { sqlTarget } from './sources.js'
import { hasStates, literal, name, stateJson, stateStatus, status, statusOf } from './sql.js'
import { boardUid, tableOf, type Streams } from './streams.js'

/** The planner's join_collapse_limit is 8. */
const JOINS_MAX = 7
const ROWS_MAX = 1000

interface Placing { readonly id: number, readonly title: string, readonly width: number }

/** A table of the latest point of each satellite in a stream. */
export function latestValues (stream: Stream, { id, title, width }: Placing): table.PanelBuilder {
  const builder = tablePanel({
    id,
    title,
    description: `The latest point of each satellite, worst first, at most ${ROWS_MAX}. Colours show how values ` +
      'relate to the current limits of the satellite. Click a satellite to open its dashboard.',
    width,
    height: 14,
    none: 'No satellite has sent a point'
  }).withTarget(sqlTarget('A', 'table', stream.live.length > JOINS_MAX ? wideLatest(stream) : narrowLatest(stream)))
    .overrideByName('Satellite', satelliteColumn(180, boardUid(stream)))
    .overrideByName('Last point', [
      property('unit', 's'), property('decimals', 0), property('custom.width', 110),
      property('description', 'Time since')
    ])
  for (const metric of stream.live) {
    const look = hasStates(metric)
      ? [property('mappings', stateMappings(metric))]
      : [property('unit', unitOf(metric)), property('decimals', metric.type === 'int' ? 0 : 1)]
    builder.overrideByName(metric.title, look)
      .overrideByName(`${metric.title} limits`, statusColumn(110))
  }
  return builder
}

function narrowLatest (stream: Stream): string {
  const metrics = stream.live
  const statuses = metrics.map((_, index) => `status_${index}`)
  const columns = metrics.map((metric, index) =>
    `value_${index} AS ${name(metric.title)}, status_${index} AS ${name(`${metric.title} limits`)}`)
  return `
    WITH ${latestWithLimits(stream)}, stated AS (
      SELECT satellite_id, "time", ${metrics
        .map((metric, index) => (
          `value_${index}, ${statusOf(metric, `value_${index}`, `(limits_${index})`)} AS status_${index}`))
        .join(', ')}
      FROM judged
    )
    SELECT satellite_id AS "Satellite", extract(epoch FROM now() - "time")::double precision AS "Last point",
           ${columns.join(', ')}
    FROM stated
    ORDER BY greatest(${statuses
      .map((column) => `CASE ${column} WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END`)
      .join(', ')}) DESC, satellite_id
    LIMIT ${ROWS_MAX}`
}

function wideLatest (stream: Stream): string {
  const columns = stream.live.map((metric) => {
    const value = `latest.${name(metric.name)}`
    const stated = `coalesce(stated.statuses ->> ${literal(stream.qualify(metric.name))}, ` +
      `CASE WHEN ${value} IS NOT NULL THEN 'ok' END)`
    return `${value} AS ${name(metric.title)}, ${stated} AS ${name(`${metric.title} limits`)}`
  })
  return `
    WITH ${judgedValues([stream])}, stated AS (
      SELECT satellite_id, jsonb_object_agg(metric, status) AS statuses,
             max(CASE status WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END) AS worst
      FROM judged GROUP BY 1
    )
    SELECT latest.satellite_id AS "Satellite",
           extract(epoch FROM now() - latest."time")::double precision AS "Last point", ${columns.join(', ')}
    FROM latest_0 latest LEFT JOIN stated USING (satellite_id)
    ORDER BY coalesce(stated.worst, 0) DESC, latest.satellite_id
    LIMIT ${ROWS_MAX}`
}

/** How many satellites have a latest value beyond a limit, in any stream. */
export function outOfLimitsCount (streams: Streams, title: string): string {
  const [first] = streams
  if (streams.length > 1 || first.live.length > JOINS_MAX) {
    return `
      WITH ${judgedValues(streams)}
      SELECT count(DISTINCT satellite_id) FILTER (WHERE status IN ('warning', 'critical')) AS ${name(title)}
      FROM judged`
  }
  const broken = first.live
    .map((metric, index) => `(${statusOf(metric, `value_${index}`, `(limits_${index})`)}) IN ('warning', 'critical')`)
    .join(' OR ')
  return `
      WITH ${latestWithLimits(first)}
      SELECT count(*) FILTER (WHERE ${broken}) AS ${name(title)} FROM judged`
}

/** `judged`: satellite_id, "time", and for each metric value_N with its limits as a row limits_N. */
function latestWithLimits (stream: Stream): string {
  const metrics = stream.live
  const values = metrics.map((metric, index) => `latest.${name(metric.name)} AS value_${index}, limits_${index}`)
  const joins = metrics.map((metric, index) => `LEFT JOIN bounds limits_${index} ON limits_${index}.satellite_id = ` +
    `latest.satellite_id AND limits_${index}.metric = '${stream.qualify(metric.name)}'`)
  return `latest AS MATERIALIZED (
      SELECT * FROM ${tableOf(stream, 'satellites_latest')}
    ), bounds AS MATERIALIZED (
      SELECT resolved.*
      FROM limits, orbitstream_limits_of(limits.limits, ARRAY(SELECT satellite_id FROM latest)) resolved
    ), judged AS (
      SELECT latest.satellite_id, latest."time", ${values.join(', ')}
      FROM latest ${joins.join(' ')}
    )`
}

/** `latest_N` of each stream, and `judged`: satellite_id, metric, status of every value that has limits. */
function judgedValues (streams: readonly Stream[]): string {
  const latest = streams.map((stream, index) => `latest_${index} AS MATERIALIZED (
      SELECT * FROM ${tableOf(stream, 'satellites_latest')}
    )`)
  const satellites = streams.map((_, index) => `SELECT satellite_id FROM latest_${index}`).join(' UNION ')
  const judged = streams.map((stream, index) => `
      SELECT latest.satellite_id, measured.metric, CASE WHEN measured.state IS NULL
               THEN ${status('measured.value', 'bounds')}
               ELSE ${stateStatus('measured.state', 'bounds')} END AS status
      FROM latest_${index} latest CROSS JOIN LATERAL (VALUES ${stream.live
        .map((metric) => `(${literal(stream.qualify(metric.name))}, ${valueAndState(metric)})`)
        .join(', ')}) measured (metric, value, state)
        JOIN bounds ON bounds.satellite_id = latest.satellite_id AND bounds.metric = measured.metric
      WHERE measured.value IS NOT NULL OR measured.state IS NOT NULL`)
  return `${latest.join(', ')}, bounds AS MATERIALIZED (
      SELECT resolved.*
      FROM limits, orbitstream_limits_of(limits.limits, ARRAY(${satellites})) resolved
    ), judged AS (${judged.join('\n      UNION ALL')}
    )`
}

/** A number and no state, or no number and a state as stateJson() has it. */
function valueAndState (metric: Metric): string {
  return hasStates(metric)
    ? `NULL::double precision, ${stateJson(metric, name(metric.name))}`
    : `${name(metric.name)}::double precision, NULL::jsonb`
}
