/**
 * Which sets of limits are accepted. Every fault of a set is named, up to FAULTS_MAX.
 *
 * A new set is accepted exactly when all of these hold; one that is stored already, when all but the last two do, which
 * came later: a bound that is new must not keep a server from starting.
 *
 *   1. It is an object with `default`, and `overrides` or not, and nothing else; both are objects.
 *   2. `overrides` has at most OVERRIDES_MAX keys, each of 1 to 64 characters, as satellite ids have them (`*` is one).
 *   3. `default` and each override are objects whose keys are metrics of the stream. In a set that is stored already others
 *      may stand, which a newer server knows; a new set may keep them as they are.
 *   4. The limits of a metric are an object with `low`, `high`, both or none; each is an object with `warning`,
 *      `critical` or both.
 *   5. Each limit is a finite number.
 *   6. A warning comes before the critical limit: low.warning > low.critical, high.warning < high.critical.
 *   7. Something is in order: every low limit of a metric is less than every high one.
 *   8. A key has at most WILDCARDS_MAX `*`, and finding the limits of a satellite takes at most MATCH_STEPS_MAX steps
 *      (resolver.ts): anybody may send satellites that are new, a million of them.
 *   9. It has at most LIMIT_SET_BYTES_MAX bytes as JSON: each process holds it, and the history keeps every version.
 *
 * An override replaces a metric's limits as a whole, so the rules of one entry never depend on another.
 */
import { isDeepStrictEqual } from 'node:util'
import type { LimitSide } from '../../protocol/metrics.js'
import { isSatelliteId } from '../../protocol/satellites.js'
import { listNames, type PointSchema } from '../../protocol/schema.js'
import { LIMIT_SIDES, SEVERITIES, WILDCARD, type LimitSet, type LimitsByMetric, type MetricLimits, type SideLimits } from './limit-set.js'
import { LimitResolver } from './resolver.js'

/** Overrides that a set may have. */
export const OVERRIDES_MAX = 10_000
/** `*` in one key; one to three are usual. */
export const WILDCARDS_MAX = 8
/** Steps to find the limits of a satellite, for all patterns together: measured as less than 10 µs. */
export const MATCH_STEPS_MAX = 64
/** Of a set as JSON without white space: 10,000 overrides of all limits of all metrics have 3 MB. */
export const LIMIT_SET_BYTES_MAX = 4 * 1024 * 1024
/** Fields of a set with the most overrides, each with all limits of all metrics, and the two of the set itself. */
export function limitSetPartsMax ({ metricCount }: PointSchema): number {
  return 2 + (OVERRIDES_MAX + 1) * (1 + metricCount * (1 + LIMIT_SIDES.length * (1 + SEVERITIES.length)))
}
/** What is wrong with a key that is no id either. */
export const NO_PATTERN = 'neither a satellite id nor a pattern: 1 to 64 characters, with no control characters and no white space at either end'
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

/**
 * A set that somebody wants to bring into force.
 * @param value as JSON.parse gives it. The set that is returned is a copy in the order of the schema, with sorted overrides.
 * @param inForce the set that it is to replace, if there is one
 */
export function parseLimitSet (value: unknown, schema: PointSchema, inForce: LimitSet | null): ParsedLimitSet {
  const reader = new LimitSetReader(schema, (name, limits, override) => {
    const kept = override === null ? inForce?.default : Object.hasOwn(inForce?.overrides ?? {}, override) ? inForce?.overrides[override] : undefined
    return kept !== undefined && Object.hasOwn(kept, name) && isDeepStrictEqual(kept[name], limits)
  })
  const set = reader.readSet(value)
  if (reader.faults.length === 0) reader.checkCosts(set)
  return reader.result(set)
}

/** A set that is in force. As parseLimitSet. */
export function parseStoredLimitSet (value: unknown, schema: PointSchema): ParsedLimitSet {
  const reader = new LimitSetReader(schema, () => true)
  return reader.result(reader.readSet(value))
}

type Fields = Readonly<Record<string, unknown>>

/** Whether limits of a metric that is not known may stand. @param override null: of the default */
type Keeps = (metric: string, limits: unknown, override: string | null) => boolean

class LimitSetReader {
  readonly faults: LimitFault[] = []

  constructor (private readonly schema: PointSchema, private readonly keeps: Keeps) {}

  readSet (value: unknown): LimitSet {
    const fields = this.fields(value, '', ['default', 'overrides'])
    if (fields !== null && !Object.hasOwn(fields, 'default')) this.fault('default', 'is missing')
    return {
      default: fields !== null && Object.hasOwn(fields, 'default') ? this.readMetrics(fields['default'], 'default', null) : {},
      overrides: fields !== null && Object.hasOwn(fields, 'overrides') ? this.readOverrides(fields['overrides']) : {}
    }
  }

  result (set: LimitSet): ParsedLimitSet {
    return this.faults.length === 0 ? { ok: true, set } : { ok: false, faults: this.faults }
  }

  /** Of a set without other faults. */
  checkCosts (set: LimitSet): void {
    for (const key of Object.keys(set.overrides)) {
      if (key.split(WILDCARD).length - 1 > WILDCARDS_MAX) this.fault(overridePath(key), `has more than ${WILDCARDS_MAX} *`)
    }
    const bytes = Buffer.byteLength(JSON.stringify(set))
    if (bytes > LIMIT_SET_BYTES_MAX) this.fault('', `has ${bytes} bytes as JSON; at most ${LIMIT_SET_BYTES_MAX} are possible`)
    const steps = new LimitResolver(set, this.schema.metrics).stepsMax
    if (steps > MATCH_STEPS_MAX) {
      this.fault('overrides', `has patterns that cost ${steps} steps for each new satellite; at most ${MATCH_STEPS_MAX} are possible. ` +
        'Text between two * costs 4 steps where many patterns share what stands before and behind; each other length of text before the first * or behind the last one costs 1')
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
      const path = overridePath(key)
      if (!isSatelliteId(key)) this.fault(path, `is ${NO_PATTERN}`)
      return [key, this.readMetrics(fields[key], path, key)]
    }))
  }

  private readMetrics (value: unknown, path: string, override: string | null): LimitsByMetric {
    const { metrics } = this.schema
    const fields = this.fields(value, path)
    if (fields === null) return {}
    const others = Object.keys(fields).filter((name) => !metrics.includes(name))
    const kept = others.filter((name) => this.keeps(name, fields[name], override))
    for (const name of others) if (!kept.includes(name)) this.unknown(name.slice(0, ECHO_MAX), path, metrics)
    return Object.fromEntries([
      ...metrics.filter((name) => Object.hasOwn(fields, name)).map((name) => [name, this.readMetric(fields[name], `${path}.${name}`)]),
      ...kept.map((name) => [name, fields[name]])
    ]) as LimitsByMetric
  }

  private readMetric (value: unknown, path: string): MetricLimits {
    const fields = this.fields(value, path, LIMIT_SIDES)
    if (fields === null) return {}
    const sides = LIMIT_SIDES.filter((side) => Object.hasOwn(fields, side))
    const limits: MetricLimits = Object.fromEntries(sides.map((side) => [side, this.readSide(fields[side], side, `${path}.${side}`)]))
    // NaN where a side has no limits: every comparison with it is false.
    const low = Math.max(limits.low?.warning ?? limits.low?.critical ?? NaN, limits.low?.critical ?? -Infinity)
    const high = Math.min(limits.high?.warning ?? limits.high?.critical ?? NaN, limits.high?.critical ?? Infinity)
    if (low >= high) this.fault(path, `low limit ${low} is not less than high limit ${high}: no value would be in order`)
    return limits
  }

  private readSide (value: unknown, side: LimitSide, path: string): SideLimits {
    const fields = this.fields(value, path, SEVERITIES)
    if (fields === null) return {}
    const limits: { -readonly [S in keyof SideLimits]: SideLimits[S] } = {}
    for (const severity of SEVERITIES) {
      if (!Object.hasOwn(fields, severity)) continue
      const limit = fields[severity]
      if (typeof limit === 'number' && Number.isFinite(limit)) limits[severity] = limit
      else this.fault(`${path}.${severity}`, 'must be a finite number')
    }
    if (SEVERITIES.every((severity) => !Object.hasOwn(fields, severity))) this.fault(path, `has neither ${SEVERITIES.join(' nor ')}; leave it out instead`)
    const { warning, critical } = limits
    if (warning !== undefined && critical !== undefined && (side === 'low' ? warning <= critical : warning >= critical)) {
      this.fault(path, `warning ${warning} is not ${side === 'low' ? 'above' : 'below'} critical ${critical}: it would never be seen`)
    }
    return limits
  }

  /** The object itself, or null and a fault: only what it has of its own counts. @param known without it: any field */
  private fields (value: unknown, path: string, known?: readonly string[]): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fault(path, `must be an object${known === undefined ? '' : ` with ${known.join(', ')}`}`)
      return null
    }
    if (known !== undefined) {
      for (const key of Object.keys(value)) {
        if (!known.includes(key)) this.unknown(key.slice(0, ECHO_MAX), path, known)
      }
    }
    return value as Fields
  }

  private unknown (name: string, path: string, known: readonly string[]): void {
    this.fault(path === '' ? name : `${path}.${name}`, `is not known; known are ${listNames(known)}`)
  }

  private fault (field: string, message: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push({ field, message })
  }
}

function overridePath (key: string): string {
  return `overrides[${JSON.stringify(key.slice(0, ECHO_MAX))}]`
}
