/**
 * The catalogue of metrics: the only place that names them.
 *
 * Table columns, COPY rows, validation, limits, dashboards and the simulator derive from METRICS, in this order. The
 * order is part of the wire format of packets and of spooled rows: append, never reorder.
 */

import { PointSchema } from './schema.js'

/** Whether values violate a limit below (low) or above it (high). */
export type LimitSide = 'low' | 'high'

export interface Metric {
  /** Name of the JSON field and the table column. */
  readonly name: string
  /** Unit for display. */
  readonly unit: string
  /** Short title for display. */
  readonly title: string
  /** Default critical limit, which is itself still in range. The environment variable `env` changes it. */
  readonly limit: { readonly side: LimitSide, readonly value: number, readonly env: string }
}

export const METRICS = [
  {
    name: 'battery_charge_percent',
    unit: '%',
    title: 'Battery charge',
    limit: { side: 'low', value: 10, env: 'ANOMALY_THRESHOLD_BATTERY' }
  },
  {
    name: 'storage_usage_mb',
    unit: 'MB',
    title: 'Storage in use',
    limit: { side: 'high', value: 95_000, env: 'ANOMALY_THRESHOLD_STORAGE' }
  },
  {
    name: 'signal_strength_dbm',
    unit: 'dBm',
    title: 'Signal strength',
    limit: { side: 'low', value: -100, env: 'ANOMALY_THRESHOLD_SIGNAL' }
  }
] as const satisfies readonly Metric[]

export type MetricName = (typeof METRICS)[number]['name']

/** Schema of the table telemetry. */
export const TELEMETRY = new PointSchema(METRICS.map(({ name }) => name))

/** Metrics per point. */
export const METRIC_COUNT = METRICS.length
