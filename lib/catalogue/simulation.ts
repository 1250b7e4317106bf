/** How the simulator moves a metric of which the catalogue does not say it. */
import type { MetricLimits, Simulation } from '../../protocol/catalogue.js'

/** Where there are no limits either. */
const BETWEEN = [0, 100] as const
/** Largest simulated value: differences of two, and multiples of them, must stay finite. */
export const SIMULATED_MAX = 1e300

/** A walk well within the limits, and anomalies just beyond one of them. */
export function simulationOf ({ low, high }: MetricLimits): Simulation {
  const lowest = low?.warning ?? low?.critical
  const highest = high?.warning ?? high?.critical
  const between = betweenOf(clampIf(lowest), clampIf(highest))
  const size = Math.max(between[1] - between[0], Number.MIN_VALUE)
  const [floor, ceiling] = [low?.critical ?? low?.warning, high?.critical ?? high?.warning]
  return { kind: 'walk', between, beyond: below(floor, size) ?? above(ceiling, size) }
}

function betweenOf (low: number | undefined, high: number | undefined): readonly [number, number] {
  if (low !== undefined && high !== undefined) return [low + (high - low) * 0.1, high - (high - low) * 0.1]
  if (low !== undefined) return pair(low + sizeOf(low) * 0.1, low + sizeOf(low))
  if (high !== undefined) return pair(high - sizeOf(high), high - sizeOf(high) * 0.1)
  return BETWEEN
}

/** Null: no number that can be simulated is far enough below. */
function below (floor: number | undefined, size: number): readonly [number, number] | null {
  if (floor === undefined) return null
  const [low, high] = pair(floor - size * 0.2, floor - size * 0.01)
  return high < floor ? [low, high] : null
}

function above (ceiling: number | undefined, size: number): readonly [number, number] | null {
  if (ceiling === undefined) return null
  const [low, high] = pair(ceiling + size * 0.01, ceiling + size * 0.2)
  return low > ceiling ? [low, high] : null
}

function sizeOf (limit: number): number {
  return Math.max(Math.abs(limit), 1)
}

function pair (low: number, high: number): readonly [number, number] {
  return [clamp(low), clamp(high)]
}

function clamp (value: number): number {
  return Math.min(SIMULATED_MAX, Math.max(-SIMULATED_MAX, value))
}

function clampIf (value: number | undefined): number | undefined {
  return value === undefined ? undefined : clamp(value)
}
