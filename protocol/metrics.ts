/**
 * The catalogue of metrics: the one place that names them.
 *
 * Columns of the tables, COPY rows, validation, limits, dashboards and the simulator derive from
 * METRICS, in this order. The order is part of the wire format of packets and of spooled rows:
 * append, never reorder.
 */

import { PointSchema } from './schema.js'

/** Which side of a limit is out of order: below a low limit, above a high one. */
export type LimitSide = 'low' | 'high'

export interface Metric {
  /** Field of a JSON point and column of the table. */
  readonly name: string
  /** Unit, as shown to people. */
  readonly unit: string
  /** Short title, as shown to people. */
  readonly title: string
  /** Default critical limit; the value itself is still in order. Changed by the environment variable `env`. */
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

/** What a point of the table telemetry holds. */
export const TELEMETRY = new PointSchema(METRICS.map(({ name }) => name))

/** How many metrics a point has room for. */
export const METRIC_COUNT = METRICS.length
