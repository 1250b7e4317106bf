/** Fleet: is everything fine, and if not, which satellites are affected? */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import type * as stat from '@grafana/grafana-foundation-sdk/stat'
import type * as table from '@grafana/grafana-foundation-sdk/table'
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import type { Metric } from '../../protocol/catalogue.js'
import { board, type BoardBuilder } from './boards.js'
import {
  COLOUR, drawn, property, satelliteColumn, stateMappings, statPanel, statusColumn, tablePanel, timePanel, unitOf
} from './panels.js'
import { sqlTarget } from './sources.js'
import {
  bucket, hasStates, ingestNow, ingestOverTime, metricTitle, name, perSecond, STATS_WITH_ANOMALIES, statusOf, TO
} from './sql.js'

const ROWS_MAX = 1000
/** The dashboard variable as an interval. */
// eslint-disable-next-line no-template-curly-in-string
const SILENT = '${silent:sqlstring}::interval'

type Metrics = readonly Metric[]

export function fleetBoard (metrics: Metrics): BoardBuilder {
  return board(
    'fleet',
    'All satellites: incoming points, silent satellites, and satellites whose latest values are out of limits.',
    'now-1h'
  )
    .withVariable(new dashboard.CustomVariableBuilder('silent').label('Silent after').description(
      'A satellite without points for this long counts as silent.'
    )
      .values('10s,30s,1m,5m,15m,1h,1d').current({ selected: true, text: '1m', value: '1m' }))
    .withPanel(pointsNow())
    .withPanel(heardNow())
    .withPanel(silentNow())
    .withPanel(outOfLimits(metrics))
    .withPanel(anomaliesNow())
    .withPanel(lastStored())
    .withPanel(points())
    .withPanel(heard())
    .withPanel(anomalies(metrics))
    .withPanel(latestValues(metrics))
    .withPanel(silentSatellites())
}

function pointsNow (): stat.PanelBuilder {
  return statPanel({
    id: 1,
    title: 'Points/s now',
    description: 'Points stored per second, over the last 10 to 20 seconds.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0'
  })
    .withTarget(sqlTarget('A', 'table', ingestNow(
      'Points/s now',
      "coalesce(sum(committed_points) FILTER (WHERE \"time\" > now() - interval '20 seconds') / nullif(sum(seconds) " +
        "FILTER (WHERE \"time\" > now() - interval '20 seconds'), 0), 0)"
    )))
}

function heardNow (): stat.PanelBuilder {
  return statPanel({
    id: 2,
    title: 'Satellites heard now',
    description: 'Satellites with a point within the time selected above.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0'
  })
    .withTarget(sqlTarget(
      'A',
      'table',
      `SELECT count(*) AS "Satellites heard now" FROM satellites_latest WHERE "time" > now() - ${SILENT}`
    ))
}

function silentNow (): stat.PanelBuilder {
  return statPanel({
    id: 3,
    title: 'Silent now',
    description: 'Known satellites without a point for the time selected above; listed in the table below.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0',
    scale: { warning: 1 }
  })
    .withTarget(sqlTarget(
      'A',
      'table',
      `SELECT count(*) AS "Silent now" FROM satellites_latest WHERE "time" <= now() - ${SILENT}`
    ))
}

function outOfLimits (metrics: Metrics): stat.PanelBuilder {
  const broken = metrics
    .map((metric, index) => `(${statusOf(metric, `value_${index}`, `(limits_${index})`)}) IN ('warning', 'critical')`)
    .join(' OR ')
  return statPanel({
    id: 4,
    title: 'Out of limits now',
    description:
      'Satellites whose latest point has a value beyond a current limit, including those that went silent since.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0',
    scale: { critical: 1 }
  })
    .withTarget(sqlTarget('A', 'table', `
      WITH ${latestWithLimits(metrics)}
      SELECT count(*) FILTER (WHERE ${broken}) AS "Out of limits now" FROM judged`))
}

function anomaliesNow (): stat.PanelBuilder {
  return statPanel({
    id: 5,
    title: 'Anomalies/s',
    description: 'Values beyond a limit per second, over the last minute.',
    width: 4,
    height: 4,
    unit: 'short',
    decimals: 1,
    none: '0',
    scale: { critical: 0.001 }
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT coalesce(sum(kind.count), 0)::double precision / 60 AS "Anomalies/s"
      FROM ${STATS_WITH_ANOMALIES} WHERE stats."time" > now() - interval '1 minute'`))
}

function lastStored (): stat.PanelBuilder {
  return statPanel({
    id: 6,
    title: 'Last point stored',
    description: 'Time since points were last stored. Grows while no points arrive or database writes are failing: ' +
      'see Ingest.',
    width: 4,
    height: 4,
    unit: 's',
    decimals: 0,
    scale: { warning: 10, critical: 60 }
  })
    .withTarget(sqlTarget('A', 'table', 'SELECT extract(epoch FROM now() - max(updated_at))::double precision AS ' +
      '"Last point stored" FROM ingest_ledger WHERE rows_total > 0'))
}

function points (): timeseries.PanelBuilder {
  return timePanel({
    id: 7,
    title: 'Points/s',
    description: 'Points accepted and points stored. Stored below accepted: the database is behind, and points are ' +
      'pending in the spool.',
    width: 8,
    height: 8,
    unit: 'short',
    interval: '10s',
    min: 0,
    legend: ['mean', 'max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'accepted', sql: perSecond('http_points + udp_points') },
      { title: 'stored', sql: perSecond('committed_points') }
    ])))
    .overrideByName('accepted', drawn(COLOUR.main))
    .overrideByName('stored', drawn(COLOUR.ok))
}

/** Server statistics are some seconds old, so the newest value is queried directly. */
function heard (): timeseries.PanelBuilder {
  return timePanel({
    id: 8,
    title: 'Satellites heard',
    description: 'Satellites with a point within ten seconds. A step down means that satellites went silent together.',
    width: 8,
    height: 8,
    unit: 'short',
    decimals: 0,
    interval: '10s',
    min: 0
  })
    .withTarget(sqlTarget('A', 'time_series', `
      SELECT bucket AS "time", max(heard)::double precision AS "satellites"
      FROM (
        SELECT ${bucket('"time"', 10)} AS bucket, satellites_heard AS heard
        FROM ingest_stats WHERE $__timeFilter("time")
        UNION ALL
        SELECT ${bucket('moment', 10)},
               (SELECT count(*) FROM satellites_latest WHERE "time" > now() - interval '10 seconds')
        FROM (SELECT now() AS moment) present WHERE moment - interval '10 seconds' < ${TO}
      ) known
      GROUP BY 1 ORDER BY 1`))
    .overrideByName('satellites', drawn(COLOUR.main))
}

/** Grouped by the lists of kinds, of which there are few, before unnesting them: half the time. */
function anomalies (metrics: Metrics): timeseries.PanelBuilder {
  // Positions in the lists of anomalies: each metric with each severity.
  const kinds = Array.from({ length: metrics.length * 2 }, (_, index) => index + 1)
  return timePanel({
    id: 9,
    title: 'Anomalies/s by metric and severity',
    description: 'Values beyond a limit, counted at ingest.',
    width: 8,
    height: 8,
    unit: 'short',
    interval: '10s',
    min: 0,
    bars: true,
    stacked: true,
    none: 'No anomalies in this time range'
  })
    .withTarget(sqlTarget('A', 'time_series', `
      WITH steps AS MATERIALIZED (
        SELECT ${bucket('"time"', 10)} AS bucket, instance, anomaly_kinds, sum(seconds) AS seconds,
               ARRAY[${kinds.map((kind) => `sum(anomaly_counts[${kind}])`).join(', ')}] AS counts
        FROM ingest_stats WHERE $__timeFilter("time") GROUP BY 1, 2, 3
      ), covered AS (
        SELECT bucket, max(seconds) AS seconds
        FROM (SELECT bucket, instance, sum(seconds) AS seconds FROM steps GROUP BY 1, 2) by_server GROUP BY 1
      )
      SELECT bucket AS "time",
             ${metricTitle(
               metrics, "split_part(kind.name, ' ', 1)")} || ', ' || split_part(kind.name, ' ', 2) AS metric,
             (sum(kind.count) / max(covered.seconds))::double precision AS value
      FROM steps CROSS JOIN LATERAL unnest(string_to_array(anomaly_kinds, ','), counts) kind (name, count)
        JOIN covered USING (bucket)
      WHERE kind.name IS NOT NULL GROUP BY bucket, kind.name
      ORDER BY 1`))
}

/**
 * `judged`: satellite_id, "time", and for each metric value_N with its limits as a row limits_N.
 * Limits are resolved once for all satellites.
 */
function latestWithLimits (metrics: Metrics): string {
  const values = metrics.map((metric, index) => `latest.${name(metric.name)} AS value_${index}, limits_${index}`)
  const joins = metrics.map((metric, index) => `LEFT JOIN bounds limits_${index} ON limits_${index}.satellite_id = ` +
    `latest.satellite_id AND limits_${index}.metric = '${metric.name}'`)
  return `latest AS MATERIALIZED (
      SELECT * FROM satellites_latest
    ), bounds AS MATERIALIZED (
      SELECT resolved.*
      FROM limits, orbitstream_limits_of(limits.limits, ARRAY(SELECT satellite_id FROM latest)) resolved
    ), judged AS (
      SELECT latest.satellite_id, latest."time", ${values.join(', ')}
      FROM latest ${joins.join(' ')}
    )`
}

function latestValues (metrics: Metrics): table.PanelBuilder {
  const statuses = metrics.map((_, index) => `status_${index}`)
  const columns = metrics.map((metric, index) =>
    `value_${index} AS ${name(metric.title)}, status_${index} AS ${name(`${metric.title} limits`)}`)
  const builder = tablePanel({
    id: 10,
    title: 'Latest values',
    description: `The latest point of each satellite, worst first, at most ${ROWS_MAX}. Colours show how values ` +
      'relate to the current limits of the satellite. Click a satellite to open its dashboard.',
    width: 16,
    height: 14,
    none: 'No satellite has sent a point'
  }).withTarget(sqlTarget('A', 'table', `
    WITH ${latestWithLimits(metrics)}, stated AS (
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
    LIMIT ${ROWS_MAX}`))
    .overrideByName('Satellite', satelliteColumn(180))
    .overrideByName('Last point', [
      property('unit', 's'), property('decimals', 0), property('custom.width', 110),
      property('description', 'Time since')
    ])
  for (const metric of metrics) {
    const look = hasStates(metric)
      ? [property('mappings', stateMappings(metric))]
      : [property('unit', unitOf(metric)), property('decimals', metric.type === 'int' ? 0 : 1)]
    builder.overrideByName(metric.title, look)
      .overrideByName(`${metric.title} limits`, statusColumn(110))
  }
  return builder
}

function silentSatellites (): table.PanelBuilder {
  return tablePanel({
    id: 11,
    title: 'Silent satellites',
    description: 'Known satellites without a point for the time selected above, longest first, at most 500.',
    width: 8,
    height: 14,
    none: 'No satellite is silent'
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT satellite_id AS "Satellite", "time" AS "Last point",
             extract(epoch FROM now() - "time")::double precision AS "Silent for"
      FROM satellites_latest WHERE "time" <= now() - ${SILENT} ORDER BY "time" LIMIT 500`))
    .overrideByName('Satellite', satelliteColumn(180))
    .overrideByName('Last point', [property('unit', 'dateTimeAsIso'), property('custom.width', 170)])
    .overrideByName('Silent for', [property('unit', 'dtdurations'), property('decimals', 0)])
}
