/** Satellite: the points of one satellite, compared with its limits. */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import type * as stat from '@grafana/grafana-foundation-sdk/stat'
import type * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline'
import type * as table from '@grafana/grafana-foundation-sdk/table'
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { TELEMETRY, type Metric, type Stream } from '../../../protocol/catalogue.js'
import { annotation, board, type BoardBuilder } from '../boards.js'
import {
  COLOUR, drawn, property, statePanel, statPanel, statusColumn, tablePanel, timePanel, unitOf
} from '../panels.js'
import { POSTGRES, sqlTarget, tidy } from '../sources.js'
import {
  bucket, FROM, hasStates, inRangeIf, literal, metricTitle, name, RANGE, rolled, SATELLITE, stateJson, stateStatus,
  status, TO
} from '../sql.js'
import { heardIn, tableOf, type Streams } from '../streams.js'

/**
 * Up to this, every point is shown, with some slack for "the last five minutes"; then steps of ten seconds; then
 * minutes.
 */
const RAW_MAX = "interval '330 seconds'"
const TEN_SECONDS_MAX = "interval '6 hours'"
const LIMIT_LINES = [
  { title: 'high critical', column: 'high_critical', colour: COLOUR.critical },
  { title: 'high warning', column: 'high_warning', colour: COLOUR.warning },
  { title: 'low warning', column: 'low_warning', colour: COLOUR.warning },
  { title: 'low critical', column: 'low_critical', colour: COLOUR.critical }
] as const
/** Limit changes in one time range whose lines are drawn. */
const LIMIT_CHANGES_MAX = 20
const ANOMALIES_MAX = 10_000
/** Panel ids, which links contain: metrics have 10 to 29, and 1,000 and more if there are more. */
const ANOMALIES_PANEL = 30
const panelOf = (metric: number): number => metric < 20 ? 10 + metric : 1_000 + metric
/** Five minutes at 1,000 points/s. Grafana truncates after a million rows, which would drop the newest ones. */
const POINTS_MAX = 300_000

/** The name of the state that an anomaly is about. */
const STATE_COLUMN = '(SELECT s.name FROM metric_states s WHERE s.metric = anomalies.metric AND s.value = ' +
  'anomalies.value AND anomalies.side IN (\'state\', \'change\')) AS "State", '

/** A stream, and whether its anomalies are among those of others. */
interface Shown { readonly stream: Stream, readonly isOneOfMany: boolean }

export function satelliteBoard (stream: Stream, streams: Streams): BoardBuilder {
  const shown = { stream, isOneOfMany: streams.length > 1 }
  const builder = board('satellite', {
    description: 'One satellite: each metric with its limits and anomalies. Every point up to five ' +
      'minutes; above that, averages between minimum and maximum.',
    from: 'now-5m',
    streams,
    stream
  })
    .withVariable(satelliteVariable(streams))
    .annotation(annotation('Anomalies', COLOUR.critical, anomalyRuns(shown)))
    .withPanel(lastPoint(stream))
    .withPanel(rate(stream))
    .withPanel(now(stream))
  for (const [index, metric] of stream.live.entries()) {
    const id = panelOf(index)
    builder.withPanel(hasStates(metric) ? stateTimeline(stream, metric, id) : metricPanel(stream, metric, id))
  }
  return builder.withPanel(anomalies(shown))
}

/** The anomalies of the stream's metrics, whose names alone say which stream they are of. */
function isOfStream ({ stream: { name }, isOneOfMany }: Shown): string {
  if (!isOneOfMany) return ''
  return name === TELEMETRY ? " AND strpos(metric, '.') = 0" : ` AND starts_with(metric, '${name}.')`
}

/**
 * The search text has a trailing % up to Grafana 12.3; from 12.4 on it does not, and while it is empty the variable's
 * name stays.
 */
function satelliteVariable (streams: Streams): dashboard.QueryVariableBuilder {
  const sql = tidy(`
    SELECT satellite_id FROM ${heardIn(streams)}
    WHERE satellite_id ILIKE '%' || coalesce(nullif('$__searchFilter', '$' || '__searchFilter'), '') || '%'
    ORDER BY 1 LIMIT 1000`)
  return new dashboard.QueryVariableBuilder('satellite').label('Satellite').description(
    'Type part of a name to search; at most 1,000 are listed.'
  )
    .datasource(POSTGRES).query(sql).definition(sql).refresh(dashboard.VariableRefresh.OnDashboardLoad).sort(
      dashboard.VariableSort.Disabled
    )
}

function lastPoint (stream: Stream): stat.PanelBuilder {
  return statPanel({
    id: 1,
    title: 'Last point',
    description: 'Age of this satellite\'s newest point, by its timestamp.',
    width: 4,
    height: 6,
    unit: 's',
    decimals: 0,
    none: 'Never heard',
    scale: { warning: 60, critical: 600 }
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT extract(epoch FROM now() - "time")::double precision AS "Last point"
      FROM ${tableOf(stream, 'satellites_latest')} WHERE satellite_id = ${SATELLITE}`))
}

function rate (stream: Stream): stat.PanelBuilder {
  return statPanel({
    id: 2,
    title: 'Points/s',
    description: 'Points of this satellite per second, over the last minute.',
    width: 4,
    height: 6,
    unit: 'short',
    decimals: 1,
    none: '0'
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT count(*)::double precision / 60 AS "Points/s" FROM ${tableOf(stream, 'telemetry')}
      WHERE satellite_id = ${SATELLITE} AND "time" > now() - interval '1 minute' AND "time" <= now()`))
}

function now (stream: Stream): table.PanelBuilder {
  const metrics = stream.live
  // Numbers and states have columns of their own; without states there is no column for them.
  const withStates = metrics.some(hasStates)
  const cast = metrics.every(({ type }) => type === 'float') ? '' : '::double precision'
  const latestOf = (metric: Metric): string => `(SELECT ${name(metric.name)} FROM latest)`
  const valuesOf = (metric: Metric): string[] => {
    const value = hasStates(metric) ? 'NULL::double precision' : `${latestOf(metric)}${cast}`
    if (!withStates) return [value]
    return [value, hasStates(metric) ? stateJson(metric, latestOf(metric)) : 'NULL::jsonb']
  }
  const rows = metrics.map((metric, index) => `(${index}, ${literal(stream.qualify(metric.name))}, ` +
    `${literal(metric.title)}, ${literal(metric.unit)}, ${valuesOf(metric).join(', ')})`)
  const judged = withStates
    ? `CASE WHEN state IS NULL THEN ${status('value', 'bounds')} ELSE ${stateStatus('state', 'bounds')} END`
    : status('value', 'bounds')
  return tablePanel({
    id: 3,
    title: 'Now',
    description:
      'The latest point, and the current limits of this satellite: the default, or the most specific override.',
    width: 16,
    height: 6,
    decimals: 2,
    none: 'Select a satellite'
  })
    .withTarget(sqlTarget('A', 'table', `
      WITH latest AS MATERIALIZED (
        SELECT * FROM ${tableOf(stream, 'satellites_latest')} WHERE satellite_id = ${SATELLITE}
      ), bounds AS (
        SELECT resolved.* FROM limits, orbitstream_limits_of(limits.limits, ARRAY[${SATELLITE}]) resolved
      )
      SELECT title AS "Metric", value AS "Value", ${withStates ? 'state #>> \'{}\' AS "State", ' : ''}` +
      `unit AS "Unit", ${judged} AS "Limits",
             ${LIMIT_LINES.toReversed().map(({ title, column }) => `${column} AS ${name(title)}`).join(', ')}
      FROM (VALUES ${rows.join(', ')}) metric (place, name, title, unit, value${withStates ? ', state' : ''})
        LEFT JOIN bounds ON bounds.metric = metric.name
      ORDER BY place`))
    .overrideByName('Limits', statusColumn(110))
    .overrideByName('Unit', [property('custom.width', 80)])
    .overrideByRegexp('/^(low|high) /', [property('noValue', 'none')])
}

/** The same steps as for numbers; in the wider ones the latest value of each. */
function stateTimeline (stream: Stream, metric: Metric, id: number): statetimeline.PanelBuilder {
  const last = rolled(metric, 'last')
  const numberOf = (value: string): string => metric.type === 'bool' ? `${value}::integer` : value
  return statePanel({
    id,
    title: metric.title,
    description: `Up to five minutes: every point, at most the newest ${POINTS_MAX.toLocaleString('en')}. Above: the ` +
      'latest of each ten seconds up to six hours, of each minute or more beyond.',
    width: 24,
    height: 4,
    interval: '1s',
    none: 'No points of this satellite in this time range',
    metric
  }).withTarget(sqlTarget('A', 'time_series', `
    SELECT "time", ${literal(metric.title)} AS metric, ${numberOf('value')} AS value
    FROM ${newestOf(stream, metric)}
    UNION ALL
    SELECT bucket, ${literal(metric.title)}, ${numberOf(last)}
    FROM ${tableOf(stream, 'telemetry_10s')}
    WHERE satellite_id = ${SATELLITE}
        AND ${inRangeIf(`${RANGE} > ${RAW_MAX} AND ${RANGE} <= ${TEN_SECONDS_MAX}`, 'bucket')}
        AND ${last} IS NOT NULL
    UNION ALL
    SELECT ${bucket('bucket', 60)}, ${literal(metric.title)},
      ${numberOf(`(array_agg(${last} ORDER BY bucket DESC))[1]`)}
    FROM ${tableOf(stream, 'telemetry_1m')}
    WHERE satellite_id = ${SATELLITE}
        AND ${inRangeIf(`${RANGE} > ${TEN_SECONDS_MAX}`, 'bucket')}
        AND ${last} IS NOT NULL GROUP BY 1
    ORDER BY 1`))
}

function metricPanel (stream: Stream, metric: Metric, id: number): timeseries.PanelBuilder {
  const builder = timePanel({
    id,
    title: metric.title,
    description: `Up to five minutes: every point, at most the newest ${POINTS_MAX.toLocaleString('en')}. Above: the ` +
      'average, in a band from minimum to maximum, per ten seconds up to six hours, per minute or more beyond. ' +
      'Dashed: the limits of this satellite, including earlier versions.',
    width: 24,
    height: 8,
    unit: unitOf(metric),
    interval: '1s',
    legend: ['min', 'mean', 'max', 'lastNotNull'],
    none: 'No points of this satellite in this time range'
  })
    .withTarget(sqlTarget('A', 'time_series', valuesOf(stream, metric)))
    .withTarget(sqlTarget('B', 'time_series', limitLinesOf(stream.qualify(metric.name))))
    .overrideByName('value', [...drawn(COLOUR.main, ['fillOpacity', 0], ['showPoints', 'auto'], ['pointSize', 3])])
    .overrideByName('average', drawn(COLOUR.main, ['fillOpacity', 0], ['lineWidth', 2]))
    .overrideByName('least', drawn(COLOUR.band, ['fillOpacity', 0], ['lineWidth', 0]))
    .overrideByName('greatest', drawn(COLOUR.band, ['fillOpacity', 25], ['lineWidth', 0], ['fillBelowTo', 'least']))
  for (const { title, colour } of LIMIT_LINES) {
    builder.overrideByName(title, drawn(colour, ['fillOpacity', 0], ['lineWidth', 1], [
      'lineStyle',
      { fill: 'dash', dash: [10, 8] }
    ]))
  }
  return builder
}

/** Points of a range that is short enough to show them. */
const newestOf = (stream: Stream, metric: Metric): string => `(
      SELECT "time", ${name(metric.name)} AS value FROM ${tableOf(stream, 'telemetry')}
      WHERE satellite_id = ${SATELLITE}
        AND ${inRangeIf(`${RANGE} <= ${RAW_MAX}`, '"time"')}
        AND ${name(metric.name)} IS NOT NULL
      ORDER BY "time" DESC LIMIT ${POINTS_MAX}
    ) newest`

/** Three parts; the length of the time range selects the one that returns rows. */
function valuesOf (stream: Stream, metric: Metric): string {
  const [count, min, max, avg] = (['count', 'min', 'max', 'avg'] as const).map((aggregate) => rolled(metric, aggregate))
  const series = (values: string): string => `CROSS JOIN LATERAL (VALUES ${values}) series (metric, value)`
  return `
    SELECT "time", 'value' AS metric, value
    FROM ${newestOf(stream, metric)}
    UNION ALL
    SELECT bucket, series.metric, series.value
    FROM ${tableOf(stream, 'telemetry_10s')} ${series(`('average', ${avg}), ('least', ${min}), ('greatest', ${max})`)}
    WHERE satellite_id = ${SATELLITE}
        AND ${inRangeIf(`${RANGE} > ${RAW_MAX} AND ${RANGE} <= ${TEN_SECONDS_MAX}`, 'bucket')}
        AND ${count} > 0
    UNION ALL
    SELECT wide.bucket, series.metric, series.value
    FROM (
      SELECT ${bucket('bucket', 60)} AS bucket, sum(${avg} * ${count}) / sum(${count})::double precision AS average,
             min(${min}) AS least, max(${max}) AS greatest
      FROM ${tableOf(stream, 'telemetry_1m')}
      WHERE satellite_id = ${SATELLITE}
        AND ${inRangeIf(`${RANGE} > ${TEN_SECONDS_MAX}`, 'bucket')}
        AND ${count} > 0 GROUP BY 1
    ) wide ${series("('average', average), ('least', least), ('greatest', greatest)")}
    ORDER BY 1`
}

/** A line for each limit, from start to end of the time that its set was in force. */
function limitLinesOf (metric: string): string {
  return `
    WITH counted AS (
      SELECT greatest(changed_at, ${FROM}) AS begins,
             lead(changed_at - interval '1 millisecond', 1, ${TO}) OVER (ORDER BY version) AS ends, limits
      FROM (
        SELECT * FROM limits_history
        WHERE changed_at <= ${TO}
          AND version >= coalesce((SELECT max(version) FROM limits_history WHERE changed_at <= ${FROM}), 0)
        ORDER BY version DESC LIMIT ${LIMIT_CHANGES_MAX}
      ) newest
    )
    SELECT edge AS "time", line.title AS metric, line.value
    FROM counted
      CROSS JOIN LATERAL orbitstream_limits_of(limits, ARRAY[${SATELLITE}]) bounds
      CROSS JOIN LATERAL (VALUES ${LIMIT_LINES
        .map(({ title, column }) => `(${literal(title)}, bounds.${column})`)
        .join(', ')}) line (title, value)
      CROSS JOIN LATERAL (VALUES (begins), (ends)) edges (edge)
    WHERE bounds.metric = ${literal(metric)} AND line.value IS NOT NULL
    ORDER BY 1`
}

/** Closely spaced anomalies of one kind are merged: within a hundredth of the time range, at least ten seconds. */
function anomalyRuns (shown: Shown): string {
  const { stream } = shown
  const inRange = `$__timeFilter("time")${isOfStream(shown)}`
  const limit = stream.live.some(hasStates)
    ? "CASE WHEN side IN ('state', 'change') THEN coalesce((SELECT name FROM metric_states s " +
      'WHERE s.metric = numbered.metric AND s.value = limit_value), limit_value::text) ELSE limit_value::text END'
    : 'limit_value'
  return `
    SELECT min("time") AS "time", max("time") AS timeend,
           format('%s %s %s: %s, %s points', ${metricTitle([stream], 'metric')},
             CASE side WHEN 'low' THEN 'below' WHEN 'high' THEN 'above' WHEN 'range_low' THEN 'not valid, below'
               WHEN 'range_high' THEN 'not valid, above' WHEN 'change' THEN 'was' ELSE 'is' END, ${limit},
             CASE WHEN side IN ('low', 'range_low') THEN min(value) ELSE max(value) END, count(*)) AS text,
           severity AS tags
    FROM (
      SELECT *, sum(starts) OVER (PARTITION BY metric, severity, side, limit_value ORDER BY "time") AS run
      FROM (
        SELECT *,
               CASE WHEN "time" - lag("time") OVER (PARTITION BY metric, severity, side, limit_value ORDER BY "time")
                         < greatest(interval '10 seconds', ${RANGE} / 100) THEN 0 ELSE 1 END AS starts
        FROM (
          SELECT "time", metric, value, limit_value, severity, side FROM anomalies
          WHERE satellite_id = ${SATELLITE} AND ${inRange} ORDER BY "time" DESC LIMIT ${ANOMALIES_MAX}
        ) newest
      ) marked
    ) numbered
    GROUP BY metric, severity, side, limit_value, run ORDER BY 1`
}

function anomalies (shown: Shown): table.PanelBuilder {
  const { stream } = shown
  const inRange = `$__timeFilter("time")${isOfStream(shown)}`
  return tablePanel({
    id: ANOMALIES_PANEL,
    title: 'Anomalies',
    description:
      'Values beyond a limit, or outside their valid range (sides "range_low" and "range_high"), newest first, at ' +
      'most 500. "Version" is that of the limits they were checked against. The limit of a change is the value ' +
      'before it.',
    width: 24,
    height: 9,
    none: 'No anomalies in this time range'
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT "time" AS "Time", ${metricTitle([stream], 'metric')} AS "Metric", value AS "Value", side AS "Side",
             ${stream.live.some(hasStates) ? STATE_COLUMN : ''}limit_value AS "Limit", severity AS "Severity",
             limits_version AS "Version"
      FROM anomalies WHERE satellite_id = ${SATELLITE} AND ${inRange} ORDER BY "time" DESC LIMIT 500`))
    .overrideByName('Time', [property('unit', 'dateTimeAsIso')])
    .overrideByName('Severity', statusColumn(110))
    .overrideByRegexp('/^(Value|Limit)$/', [property('decimals', 2)])
}
