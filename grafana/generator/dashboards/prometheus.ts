/** Panels of what only Prometheus has: resolution finer than ten seconds, and per-worker figures. */
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { timePanel, type TimeOptions } from '../panels.js'
import { PROMETHEUS, promTarget } from '../sources.js'

const NONE = 'Prometheus is not running or has no data: start it with "docker compose --profile monitoring up -d"'
/** Grafana's shortest window with two scrapes in it. */
const WINDOW = '[$__rate_interval]'

export function prometheusPanels (): timeseries.PanelBuilder[] {
  return [
    panel({
      id: 101,
      title: 'Points/s by outcome',
      description: 'Points by outcome; received is the sum of accepted, rejected and shed.',
      unit: 'short'
    })
      .withTarget(promTarget('A', '{{outcome}}', `sum by (outcome) (rate(orbitstream_points_total${WINDOW}))`)),
    panel({ id: 102, title: 'HTTP requests/s by route and outcome', description: 'Responses by route.', unit: 'reqps' })
      .withTarget(promTarget(
        'A',
        '{{route}} {{outcome}}',
        `sum by (route, outcome) (rate(orbitstream_http_requests_total${WINDOW})) > 0`
      )),
    panel({ id: 103, title: 'Response time, finer', description: 'From a request to its 202.', unit: 's' })
      .withTarget(quantile('A', 'p50', 0.5, 'orbitstream_ack_seconds'))
      .withTarget(quantile('B', 'p99', 0.99, 'orbitstream_ack_seconds'))
      .withTarget(quantile('C', 'p99.9', 0.999, 'orbitstream_ack_seconds')),
    panel({
      id: 104,
      title: 'Disk and database time',
      description: 'p99 of fdatasync on the spool, and of transactions.',
      unit: 's'
    })
      .withTarget(quantile('A', 'fdatasync', 0.99, 'orbitstream_sync_seconds'))
      .withTarget(quantile('B', 'transaction', 0.99, 'orbitstream_commit_seconds')),
    panel({ id: 105, title: 'CPU time by worker', description: '1 is one core.', unit: 'short', decimals: 2 })
      .withTarget(
        promTarget('A', 'worker {{slot}}', `sum by (slot) (rate(orbitstream_process_cpu_seconds_total${WINDOW}))`)
      ),
    panel({ id: 106, title: 'Memory by worker', description: 'Resident memory.', unit: 'decbytes' })
      .withTarget(promTarget('A', 'worker {{slot}}', 'sum by (slot) (orbitstream_process_resident_bytes)')),
    panel({
      id: 107,
      title: 'UDP packets/s by outcome',
      description: 'Packets read, dropped by the kernel, and missing.',
      unit: 'pps'
    })
      .withTarget(promTarget('A', '{{outcome}}', `sum by (outcome) (rate(orbitstream_udp_packets_total${WINDOW}))`))
      .withTarget(promTarget('B', 'dropped by the kernel', `sum(rate(orbitstream_udp_kernel_drops_total${WINDOW}))`))
      .withTarget(promTarget(
        'C',
        'missing',
        `sum(rate(orbitstream_udp_gap_packets_total${WINDOW})) - sum(rate(orbitstream_udp_late_packets_total${WINDOW}))`
      )),
    panel({
      id: 108,
      title: 'Refused UDP packets/s by reason',
      description: 'Malformed packets by reason.',
      unit: 'pps'
    })
      .withTarget(
        promTarget('A', '{{reason}}', `sum by (reason) (rate(orbitstream_udp_malformed_packets_total${WINDOW})) > 0`)
      ),
    panel({ id: 109, title: 'Pending points', description: 'Accepted but not stored yet.', unit: 'short' })
      .withTarget(promTarget('A', 'points', 'sum(orbitstream_points_waiting)')),
    invariants()
  ]
}

function invariants (): timeseries.PanelBuilder {
  return panel({
    id: 110,
    title: 'Invariants',
    description: 'Points unaccounted for by the counters, and workers without a database. Both must be 0.',
    unit: 'short'
  })
    .withTarget(promTarget('A', 'unexplained points', 'sum(orbitstream_conservation_error_points)'))
    .withTarget(promTarget(
      'B',
      'workers without a database',
      'sum(orbitstream_workers{state="ready"}) - sum(orbitstream_database_connected_workers)'
    ))
}

function panel (
  options: Pick<TimeOptions, 'id' | 'title' | 'description' | 'unit' | 'decimals'>
): timeseries.PanelBuilder {
  return timePanel({
    ...options,
    width: 12,
    height: 8,
    source: PROMETHEUS,
    none: NONE,
    legend: ['mean', 'max', 'lastNotNull']
  })
}

function quantile (refId: string, legend: string, share: number, metric: string): ReturnType<typeof promTarget> {
  return promTarget(refId, legend, `histogram_quantile(${share}, sum by (le) (rate(${metric}_bucket${WINDOW})))`)
}
