/**
 * A set of limits: which values of which metric are out of order, for all satellites and for some.
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
 * A metric has limits on two sides, each a warning and a critical one. A value below a low limit or above a high one
 * breaks it; a value that is exactly the limit is in order. A metric without limits is not checked.
 *
 * The key of an override is a satellite's id, or a pattern in which `*` stands for any characters, also none. For each
 * metric the most specific override that names it counts, and it replaces the limits of that metric as a whole:
 *
 *   exact id  >  longer text before the first `*`  >  more characters other than `*`  >  smaller text (by UTF-16 unit)  >  default
 *
 * What a set must fulfil is in validate.ts.
 */
import type { LimitSide } from '../../protocol/metrics.js'

/** Sides of a metric, in the order of their codes. */
export const LIMIT_SIDES = ['low', 'high'] as const satisfies readonly LimitSide[]

/** How bad a broken limit is, in the order of their codes. */
export const SEVERITIES = ['warning', 'critical'] as const
export type Severity = typeof SEVERITIES[number]

export type SideLimits = { readonly [S in Severity]?: number }
export type MetricLimits = { readonly [S in LimitSide]?: SideLimits }
/** By the metric's name. */
export type LimitsByMetric = Readonly<Record<string, MetricLimits>>

export interface LimitSet {
  readonly default: LimitsByMetric
  /** By satellite id or pattern. */
  readonly overrides: Readonly<Record<string, LimitsByMetric>>
}

/** A set with the number that counts up with each change: what workers judge by. */
export interface NumberedLimits {
  readonly version: number
  readonly set: LimitSet
}

/** What stands for any characters in the key of an override. */
export const WILDCARD = '*'
