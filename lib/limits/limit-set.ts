/**
 * A set of limits: which values of each metric are anomalous, by default and for particular satellites.
 *
 *   {
 *     "default": {
 *       "battery_charge_percent": { "low": { "warning": 20, "critical": 10 } },
 *       "storage_usage_mb": { "high": { "critical": 95000 } }
 *     },
 *     "overrides": {
 *       "SAT-00*": { "battery_charge_percent": { "low": { "critical": 5 } } },
 *       "SAT-0042": { "storage_usage_mb": {} }
 *     }
 *   }
 *
 * A number has limits on two sides, each with a warning and a critical limit. A value below a low limit or above a high
 * one is an anomaly; a value equal to the limit is not. A state or a bool has lists of values instead, each of which is
 * an anomaly: { "states": { "warning": ["SAFE"], "critical": ["LOST"] } }, { "states": { "critical": [false] } }. A
 * metric without limits is not checked.
 *
 * A limit on change makes an anomaly of a value that is not the one before it, whatever it is, or one that is greater
 * or less: { "change": { "warning": "increase", "critical": "decrease" } }, { "change": { "critical": "any" } }. These
 * are found where the points of all workers meet, in the database: lib/drain/changes.ts.
 *
 * The key of an override is a satellite id, or a pattern in which `*` matches any characters, or none. For each metric,
 * the most specific override that names it applies, and replaces all limits of that metric. In descending order:
 *
 *   exact id
 *   pattern: longer text before the first `*`, then more characters other than `*`, then first by UTF-16 code units
 *   default
 *
 * Metrics of other streams than `telemetry` are named with their stream: "thermal.panel_temperature".
 *
 * The rules for a valid set are in validate.ts.
 */
import type {
  ChangeLimit, LimitSide, MetricLimits, Severity, SideLimits, StateLimits
} from '../../protocol/catalogue.js'
import type { ValueType } from '../../protocol/value-types.js'

/** Sides of a metric, in the order of their codes. */
export const LIMIT_SIDES = ['low', 'high'] as const satisfies readonly LimitSide[]

/**
 * Sides of an anomaly, in the order of their codes: a state or a change has none, so its anomalies have this instead;
 * and a value outside its valid range is below or above that, whatever the limits.
 */
export const ANOMALY_SIDES = [...LIMIT_SIDES, 'state', 'range_low', 'range_high', 'change'] as const
export type AnomalySide = typeof ANOMALY_SIDES[number]

/** Severities of an anomaly, in the order of their codes. */
export const SEVERITIES = ['warning', 'critical'] as const satisfies readonly Severity[]
export type { ChangeLimit, MetricLimits, Severity, SideLimits, StateLimits }

/** The metrics that limits may name. */
export interface LimitableMetrics {
  readonly metrics: readonly string[]
  /** By metric. */
  readonly types: readonly ValueType[]
}

/** By metric name. */
export type LimitsByMetric = Readonly<Record<string, MetricLimits>>

export interface LimitSet {
  readonly default: LimitsByMetric
  /** By satellite id or pattern. */
  readonly overrides: Readonly<Record<string, LimitsByMetric>>
}

/** A set with its version, which increases with each change: what workers apply. */
export interface NumberedLimits {
  readonly version: number
  readonly set: LimitSet
}

/** Matches any characters in the key of an override. */
export const WILDCARD = '*'
