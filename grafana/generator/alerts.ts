/**
 * Alert rules, for Grafana's file provisioning. They query only the database, so they work without Prometheus.
 *
 * They contain no `$`: some versions of Grafana treat it as an environment variable. So times are relative to now(),
 * and messages use .Values and .Labels. Each query returns one number per row, with text columns as labels.
 */
import { UID } from './panels.js'
import { POSTGRES, sqlQuery } from './sources.js'
import { literal, STATS_WITH_ANOMALIES, titlesOf } from './sql.js'
import { tableOf, type Streams } from './streams.js'

interface Rule {
  readonly uid: string
  readonly title: string
  readonly sql: string
  readonly above: number
  readonly forTime: string
  readonly severity: 'critical' | 'warning'
  readonly summary: string
  readonly description: string
  readonly panel: { readonly dashboard: string, readonly id: number }
  /** State if the query returns no row, or fails. */
  readonly silence: 'Alerting' | 'OK'
}

const FOLDER = 'OrbitStream'

const RULES: readonly Rule[] = [
  {
    uid: 'orbitstream-no-points',
    title: 'No points for a minute',
    sql: `
      SELECT coalesce(extract(epoch FROM now() - max(updated_at)), 86400)::double precision AS seconds
      FROM ingest_ledger`,
    above: 60,
    forTime: '0s',
    severity: 'critical',
    summary: 'No points were stored for {{ humanizeDuration .Values.A.Value }}',
    description: 'No points arrive, no server is running, or database writes are failing. Check /health of the server.',
    panel: { dashboard: UID.fleet, id: 6 },
    silence: 'Alerting'
  },
  {
    uid: 'orbitstream-server-silent',
    title: 'A server does not report',
    // Only the last hour, so that a decommissioned server is forgotten. Without any there is no row, and the first rule
    // fires.
    sql: `
      SELECT instance, greatest(extract(epoch FROM now() - max("time")), 0)::double precision AS seconds
      FROM ingest_stats WHERE "time" > now() - interval '1 hour' GROUP BY instance`,
    above: 60,
    forTime: '30s',
    severity: 'warning',
    summary: 'Server {{ .Labels.instance }} has not reported for {{ humanizeDuration .Values.A.Value }}',
    description: 'It cannot reach the database, or is not running. Points it accepted are safe in its spool. Its ' +
      'name is in the file instance-id of its DATA_DIR, and before the / in the table of spools. A server that was ' +
      'shut down for good is forgotten after an hour.',
    panel: { dashboard: UID.ingest, id: 17 },
    silence: 'OK'
  },
  {
    uid: 'orbitstream-spool-grows',
    title: 'Spool is growing',
    sql: `
      SELECT CASE WHEN max(oldest) FILTER (WHERE bucket > now() - interval '1 minute') > 10
               THEN greatest(coalesce(regr_slope(bytes, extract(epoch FROM bucket)::double precision) * 60, 0), 0)
               ELSE 0 END::double precision AS bytes_a_minute
      FROM (
        SELECT time_bucket('10 seconds', "time") AS bucket, sum(spool_bytes)::double precision AS bytes,
               max(spool_oldest_seconds) AS oldest
        FROM ingest_stats WHERE "time" > now() - interval '5 minutes' GROUP BY 1
      ) steps`,
    above: 1_000_000,
    forTime: '1m',
    severity: 'warning',
    summary: 'Points pending on disk grow by {{ humanize .Values.A.Value }}B per minute',
    description:
      'The database is slower than ingest, or unavailable. Points are safe until SPOOL_MAX_BYTES is reached.',
    panel: { dashboard: UID.ingest, id: 11 },
    silence: 'OK'
  },
  {
    uid: 'orbitstream-udp-loss',
    title: 'UDP packets are lost',
    sql: `
      SELECT coalesce(100 * lost / nullif(lost + packets, 0), 0)::double precision AS percent
      FROM (
        SELECT sum(udp_packets) AS packets,
               greatest(sum(udp_missing_packets), sum(udp_kernel_drops)) + sum(udp_shed_packets) AS lost
        FROM ingest_stats WHERE "time" > now() - interval '5 minutes'
      ) sums`,
    above: 1,
    forTime: '1m',
    severity: 'warning',
    summary: '{{ humanize .Values.A.Value }}% of the UDP packets of the last five minutes were lost',
    description: 'See the panel for the cause, and /udp/senders for the senders.',
    panel: { dashboard: UID.ingest, id: 13 },
    silence: 'OK'
  }
]

function anomalyRate (streams: Streams): Rule {
  // Points are only counted for all streams together: with several, the rollups know them by stream.
  const isOne = streams.length === 1
  const metrics = titlesOf(streams).map(([name, title, stream]) => (
    `(${literal(name)}, ${literal(title)}${isOne ? '' : `, ${stream}`})`))
  const stored = isOne
    ? `CROSS JOIN (
          SELECT sum(committed_points) AS count FROM ingest_stats WHERE "time" > now() - interval '5 minutes'
        ) stored`
    : `JOIN (${streams.map((stream, index) => `
          SELECT ${index} AS stream, sum(points) AS count FROM ${tableOf(stream, 'telemetry_10s')}
          WHERE bucket > now() - interval '5 minutes' AND bucket <= now()`).join(' UNION ALL')}
        ) stored USING (stream)`
  return {
    uid: 'orbitstream-anomaly-rate',
    title: 'Many anomalies',
    sql: `
      SELECT catalogue.title AS metric,
             coalesce(100 * found.count / nullif(stored.count, 0), 0)::double precision AS percent
      FROM (VALUES ${metrics.join(', ')}) catalogue (name, title${isOne ? '' : ', stream'})
        ${stored}
        LEFT JOIN (
          SELECT split_part(kind.name, ' ', 1) AS name, sum(kind.count)::double precision AS count
          FROM ${STATS_WITH_ANOMALIES}
          WHERE stats."time" > now() - interval '5 minutes' GROUP BY 1
        ) found ON found.name = catalogue.name`,
    above: 1,
    forTime: '1m',
    severity: 'warning',
    summary: '{{ humanize .Values.A.Value }}% of points have {{ .Labels.metric }} beyond a limit',
    description: 'Over the last five minutes, warning and critical together. Either satellites have a problem, or a ' +
      'limit was changed.',
    panel: { dashboard: UID.fleet, id: 9 },
    silence: 'OK'
  }
}

/** The content of the alerting file. */
export function alertRules (streams: Streams): object {
  return {
    apiVersion: 1,
    groups: [{
      orgId: 1,
      name: 'OrbitStream',
      folder: FOLDER,
      interval: '10s',
      rules: [...RULES, anomalyRate(streams)].map(ruleOf)
    }]
  }
}

function ruleOf ({ uid, title, sql, above, forTime, severity, summary, description, panel, silence }: Rule): object {
  return {
    uid,
    title,
    condition: 'B',
    data: [
      {
        refId: 'A',
        relativeTimeRange: { from: 600, to: 0 },
        datasourceUid: POSTGRES.uid,
        model: sqlQuery('A', 'table', sql)
      },
      { refId: 'B', relativeTimeRange: { from: 600, to: 0 }, datasourceUid: '__expr__', model: threshold(above) }
    ],
    dashboardUid: panel.dashboard,
    panelId: panel.id,
    noDataState: silence,
    execErrState: silence === 'OK' ? 'Error' : silence,
    for: forTime,
    annotations: { summary, description, __dashboardUid__: panel.dashboard, __panelId__: String(panel.id) },
    labels: { severity },
    isPaused: false
  }
}

/** Grafana's expression: A is above a number. */
function threshold (above: number): object {
  return {
    refId: 'B',
    type: 'threshold',
    datasource: { type: '__expr__', uid: '__expr__' },
    expression: 'A',
    conditions: [{
      type: 'query',
      evaluator: { type: 'gt', params: [above] },
      operator: { type: 'and' },
      query: { params: ['B'] },
      reducer: { type: 'last', params: [] }
    }]
  }
}
