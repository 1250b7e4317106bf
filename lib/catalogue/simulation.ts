/** How the simulator moves a number if the catalogue does not say how. */
import type { MetricLimits, NumberSimulation } from '../../protocol/catalogue.js'
import { boundsOf, type ValidRange } from '../../protocol/valid-range.js'
import type { MetricType } from '../../protocol/value-types.js'

/** Where there are no limits either. */
const BETWEEN = [0, 100] as const

type Bounds = ReturnType<typeof boundsOf>

export type Pair = readonly [low: number, high: number]

/** Largest simulated value: of the type, and differences of two, and multiples of them, must stay finite. */
export function simulatedMax (type: MetricType): number {
  return type === 'int' ? 9e15 : type === 'float32' ? 3e38 : 1e300
}

/**
 * A walk within limits and valid range, and valid anomalies just beyond a limit; a constant if a change is an anomaly.
 */
export function simulationOf (
  { low, high, change }: MetricLimits, type: MetricType, range: ValidRange | null = null
): NumberSimulation {
  const lowest = low?.warning ?? low?.critical ?? range?.min ?? undefined
  const highest = high?.warning ?? high?.critical ?? range?.max ?? undefined
  const between = betweenOf(clampIf(lowest, type), clampIf(highest, type), type)
  const size = Math.max(between[1] - between[0], Number.MIN_VALUE)
  const [floor, ceiling] = [low?.critical ?? low?.warning, high?.critical ?? high?.warning]
  const valid = range === null ? null : boundsOf(range, type)
  const kind = change === undefined ? 'walk' : 'constant'
  return { kind, between, beyond: below(floor, size, type, valid) ?? above(ceiling, size, type, valid) }
}

function betweenOf (low: number | undefined, high: number | undefined, type: MetricType): Pair {
  const [lowest, highest] = pair(within(low, high), type)
  if (type !== 'int') return [lowest, highest]
  const first = Math.ceil(lowest)
  return [first, Math.max(first, Math.floor(highest))]
}

function within (low: number | undefined, high: number | undefined): Pair {
  if (low !== undefined && high !== undefined) return [low + (high - low) * 0.1, high - (high - low) * 0.1]
  if (low !== undefined) return [low + sizeOf(low) * 0.1, low + sizeOf(low)]
  if (high !== undefined) return [high - sizeOf(high), high - sizeOf(high) * 0.1]
  return BETWEEN
}

/** Null: no number that can be simulated is far enough below. */
function below (floor: number | undefined, size: number, type: MetricType, valid: Bounds | null): Pair | null {
  if (floor === undefined) return null
  const [lowest, high] = pair(type === 'int'
    ? [Math.floor(floor - size * 0.2), Math.ceil(floor) - 1]
    : [floor - size * 0.2, floor - size * 0.01], type)
  const low = Math.max(lowest, valid?.min ?? lowest)
  return high < floor && low <= high ? [low, high] : null
}

function above (ceiling: number | undefined, size: number, type: MetricType, valid: Bounds | null): Pair | null {
  if (ceiling === undefined) return null
  const [low, highest] = pair(type === 'int'
    ? [Math.floor(ceiling) + 1, Math.ceil(ceiling + size * 0.2)]
    : [ceiling + size * 0.01, ceiling + size * 0.2], type)
  const high = Math.min(highest, valid?.max ?? highest)
  return low > ceiling && low <= high ? [low, high] : null
}

function sizeOf (limit: number): number {
  return Math.max(Math.abs(limit), 1)
}

/** Of numbers that the type has. */
function pair ([low, high]: Pair, type: MetricType): Pair {
  const round = type === 'float32' ? Math.fround : (value: number) => value
  return [clamp(round(low), type), clamp(round(high), type)]
}

function clamp (value: number, type: MetricType): number {
  const max = simulatedMax(type)
  return Math.min(max, Math.max(-max, value))
}

function clampIf (value: number | undefined, type: MetricType): number | undefined {
  return value === undefined ? undefined : clamp(value, type)
}

/** Whether a value is a range that the simulator can keep to. */
export function isPairOf (value: unknown, type: MetricType): value is Pair {
  const is = (each: unknown): boolean => Number.isFinite(each) && Math.abs(each as number) <= simulatedMax(type) &&
    (type !== 'int' || Number.isInteger(each))
  return Array.isArray(value) && value.length === 2 && value.every(is) && (value[0] as number) <= (value[1] as number)
}

/** What such a value must be. */
export function pairRule (type: MetricType): string {
  const max = simulatedMax(type)
  return `must be two ${type === 'int' ? 'whole ' : ''}numbers, [low, high], from -${max} to ${max}`
}
