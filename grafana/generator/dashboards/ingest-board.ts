/** Ingest: does the server keep up, what does it refuse, and where does the time go? */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import type * as stat from '@grafana/grafana-foundation-sdk/stat'
import type * as table from '@grafana/grafana-foundation-sdk/table'
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { board, type BoardBuilder } from '../boards.js'
import { COLOUR, drawn, property, statPanel, tablePanel, timePanel } from '../panels.js'
import { prometheusPanels } from './prometheus.js'
import { sqlTarget } from '../sources.js'
import { ingestNow, ingestOverTime, perSecond } from '../sql.js'
import type { Streams } from '../streams.js'

const LATEST = (column: string): string => `(array_agg(${column} ORDER BY "time" DESC))[1]`

export function ingestBoard (streams: Streams): BoardBuilder {
  return board('ingest', {
    description: 'The server: rates, latencies, batches, the spool, UDP losses, the database. From the table ' +
      'ingest_stats, with a row per ten seconds; the last section from Prometheus, if available.',
    from: 'now-1h',
    streams
  })
    .withPanel(acceptedNow())
    .withPanel(storedNow())
    .withPanel(latencyNow())
    .withPanel(spoolNow())
    .withPanel(oldestNow())
    .withPanel(workersNow())
    .withPanel(rates())
    .withPanel(refused())
    .withPanel(latency())
    .withPanel(batches())
    .withPanel(spoolBytes())
    .withPanel(spoolAge())
    .withPanel(udpLoss())
    .withPanel(databaseTime())
    .withPanel(transactions())
    .withPanel(workers())
    .withPanel(spools())
    .withPanel(quarantine())
    .withRow(prometheusRow())
}

function prometheusRow (): dashboard.RowBuilder {
  const row = new dashboard.RowBuilder(
    'From Prometheus: per worker, and finer than ten seconds (compose profile "monitoring")'
  ).id(100).collapsed(true)
  for (const panel of prometheusPanels()) row.withPanel(panel)
  return row
}

function acceptedNow (): stat.PanelBuilder {
  return statPanel({
    id: 1,
    title: 'Accepted',
    description: 'Points accepted per second, over the last 10 to 20 seconds.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0'
  })
    .withTarget(sqlTarget('A', 'table', ingestNow('Accepted', recentRate('http_points + udp_points'))))
}

function storedNow (): stat.PanelBuilder {
  return statPanel({
    id: 2,
    title: 'Stored',
    description: 'Points stored in the database per second, over the last 10 to 20 seconds.',
    width: 4,
    height: 4,
    unit: 'short',
    none: '0'
  })
    .withTarget(sqlTarget('A', 'table', ingestNow('Stored', recentRate('committed_points'))))
}

function recentRate (column: string): string {
  const recent = "FILTER (WHERE \"time\" > now() - interval '20 seconds')"
  return `coalesce(sum(${column}) ${recent} / nullif(sum(seconds) ${recent}, 0), 0)`
}

function latencyNow (): stat.PanelBuilder {
  return statPanel({
    id: 3,
    title: 'Time to 202 (p99)',
    description:
      'From a request to its response: 99 of 100 were faster, in the slowest ten seconds of the last minute.',
    width: 4,
    height: 4,
    unit: 's',
    none: 'No requests',
    scale: { warning: 0.1, critical: 1 }
  })
    .withTarget(sqlTarget('A', 'table', 'SELECT max(ack_p99_seconds) AS "Time to 202 (p99)" FROM ingest_stats WHERE ' +
      '"time" > now() - interval \'1 minute\''))
}

function spoolNow (): stat.PanelBuilder {
  return statPanel({
    id: 4,
    title: 'Pending on disk now',
    description: 'Acknowledged points that are not stored yet. Some are normal; growth means that the database is ' +
      'unavailable or behind.',
    width: 4,
    height: 4,
    unit: 'decbytes',
    none: '0',
    scale: { warning: 100e6, critical: 1e9 }
  })
    .withTarget(sqlTarget('A', 'table', ingestNow('Pending on disk now', LATEST('spool_bytes'))))
}

function oldestNow (): stat.PanelBuilder {
  return statPanel({
    id: 5,
    title: 'Oldest pending',
    description: 'Age of the oldest points that are not stored yet.',
    width: 4,
    height: 4,
    unit: 's',
    decimals: 1,
    none: '0',
    scale: { warning: 10, critical: 60 }
  })
    .withTarget(sqlTarget('A', 'table', ingestNow('Oldest pending', LATEST('spool_oldest_seconds'), 'max')))
}

function workersNow (): stat.PanelBuilder {
  return statPanel({
    id: 6,
    title: 'Workers ready',
    description: 'Running workers of all servers that reported within a minute. 0: no server is running, or none can ' +
      'reach the database.',
    width: 4,
    height: 4,
    none: '0'
  })
    .withTarget(sqlTarget('A', 'table', ingestNow('Workers ready', LATEST('workers_ready'))))
}

function rates (): timeseries.PanelBuilder {
  return timePanel({
    id: 7,
    title: 'Points/s by transport',
    description: 'Points accepted, by transport, and points stored. Stored below the sum of the others: the database ' +
      'is behind.',
    width: 12,
    height: 8,
    unit: 'short',
    interval: '10s',
    min: 0,
    legend: ['mean', 'max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'HTTP', sql: perSecond('http_points') },
      { title: 'UDP', sql: perSecond('udp_points') },
      { title: 'stored', sql: perSecond('committed_points') }
    ])))
    .overrideByName('stored', drawn(COLOUR.ok, ['fillOpacity', 0]))
}

function refused (): timeseries.PanelBuilder {
  return timePanel({
    id: 8,
    title: 'Points/s not stored, by cause',
    description: 'Rejected: invalid, and the sender was told. Shed: buffers were full; HTTP senders were told to ' +
      'retry, UDP packets are lost. Quarantined: PostgreSQL refused them, see the table below. Denied requests: for ' +
      'their token or rate, before their points were counted.',
    width: 12,
    height: 8,
    unit: 'short',
    interval: '10s',
    min: 0,
    bars: true,
    stacked: true,
    legend: ['mean', 'max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'rejected', sql: perSecond('rejected_points') },
      { title: 'shed', sql: perSecond('shed_points') },
      { title: 'quarantined', sql: perSecond('quarantined_points') },
      { title: 'denied requests', sql: perSecond('http_denied_requests') }
    ])))
    .overrideByName('rejected', drawn(COLOUR.warning))
    .overrideByName('shed', drawn(COLOUR.critical))
    .overrideByName('quarantined', drawn('purple'))
}

function latency (): timeseries.PanelBuilder {
  return timePanel({
    id: 9,
    title: 'Response time',
    description: 'From a request to its 202. Half are faster than p50, 99 of 100 faster than p99; over longer ranges ' +
      'the mean of p50 and the worst p99 of ten seconds.',
    width: 12,
    height: 8,
    unit: 's',
    interval: '10s',
    min: 0,
    legend: ['mean', 'max', 'lastNotNull'],
    none: 'No requests in this time range'
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'p50', sql: 'sum(ack_p50_seconds * requests) / nullif(sum(requests), 0)', of: 'max' },
      { title: 'p99', sql: 'max(ack_p99_seconds)', of: 'max' }
    ])))
}

function batches (): timeseries.PanelBuilder {
  return timePanel({
    id: 10,
    title: 'Points per batch and transaction',
    description: 'A batch is made durable on disk as a unit, a transaction is stored as a unit. Both grow ' +
      'automatically under load; a transaction contains several batches when the database is behind.',
    width: 12,
    height: 8,
    unit: 'short',
    interval: '10s',
    min: 0,
    legend: ['mean', 'max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'in a batch', sql: 'sum(batch_points) / nullif(sum(batches), 0)', of: 'max' },
      { title: 'in a transaction', sql: 'sum(transaction_points) / nullif(sum(transactions), 0)', of: 'max' }
    ])))
}

function spoolBytes (): timeseries.PanelBuilder {
  return timePanel({
    id: 11,
    title: 'Pending on disk',
    description: 'The spool: acknowledged points that are not stored yet. At SPOOL_MAX_BYTES points are refused.',
    width: 12,
    height: 8,
    unit: 'decbytes',
    interval: '10s',
    min: 0,
    legend: ['max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([{ title: 'spool', sql: 'max(spool_bytes)' }])))
    .overrideByName('spool', drawn(COLOUR.main, ['fillOpacity', 20]))
}

function spoolAge (): timeseries.PanelBuilder {
  return timePanel({
    id: 12,
    title: 'Age of the oldest pending points',
    description: 'How far the database is behind. Normally below a second.',
    width: 12,
    height: 8,
    unit: 's',
    interval: '10s',
    min: 0,
    legend: ['max', 'lastNotNull']
  })
    .withTarget(
      sqlTarget('A', 'time_series', ingestOverTime([{ title: 'oldest', sql: 'max(spool_oldest_seconds)', of: 'max' }]))
    )
    .overrideByName('oldest', drawn(COLOUR.main, ['fillOpacity', 20]))
}

function udpLoss (): timeseries.PanelBuilder {
  return timePanel({
    id: 13,
    title: 'UDP packets/s lost or refused, by cause',
    description: 'Missing: never arrived, by sender sequence numbers; includes kernel drops. Kernel drops: packets ' +
      'arrived faster than they were read; a larger UDP_RECEIVE_BUFFER or a second port helps. Shed: buffers were ' +
      'full. Malformed, duplicate and stale packets were refused. Denied: the key was missing or wrong, or does not ' +
      'allow the sender or the satellite.',
    width: 12,
    height: 8,
    unit: 'pps',
    interval: '10s',
    min: 0,
    bars: true,
    legend: ['mean', 'max', 'lastNotNull'],
    none: 'No server reported'
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'missing', sql: 'greatest(sum(udp_missing_packets), 0) / sum(seconds)' },
      { title: 'dropped by the kernel', sql: perSecond('udp_kernel_drops') },
      { title: 'shed', sql: perSecond('udp_shed_packets') },
      { title: 'malformed', sql: perSecond('udp_malformed_packets') },
      { title: 'duplicate', sql: perSecond('udp_duplicate_packets') },
      { title: 'stale', sql: perSecond('udp_stale_packets') },
      { title: 'denied', sql: perSecond('udp_denied_packets') }
    ])))
}

function databaseTime (): timeseries.PanelBuilder {
  return timePanel({
    id: 14,
    title: 'Transaction time',
    description: 'How long the database takes to store one transaction.',
    width: 12,
    height: 8,
    unit: 's',
    interval: '10s',
    min: 0,
    legend: ['mean', 'max', 'lastNotNull'],
    none: 'Nothing was stored in this time range'
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'mean', sql: 'sum(transaction_seconds) / nullif(sum(transactions), 0)', of: 'max' },
      { title: 'p99', sql: 'max(transaction_p99_seconds)', of: 'max' }
    ])))
}

function transactions (): timeseries.PanelBuilder {
  return timePanel({
    id: 15,
    title: 'Storing connections',
    description: 'Time spent in transactions per second: 1 is one worker that stores without a pause. Near the ' +
      'number of workers, the database is the bottleneck. Retries: transactions that were retried.',
    width: 12,
    height: 8,
    unit: 'short',
    decimals: 2,
    interval: '10s',
    min: 0,
    legend: ['mean', 'max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'storing', sql: perSecond('transaction_seconds') },
      { title: 'retries/s', sql: perSecond('database_retries') }
    ])))
    .overrideByName('retries/s', drawn(COLOUR.critical))
}

function workers (): timeseries.PanelBuilder {
  return timePanel({
    id: 16,
    title: 'Workers',
    description: 'Running workers, and workers that died and were replaced. Restarts lose no acknowledged points; ' +
      'the log says why they died.',
    width: 12,
    height: 8,
    decimals: 0,
    interval: '10s',
    min: 0,
    legend: ['min', 'max', 'lastNotNull']
  })
    .withTarget(sqlTarget('A', 'time_series', ingestOverTime([
      { title: 'ready', sql: 'min(workers_ready)' },
      { title: 'restarts', sql: 'sum(worker_restarts)' }
    ])))
    .overrideByName('ready', drawn(COLOUR.ok, ['fillOpacity', 0]))
    .overrideByName('restarts', drawn(COLOUR.critical, ['drawStyle', 'bars'], ['fillOpacity', 80]))
}

function spools (): table.PanelBuilder {
  return tablePanel({
    id: 17,
    title: 'Spools',
    description: 'The ledger: rows stored from each spool, newest first, at most 200. Old ones belong to ' +
      'decommissioned servers.',
    width: 12,
    height: 8,
    none: 'No server has ever started'
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT spool_id AS "Spool", rows_total AS "Rows stored", updated_at AS "Last stored"
      FROM ingest_ledger ORDER BY updated_at DESC LIMIT 200`))
    .overrideByName('Rows stored', [property('unit', 'locale')])
    .overrideByName('Last stored', [property('unit', 'dateTimeAsIso')])
}

function quarantine (): table.PanelBuilder {
  return tablePanel({
    id: 18,
    title: 'Quarantine',
    description: 'Acknowledged points that PostgreSQL refused, newest first, at most 100. "orbitstream-ingest ' +
      'quarantine retry" stores them once the cause is fixed.',
    width: 12,
    height: 8,
    none: 'PostgreSQL has refused nothing'
  })
    .withTarget(sqlTarget('A', 'table', `
      SELECT id AS "Id", quarantined_at AS "Time", row ->> 'satellite_id' AS "Satellite", sqlstate AS "Code",
             reason AS "Reason"
      FROM quarantined_rows ORDER BY id DESC LIMIT 100`))
    .overrideByName('Time', [property('unit', 'dateTimeAsIso'), property('custom.width', 170)])
    .overrideByName('Id', [property('custom.width', 70)])
    .overrideByName('Code', [property('custom.width', 80)])
}
