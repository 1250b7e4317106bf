/** The built-in catalogue, as most tests use it. */
import { BUILT_IN, type LimitSide, type Metric } from '../../../protocol/catalogue.js'

export { BUILT_IN }

/** A metric with its one critical limit. */
export interface LimitedMetric extends Metric {
  readonly limit: { readonly side: LimitSide, readonly value: number }
}

function limited (metric: Metric): LimitedMetric {
  const { low, high } = metric.limits
  return { ...metric, limit: { side: low === undefined ? 'high' : 'low', value: (low ?? high)?.critical ?? NaN } }
}

export const METRICS = BUILT_IN.telemetry.metrics.map(limited) as [LimitedMetric, LimitedMetric, LimitedMetric]
export const STREAM = BUILT_IN.telemetry
export const TELEMETRY = STREAM.schema
export const METRIC_COUNT = TELEMETRY.metricCount
