/**
 * Changes one metric's default limits by a JSON merge patch (RFC 7396) of its entry: `{"low":{"warning":20}}` sets one
 * limit and leaves the others, null removes a limit or a whole side.
 */
import type { LimitSet } from './limit-set.js'

/** @returns the changed set, not yet validated */
export function patchMetric (set: LimitSet, metric: string, patch: unknown): unknown {
  const merged = merge(set.default[metric] ?? {}, patch)
  return { ...set, default: { ...set.default, [metric]: isObject(merged) ? withoutEmpty(merged) : merged } }
}

type Fields = Readonly<Record<string, unknown>>

function isObject (value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function merge (target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const merged = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, merge(merged.get(key), value))
  }
  return Object.fromEntries(merged)
}

/** A side without limits is dropped. */
function withoutEmpty (sides: Fields): Fields {
  return Object.fromEntries(Object.entries(sides).filter(([, side]) => !isObject(side) || Object.keys(side).length > 0))
}
