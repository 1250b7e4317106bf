/** Fleet: is everything fine, and if not, which satellites are affected? */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import type * as stat from '@grafana/grafana-foundation-sdk/stat'
import type * as table from '@grafana/grafana-foundation-sdk/table'
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import type { Stream } from '../../../protocol/catalogue.js'
import { board, type BoardBuilder } from '../boards.js'
import { latestValues, outOfLimitsCount } from '../latest.js'
import { COLOUR, drawn, property, satelliteColumn, statPanel, tablePanel, timePanel } from '../panels.js'
import { sqlTarget } from '../sources.js'
import { bucket, ingestNow, ingestOverTime, metricTitle, perSecond, STATS_WITH_ANOMALIES, TO } from '../sql.js'
import { heardIn, type Streams } from '../streams.js'

/** Ids of rows and panels of other streams: two for each, above those of the panels. */
const STREAM_PANEL = 100
/** Each is two aggregates of a query. */
const SUMMED_METRICS_MAX = 16
/** The dashboard variable as an interval. */
// eslint-disable-next-line no-template-curly-in-string
const SILENT = '${silent:sqlstring}::interval'

export function fleetBoard (streams: Streams): BoardBuilder {
  const [telemetry, ...others] = streams
  const builder = board('fleet', {
    description: 'All satellites: incoming points, silent satellites, and satellites whose latest values are out of ' +
      'limits.',
    from: 'now-1h',
    streams
  })
    .withVariable(new dashboard.CustomVariableBuilder('silent').label('Silent after').description(
      'A satellite without points for this long counts as silent.'
    )
      .values('10s,30s,1m,5m,15m,1h,1d').current({ selected: true, text: '1m', value: '1m' }))
    .withPanel(pointsNow())
    .withPanel(heardNow(streams))
    .withPanel(silentNow(streams))
    .withPanel(outOfLimits(streams))
    .withPanel(anomaliesNow())
    .withPanel(lastStored())
    .withPanel(points())
    .withPanel(heard(streams))
    .withPanel(anomalies(streams))
    .withPanel(latestValues(telemetry, { id: 10, title: 'Latest values', width: 16 }))
    .withPanel(silentSatellites(streams))
  for (const stream of others) builder.withRow(streamRow(stream))
  return builder
}

/** Closed at first: the table is only queried while it is seen. */
function streamRow (stream: Stream): dashboard.RowBuilder {
  const title = `Latest values: ${stream.title}`
  const id = STREAM_PANEL + 2 * stream.id
  return new dashboard.RowBuilder(title).id(id).withPanel(latestValues(stream, { id: id + 1, title, width: 24 }))
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

function heardNow (streams: Streams): stat.PanelBuilder {
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
      `SELECT count(*) AS "Satellites heard now" FROM ${heardIn(streams)} WHERE "time" > now() - ${SILENT}`
    ))
}

function silentNow (streams: Streams): stat.PanelBuilder {
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
      `SELECT count(*) AS "Silent now" FROM ${heardIn(streams)} WHERE "time" <= now() - ${SILENT}`
    ))
}

function outOfLimits (streams: Streams): stat.PanelBuilder {
  const title = 'Out of limits now'
  return statPanel({
    id: 4,
    title,
    description:
      'Satellites whose latest point has a value beyond a current limit, including those that went silent since.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0',
    scale: { critical: 1 }
  })
    .withTarget(sqlTarget('A', 'table', outOfLimitsCount(streams, title)))
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
function heard (streams: Streams): timeseries.PanelBuilder {
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
               (SELECT count(*) FROM ${heardIn(streams)} WHERE "time" > now() - interval '10 seconds')
        FROM (SELECT now() AS moment) present WHERE moment - interval '10 seconds' < ${TO}
      ) known
      GROUP BY 1 ORDER BY 1`))
    .overrideByName('satellites', drawn(COLOUR.main))
}

function anomalies (streams: Streams): timeseries.PanelBuilder {
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
        ${anomalySteps(streams)}
      ), covered AS (
        SELECT bucket, max(seconds) AS seconds
        FROM (SELECT bucket, instance, sum(seconds) AS seconds FROM steps GROUP BY 1, 2) by_server GROUP BY 1
      )
      SELECT bucket AS "time",
             ${metricTitle(
               streams, "split_part(kind.name, ' ', 1)")} || ', ' || split_part(kind.name, ' ', 2) AS metric,
             (sum(kind.count) / max(covered.seconds))::double precision AS value
      FROM steps CROSS JOIN LATERAL unnest(string_to_array(anomaly_kinds, ','), counts) kind (name, count)
        JOIN covered USING (bucket)
      WHERE kind.name IS NOT NULL GROUP BY bucket, kind.name
      ORDER BY 1`))
}

/**
 * Seconds and anomalies by bucket, server and list of kinds. The lists, of which there are few, are summed before they
 * are unnested, which takes half the time; a list of very many metrics is not, since each place in it is an aggregate.
 */
function anomalySteps (streams: Streams): string {
  const metrics = streams.reduce((sum, { live }) => sum + live.length, 0)
  if (metrics > SUMMED_METRICS_MAX) {
    return `SELECT ${bucket('"time"', 10)} AS bucket, instance, anomaly_kinds, seconds, anomaly_counts AS counts
        FROM ingest_stats WHERE $__timeFilter("time")`
  }
  // Places in the lists: each metric with each severity.
  const places = Array.from({ length: metrics * 2 }, (_, index) => index + 1)
  return `SELECT ${bucket('"time"', 10)} AS bucket, instance, anomaly_kinds, sum(seconds) AS seconds,
               ARRAY[${places.map((place) => `sum(anomaly_counts[${place}])`).join(', ')}] AS counts
        FROM ingest_stats WHERE $__timeFilter("time") GROUP BY 1, 2, 3`
}

function silentSatellites (streams: Streams): table.PanelBuilder {
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
      FROM ${heardIn(streams)} WHERE "time" <= now() - ${SILENT} ORDER BY "time" LIMIT 500`))
    .overrideByName('Satellite', satelliteColumn(180))
    .overrideByName('Last point', [property('unit', 'dateTimeAsIso'), property('custom.width', 170)])
    .overrideByName('Silent for', [property('unit', 'dtdurations'), property('decimals', 0)])
}
