/** The limits from the catalogue and the configuration: stored in a database that has none yet. */
import { TELEMETRY, THRESHOLDS, hasLimits, type Catalogue, type Metric } from '../../protocol/catalogue.js'
import type { StreamMetric } from './evolution.js'
import { ValueType } from '../../protocol/value-types.js'
import type { Config } from '../config/settings.js'
import { StartupError } from '../support/startup-error.js'
import type { LimitSet, MetricLimits } from '../limits/limit-set.js'
import { parseLimitSet } from '../limits/validate.js'

/** Throws a StartupError if a variable of the environment does not fit the catalogue's other limits of its metric. */
export function defaultLimits (config: Pick<Config, ThresholdKey>, { live }: Catalogue): LimitSet {
  const limits = live.flatMap((stream) => stream.live.map((metric): [string, MetricLimits] => (
    [stream.qualify(metric.name), stream.name === TELEMETRY ? withThreshold(metric, config) : metric.limits])))
  return {
    default: Object.fromEntries(limits.filter(([, each]) => hasLimits(each))),
    overrides: {}
  }
}

type ThresholdKey = keyof Config & `threshold_${string}`
type Threshold = typeof THRESHOLDS[number]

/** The variables of the environment that are set, and whose metrics the catalogue has. */
export function thresholdsInUse (config: Pick<Config, ThresholdKey>, { telemetry }: Catalogue): Threshold[] {
  return THRESHOLDS.filter(({ metric }) =>
    config[`threshold_${metric}`] !== null && telemetry.live.some(({ name }) => name === metric))
}

/** A variable of the environment wins over the catalogue's critical limit. */
function withThreshold (
  { name, type, states, limits }: Metric, config: Pick<Config, ThresholdKey>
): MetricLimits {
  const threshold = THRESHOLDS.find(({ metric }) => metric === name)
  const value = threshold === undefined ? null : config[`threshold_${threshold.metric}`]
  if (threshold === undefined || value === null) return limits
  const merged = { ...limits, [threshold.side]: { ...limits[threshold.side], critical: value } }
  const metrics = { metrics: [name], types: [new ValueType(type, states)] }
  const parsed = parseLimitSet({ default: { [name]: merged } }, metrics, null)
  if (parsed.ok) return merged
  throw new StartupError(
    `${threshold.env}=${value} does not fit the other limits that the catalogue has for ${name}: ` +
    `${parsed.faults.map(({ field, message }) => `${field.slice(`default.${name}.`.length)} ${message}`.trim())
      .join('; ')}. Change the variable, or leave it out.`)
}

/**
 * The limits in force and, where they have none, those of further metrics.
 * @throws {StartupError} together they are not a valid set
 */
export function withLimitsOf (
  metrics: readonly StreamMetric[], inForce: LimitSet, { limitable }: Catalogue
): LimitSet {
  const added = Object.fromEntries(metrics.map(({ stream, metric }) => [stream.qualify(metric.name), metric.limits]))
  const set = { ...inForce, default: { ...added, ...inForce.default } }
  const parsed = parseLimitSet(set, limitable, inForce)
  if (parsed.ok) return set
  throw new StartupError('The limits of the new metrics cannot be added to those in force: ' +
    `${parsed.faults.map(({ field, message }) => `${field} ${message}`).join('; ')}. ` +
    'Leave them out of the catalogue, or change those in force first.')
}
