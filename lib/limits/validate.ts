/**
 * Which sets of limits are accepted. Every fault of a set is named, up to FAULTS_MAX.
 *
 * A set is accepted exactly when all of these hold:
 *
 *   1. It is an object with `default`, and `overrides` or not, and nothing else; both are objects.
 *   2. `overrides` has at most OVERRIDES_MAX keys, each of 1 to 64 characters, as satellite ids have them (`*` is one).
 *   3. `default` and each override are objects whose keys are metrics of the catalogue.
 *   4. The limits of a metric are an object with `low`, `high`, both or none; each is an object with `warning`,
 *      `critical` or both.
 *   5. Each limit is a finite number.
 *   6. A warning comes before the critical limit: low.warning > low.critical, high.warning < high.critical.
 *   7. Something is in order: every low limit of a metric is less than every high one.
 *
 * An override replaces a metric's limits as a whole, so the rules of one entry never depend on another.
 */
import { METRICS, type LimitSide } from '../../protocol/metrics.js'
import { isSatelliteId } from '../../protocol/satellites.js'
import { LIMIT_SIDES, SEVERITIES, type LimitSet, type LimitsByMetric, type MetricLimits, type SideLimits } from './limit-set.js'

/** Overrides that a set may have. */
export const OVERRIDES_MAX = 10_000
/** Faults named in one answer. */
const FAULTS_MAX = 1_000
/** Longest key that a message repeats whole. */
const ECHO_MAX = 64

export interface LimitFault {
  /** Path in the set: `overrides["SAT-00*"].battery_charge_percent.low`. */
  readonly field: string
  readonly message: string
}

export type ParsedLimitSet =
  | { readonly ok: true, readonly set: LimitSet }
  | { readonly ok: false, readonly faults: readonly LimitFault[] }

const METRIC_NAMES: readonly string[] = METRICS.map((metric) => metric.name)

/** @param value as JSON.parse gives it. The set that is returned is a copy in the order of the catalogue, with sorted overrides. */
export function parseLimitSet (value: unknown): ParsedLimitSet {
  const reader = new LimitSetReader()
  const set = reader.readSet(value)
  return reader.faults.length === 0 ? { ok: true, set } : { ok: false, faults: reader.faults }
}

type Fields = Readonly<Record<string, unknown>>

class LimitSetReader {
  readonly faults: LimitFault[] = []

  readSet (value: unknown): LimitSet {
    const fields = this.fields(value, '', ['default', 'overrides'])
    if (fields !== null && !('default' in fields)) this.fault('default', 'is missing')
    return {
      default: fields !== null && 'default' in fields ? this.readMetrics(fields['default'], 'default') : {},
      overrides: fields !== null && 'overrides' in fields ? this.readOverrides(fields['overrides']) : {}
    }
  }

  private readOverrides (value: unknown): LimitSet['overrides'] {
    const fields = this.fields(value, 'overrides')
    if (fields === null) return {}
    const keys = Object.keys(fields).sort()
    if (keys.length > OVERRIDES_MAX) {
      this.fault('overrides', `has ${keys.length} entries; at most ${OVERRIDES_MAX} are possible`)
      return {}
    }
    // fromEntries: an assignment would take the key __proto__ for something else.
    return Object.fromEntries(keys.map((key) => {
      const path = `overrides[${JSON.stringify(key.slice(0, ECHO_MAX))}]`
      if (!isSatelliteId(key)) this.fault(path, 'is neither a satellite id nor a pattern: 1 to 64 characters, with no control characters and no white space at either end')
      return [key, this.readMetrics(fields[key], path)]
    }))
  }

  private readMetrics (value: unknown, path: string): LimitsByMetric {
    const fields = this.fields(value, path, METRIC_NAMES)
    if (fields === null) return {}
    return Object.fromEntries(METRIC_NAMES.filter((name) => name in fields).map((name) => [name, this.readMetric(fields[name], `${path}.${name}`)]))
  }

  private readMetric (value: unknown, path: string): MetricLimits {
    const fields = this.fields(value, path, LIMIT_SIDES)
    if (fields === null) return {}
    const sides = LIMIT_SIDES.filter((side) => side in fields)
    const limits: MetricLimits = Object.fromEntries(sides.map((side) => [side, this.readSide(fields[side], side, `${path}.${side}`)]))
    const low = extreme(limits.low, Math.max)
    const high = extreme(limits.high, Math.min)
    if (low >= high) this.fault(path, `low limit ${low} is not less than high limit ${high}: no value would be in order`)
    return limits
  }

  private readSide (value: unknown, side: LimitSide, path: string): SideLimits {
    const fields = this.fields(value, path, SEVERITIES)
    if (fields === null) return {}
    const present = SEVERITIES.filter((severity) => severity in fields)
    if (present.length === 0) this.fault(path, `has neither ${SEVERITIES.join(' nor ')}; leave it out instead`)
    const limits: SideLimits = Object.fromEntries(present.flatMap((severity) => {
      const limit = fields[severity]
      if (typeof limit === 'number' && Number.isFinite(limit)) return [[severity, limit]]
      this.fault(`${path}.${severity}`, 'must be a finite number')
      return []
    }))
    const { warning, critical } = limits
    if (warning !== undefined && critical !== undefined && (side === 'low' ? warning <= critical : warning >= critical)) {
      this.fault(path, `warning ${warning} is not ${side === 'low' ? 'above' : 'below'} critical ${critical}: it would never be seen`)
    }
    return limits
  }

  /** The fields of an object, or null and a fault. @param known without it: any */
  private fields (value: unknown, path: string, known?: readonly string[]): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fault(path, `must be an object${known === undefined ? '' : ` with ${known.join(', ')}`}`)
      return null
    }
    const unknown = known === undefined ? [] : Object.keys(value).filter((key) => !known.includes(key))
    for (const key of unknown) {
      const name = key.slice(0, ECHO_MAX)
      this.fault(path === '' ? name : `${path}.${name}`, `is not known; known are ${known?.join(', ') ?? ''}`)
    }
    // Own fields alone: `constructor` of every object is not one of them.
    return Object.fromEntries(Object.entries(value))
  }

  private fault (field: string, message: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push({ field, message })
  }
}

/** NaN where a side has no limits: every comparison with it is false. */
function extreme (limits: SideLimits | undefined, pick: (...values: number[]) => number): number {
  const values = SEVERITIES.flatMap((severity) => limits?.[severity] ?? [])
  return values.length === 0 ? NaN : pick(...values)
}
