/** States of satellites and values: by limits, as the server judges them, and by age. */
import type { Value } from './catalogue.js'
import type { MetricLimits } from './limits.js'

/** By limits. */
export type LimitState = 'critical' | 'warning' | 'ok' | 'unchecked'
export type State = LimitState | 'stale'

/** In order of how much they matter. */
export const STATES = ['critical', 'warning', 'stale', 'ok', 'unchecked'] as const satisfies readonly State[]

/** For people. */
export const STATE_WORDS: Readonly<Record<State, string>> = {
  critical: 'Critical',
  warning: 'Warning',
  stale: 'Stale',
  ok: 'Nominal',
  unchecked: 'No limits'
}

/** A value on a limit is in order. */
export function stateOf (value: Value, { low, high, states }: MetricLimits): LimitState {
  if (value === null || (low === undefined && high === undefined && states === undefined)) return 'unchecked'
  const isBroken = (severity: 'critical' | 'warning'): boolean => typeof value === 'number'
    ? value < (low?.[severity] ?? -Infinity) || value > (high?.[severity] ?? Infinity)
    : states?.[severity]?.includes(value) === true
  return (['critical', 'warning'] as const).find(isBroken) ?? 'ok'
}

export function worst (states: Iterable<LimitState>): LimitState {
  const found = new Set<State>(states)
  return (['critical', 'warning', 'ok'] as const).find((state) => found.has(state)) ?? 'unchecked'
}
