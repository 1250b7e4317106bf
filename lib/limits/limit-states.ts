/** The state of stored values by one version of the limits, for people: `unchecked` without a limit or a value. */
import { SEVERITIES, type LimitSet, type MetricLimits } from './limit-set.js'
import type { TypedMetric } from '../../protocol/catalogue.js'
import { FLOAT, type ValueType } from '../../protocol/value-types.js'
import { LimitResolver } from './resolver.js'

/** Mildest first. */
export const LIMIT_STATES = ['unchecked', 'ok', ...SEVERITIES] as const
export type LimitState = typeof LIMIT_STATES[number]

export class LimitStates {
  private readonly resolver: LimitResolver
  /** Scratch memory for limitsOf(). */
  private readonly chosen: number[]

  /**
   * @param metrics of a stream; limits for others are ignored
   * @param qualify the name of a metric, as limits have it
   */
  constructor (set: LimitSet, readonly metrics: readonly TypedMetric[], qualify: (metric: string) => string) {
    this.resolver = new LimitResolver(set, metrics.map(({ metric }) => qualify(metric.name)))
    this.chosen = new Array<number>(metrics.length).fill(0)
  }

  /** Those of the metrics that have a limit for some satellite. */
  get limited (): TypedMetric[] {
    return this.metrics.filter((_, index) => this.resolver.entries.some((entry) => isChecked(entry.get(index) ?? {})))
  }

  /** By metric. */
  limitsOf (satellite: string): MetricLimits[] {
    this.resolver.resolve(satellite, this.chosen)
    return this.chosen.map((entry, index) => this.resolver.entries[entry]?.get(index) ?? {})
  }

  /** The worst state of a point. @param values by metric, as stored */
  stateOf (satellite: string, values: ReadonlyArray<number | null>): LimitState {
    return worstOf(this.limitsOf(satellite).map((limits, index) => (
      stateOfValue(values[index] ?? null, limits, this.metrics[index]?.type ?? FLOAT)
    )))
  }
}

/** @param value as stored */
export function stateOfValue (value: number | null, limits: MetricLimits, type: ValueType): LimitState {
  const { low, high, states } = limits
  if (value === null || Number.isNaN(value) || !isChecked(limits)) return 'unchecked'
  const severity = SEVERITIES.findLast((each) => (
    value < (low?.[each] ?? -Infinity) || value > (high?.[each] ?? Infinity) ||
    states?.[each]?.some((state) => type.read(state) === value)
  ))
  return severity ?? 'ok'
}

export function worstOf (states: readonly LimitState[]): LimitState {
  return LIMIT_STATES[Math.max(0, ...states.map((state) => LIMIT_STATES.indexOf(state)))] ?? 'unchecked'
}

function isChecked ({ low, high, states }: MetricLimits): boolean {
  return [low, high, states].some((each) => each?.warning !== undefined || each?.critical !== undefined)
}
