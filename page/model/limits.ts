/** Limits as GET /limits and GET /satellites/{id} give them. */
import { reading } from './format.js'

export const SIDES = ['low', 'high'] as const
export const SEVERITIES = ['critical', 'warning'] as const
export type Side = typeof SIDES[number]
export type Severity = typeof SEVERITIES[number]

/** A metric without limits is not checked. */
export type MetricLimits = { readonly [S in Side]?: { readonly [L in Severity]?: number } } & {
  /** Of a state or bool: the values that are out of order. */
  readonly states?: { readonly [L in Severity]?: ReadonlyArray<string | boolean> }
  /** Which changes of the value are out of order. */
  readonly change?: ChangeLimit
}
export type ChangeLimit = { readonly [L in Severity]?: ChangeDirection }
/** Of a state or bool `any` alone. In the words of describeLimits. */
export const CHANGE_WORDS = { any: 'on change', increase: 'on increase', decrease: 'on decrease' } as const
export type ChangeDirection = keyof typeof CHANGE_WORDS
/** By metric. */
export type LimitsByMetric = Readonly<Record<string, MetricLimits>>

export interface LimitSet {
  readonly default: LimitsByMetric
  /** By satellite id or pattern. */
  readonly overrides: Readonly<Record<string, LimitsByMetric>>
}

export interface LimitsVersion {
  readonly version: number
  /** ISO 8601. */
  readonly changed_at: string
  readonly changed_by: string
  readonly limits: LimitSet
}

export interface LimitLine {
  readonly side: Side
  readonly severity: Severity
  readonly value: number
}

export function linesOf (limits: MetricLimits | undefined): LimitLine[] {
  return SIDES.flatMap((side) => SEVERITIES.flatMap((severity) => {
    const value = limits?.[side]?.[severity]
    return value === undefined ? [] : [{ side, severity, value }]
  }))
}

/** `critical below 10, warning on increase` or `critical when LOST or SAFE`, for people; '' without limits. */
export function describeLimits (limits: MetricLimits | undefined): string {
  const lines = linesOf(limits)
    .map(({ side, severity, value }) => `${severity} ${side === 'low' ? 'below' : 'above'} ${reading(value, null)}`)
  const states = SEVERITIES.flatMap((severity) => {
    const values = limits?.states?.[severity] ?? []
    return values.length === 0 ? [] : [`${severity} when ${values.join(' or ')}`]
  })
  return [...lines, ...states, ...describeChange(limits)].join(', ')
}

/** `critical on change`, for each severity that has it. */
export function describeChange (limits: MetricLimits | undefined): string[] {
  return SEVERITIES.flatMap((severity) => {
    const direction = limits?.change?.[severity]
    return direction === undefined ? [] : [`${severity} ${CHANGE_WORDS[direction]}`]
  })
}

/**
 * The set with other limits for one metric.
 * @param key of an override; null: the default
 * @param limits null: none of its own, so that an override no longer names the metric
 */
export function withMetric (set: LimitSet, key: string | null, metric: string, limits: MetricLimits | null): LimitSet {
  const { [metric]: _former, ...rest } = (key === null ? set.default : set.overrides[key]) ?? {}
  const entry = limits === null ? rest : { ...rest, [metric]: limits }
  if (key === null) return { ...set, default: entry }
  const { [key]: _entry, ...others } = set.overrides
  return { ...set, overrides: Object.keys(entry).length === 0 ? others : { ...others, [key]: entry } }
}

export interface LimitsChange {
  /** Null: for all satellites. */
  readonly key: string | null
  readonly metric: string
  readonly from: string
  readonly to: string
}

const NO_LIMITS = 'none'

/** What differs between two sets, by metric. */
export function changesBetween (before: LimitSet, after: LimitSet): LimitsChange[] {
  const keys = [null, ...new Set([...Object.keys(before.overrides), ...Object.keys(after.overrides)])]
  return keys.flatMap((key) => {
    const [old = {}, young = {}] = [before, after].map((set) => key === null ? set.default : set.overrides[key])
    return [...new Set([...Object.keys(old), ...Object.keys(young)])].flatMap((metric) => {
      const from = old[metric] === undefined ? '–' : describeLimits(old[metric]) || NO_LIMITS
      const to = young[metric] === undefined ? '–' : describeLimits(young[metric]) || NO_LIMITS
      return from === to ? [] : [{ key, metric, from, to }]
    })
  })
}
