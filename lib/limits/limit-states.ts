/** The state of stored values by one version of the limits, for people: `unchecked` without a limit or a value. */
import { SEVERITIES, type LimitSet, type MetricLimits, type SideLimits } from './limit-set.js'
import { LimitResolver } from './resolver.js'

/** Mildest first. */
export const LIMIT_STATES = ['unchecked', 'ok', ...SEVERITIES] as const
export type LimitState = typeof LIMIT_STATES[number]

export class LimitStates {
  private readonly resolver: LimitResolver
  /** Scratch memory for limitsOf(). */
  private readonly chosen: number[]

  /** @param metrics names; limits for others are ignored */
  constructor (set: LimitSet, readonly metrics: readonly string[]) {
    this.resolver = new LimitResolver(set, metrics)
    this.chosen = new Array<number>(metrics.length).fill(0)
  }

  /** Those of the metrics that have a limit for some satellite. */
  get limited (): string[] {
    return this.metrics.filter((_, index) => this.resolver.entries.some((entry) => (
      entry[index]?.low !== undefined || entry[index]?.high !== undefined
    )))
  }

  /** By metric. */
  limitsOf (satellite: string): MetricLimits[] {
    this.resolver.resolve(satellite, this.chosen)
    return this.chosen.map((entry, index) => this.resolver.entries[entry]?.[index] ?? {})
  }

  /** The worst state of a point. @param values by metric */
  stateOf (satellite: string, values: ReadonlyArray<number | null>): LimitState {
    return worstOf(this.limitsOf(satellite).map((limits, index) => stateOfValue(values[index] ?? null, limits)))
  }
}

export function stateOfValue (value: number | null, { low, high }: MetricLimits): LimitState {
  const isChecked = hasLimit(low) || hasLimit(high)
  if (value === null || Number.isNaN(value) || !isChecked) return 'unchecked'
  const severity = SEVERITIES.findLast((each) => (
    value < (low?.[each] ?? -Infinity) || value > (high?.[each] ?? Infinity)
  ))
  return severity ?? 'ok'
}

export function worstOf (states: readonly LimitState[]): LimitState {
  return LIMIT_STATES[Math.max(0, ...states.map((state) => LIMIT_STATES.indexOf(state)))] ?? 'unchecked'
}

function hasLimit (side: SideLimits | undefined): boolean {
  return side?.warning !== undefined || side?.critical !== undefined
}
