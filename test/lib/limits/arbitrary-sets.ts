/** Random sets of limits, valid and invalid, and a second implementation of the documented rules to check them. */
import * as fc from 'fast-check'
import { METRICS } from '../../support/points/built-in.js'

const limit = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: -5, max: 5 }) },
  { weight: 3, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity, null, '5', true, [], {}) }
)
const side = fc.oneof(
  { weight: 20, arbitrary: fc.record({ warning: limit, critical: limit }, { requiredKeys: ['critical'] }) },
  { weight: 3, arbitrary: fc.record({ warning: limit }) },
  { weight: 1, arbitrary: fc.constantFrom({}, null, 5, [], { critical: 1, fatal: 2 }, { Critical: 1 }) }
)
/** Low limits are mostly small and high ones large; otherwise hardly a set would be valid. */
const usualLow = fc.record({
  warning: fc.integer({ min: -3, max: 1 }), critical: fc.integer({ min: -9, max: -2 })
}, { requiredKeys: [] })
const usualHigh = fc.record({
  warning: fc.integer({ min: 0, max: 4 }), critical: fc.integer({ min: 3, max: 9 })
}, { requiredKeys: ['critical'] })
const metric = fc.oneof(
  { weight: 10, arbitrary: fc.record({ low: usualLow, high: usualHigh }, { requiredKeys: [] }) },
  { weight: 3, arbitrary: fc.record({ low: side, high: side }, { requiredKeys: [] }) },
  { weight: 1, arbitrary: fc.constantFrom(null, 1, [], { middle: {} }) }
)
const allMetrics = Object.fromEntries(METRICS.map(({ name }) => [name, metric]))
const metrics = fc.oneof(
  { weight: 30, arbitrary: fc.record(allMetrics, { requiredKeys: [] }) },
  { weight: 1, arbitrary: fc.constantFrom(null, 'x', [], { voltage: {} }, { [METRICS[0].name]: {}, constructor: {} }) }
)
const goodKeys = ['SAT-0001', 'SAT-*', '*', 'S*1', '__proto__', 'constructor', '25544', 'x'.repeat(64), '天*']
const key = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...goodKeys) },
  { weight: 1, arbitrary: fc.constantFrom('', ' A', 'A ', 'a\u0000', 'x'.repeat(65), '\ud800') }
)
const entries = fc.array(fc.tuple(key, metrics), { maxLength: 3 })
const overrides = fc.oneof(
  { weight: 10, arbitrary: entries.map((each) => Object.fromEntries(each)) },
  { weight: 1, arbitrary: fc.constantFrom(null, [], 'x') }
)

export const anySet: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 30, arbitrary: fc.record({ default: metrics, overrides }, { requiredKeys: ['default'] }) },
  { weight: 2, arbitrary: fc.record({ default: metrics, defaults: metrics, overrides }, { requiredKeys: [] }) },
  { weight: 1, arbitrary: fc.constantFrom(null, 1, 'x', [], {}, undefined) }
)

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const only = (value: Fields, names: readonly string[]): boolean =>
  Object.keys(value).every((name) => names.includes(name))
const numbers = (value: unknown): number[] => isObject(value) ? Object.values(value) as number[] : []

function sideIsValid (value: unknown, low: boolean): boolean {
  if (!isObject(value) || !only(value, ['warning', 'critical']) || Object.keys(value).length === 0) return false
  if (!numbers(value).every((each) => typeof each === 'number' && Number.isFinite(each))) return false
  if (Object.keys(value).length < 2) return true
  const { warning, critical } = value as { warning: number, critical: number }
  return low ? warning > critical : warning < critical
}

function metricIsValid (value: unknown): boolean {
  if (!isObject(value) || !only(value, ['low', 'high'])) return false
  if ('low' in value && !sideIsValid(value['low'], true)) return false
  if ('high' in value && !sideIsValid(value['high'], false)) return false
  return numbers(value['low']).every((low) => numbers(value['high']).every((high) => low < high))
}

function metricsAreValid (value: unknown): boolean {
  return isObject(value) && only(value, Object.keys(allMetrics)) && Object.values(value).every(metricIsValid)
}

function keyIsValid (text: string): boolean {
  return text.length > 0 && Array.from(text).length <= 64 && text.trim() === text && !/[\p{Cc}\p{Cs}]/u.test(text)
}

/** The rules at the head of validate.ts. */
export function setIsValid (value: unknown): boolean {
  if (!isObject(value) || !only(value, ['default', 'overrides'])) return false
  if (!metricsAreValid(value['default'])) return false
  if (!('overrides' in value)) return true
  const all = value['overrides']
  return isObject(all) && Object.keys(all).every(keyIsValid) && Object.values(all).every(metricsAreValid)
}
