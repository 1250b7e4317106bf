/**
 * Validates sets of limits. Every fault is named, up to FAULTS_MAX.
 *
 * A new set is valid if it meets all of these rules. A stored set need not meet the last two, which are more recent: a
 * new rule must not keep a server from starting.
 *
 *   1. It is an object with `default`, optionally `overrides`, and nothing else; both are objects.
 *   2. `overrides` has at most OVERRIDES_MAX keys, each of 1 to 64 characters that satellite ids may have (`*` is one).
 *   3. `default` and each override are objects whose keys are metrics of the catalogue. A stored set may have others,
 *      known to a newer server; a new set may keep those unchanged.
 *   4. The limits of a number are an object with or without `low`, `high` and `change`, those of a state or bool one
 *      with or without `states` and `change`; each is an object with `warning`, `critical` or both.
 *   5. Each limit is a finite number. Of `states` it is a list of names of states, or of true or false, each once. A
 *      stored set may name states that only a newer server knows, as with metrics. Of `change` it is a direction, for
 *      a state or bool `any`.
 *   6. The warning comes before the critical limit: low.warning > low.critical, high.warning < high.critical. Some
 *      change is a warning that is not critical.
 *   7. Some value is in order: every low limit of a metric is less than every high limit, some state is in no list.
 *   8. A key has at most WILDCARDS_MAX `*`, and finding the limits of a satellite takes at most MATCH_STEPS_MAX steps
 *      (resolver.ts): any client may send a million new satellites.
 *   9. It has at most LIMIT_SET_BYTES_MAX bytes as JSON: every process holds it, and the history keeps every version.
 *
 * An override replaces all limits of a metric, so an entry is valid or not regardless of the others.
 */
import { isDeepStrictEqual } from 'node:util'
import { CHANGE_DIRECTIONS, type LimitSide } from '../../protocol/catalogue.js'
import { isSatelliteId } from '../../protocol/satellites.js'
import { ECHO_MAX, listNames } from '../../protocol/names.js'
import type { ValueType } from '../../protocol/value-types.js'
import { LIMIT_SIDES, SEVERITIES, WILDCARD } from './limit-set.js'
import type {
  ChangeLimit, LimitSet, LimitableMetrics, LimitsByMetric, MetricLimits, SideLimits, StateLimits
} from './limit-set.js'
import { LimitResolver } from './resolver.js'

export const OVERRIDES_MAX = 10_000
/** `*` per key; one to three are usual. */
export const WILDCARDS_MAX = 8
/** Steps to find the limits of a satellite, over all patterns: measured at less than 10 µs. */
export const MATCH_STEPS_MAX = 64
/** As JSON without white space; 10,000 overrides with all limits of three metrics take 3 MB. */
export const LIMIT_SET_BYTES_MAX = 4 * 1024 * 1024
/** Fields of the largest set: its own two, and the most overrides with all limits of all metrics. */
export function limitSetPartsMax ({ types }: LimitableMetrics): number {
  const side = 1 + SEVERITIES.length
  const parts = types.map(({ states: { length } }) => (
    1 + side + (length > 0 ? side + length : LIMIT_SIDES.length * side)))
  return 2 + (OVERRIDES_MAX + 1) * (1 + parts.reduce((sum, each) => sum + each, 0))
}
/** The fault of a key that matches no satellite. */
export const NO_PATTERN =
  'neither a satellite id nor a pattern: 1 to 64 characters, no control characters, no leading or trailing white space'
/** Faults named in a response. */
const FAULTS_MAX = 1_000

export interface LimitFault {
  /** Path in the set: `overrides["SAT-00*"].battery_charge_percent.low`. */
  readonly field: string
  readonly message: string
}

export type ParsedLimitSet =
  | { readonly ok: true, readonly set: LimitSet }
  | { readonly ok: false, readonly faults: readonly LimitFault[] }

/**
 * Validates a new set.
 * @param value as returned by JSON.parse
 * @param inForce the set to be replaced; null: none
 * @returns a copy, with metrics in catalogue order and sorted overrides
 */
export function parseLimitSet (
  value: unknown, metrics: LimitableMetrics, inForce: LimitSet | null
): ParsedLimitSet {
  const reader = new LimitSetReader(metrics, (name, limits, override) => {
    const { default: byDefault, overrides } = inForce ?? { default: {}, overrides: {} }
    const before = override === null ? byDefault : Object.hasOwn(overrides, override) ? overrides[override] : undefined
    return before !== undefined && Object.hasOwn(before, name) && isDeepStrictEqual(before[name], limits)
  })
  const set = reader.readSet(value)
  if (reader.faults.length === 0) reader.checkCosts(set)
  return reader.result(set)
}

/** Validates a stored set; otherwise like parseLimitSet. */
export function parseStoredLimitSet (value: unknown, metrics: LimitableMetrics): ParsedLimitSet {
  const reader = new LimitSetReader(metrics, () => true)
  return reader.result(reader.readSet(value))
}

type Fields = Readonly<Record<string, unknown>>

/** Whether the limits of an unknown metric may stay. @param override null: in the default */
type Keeps = (metric: string, limits: unknown, override: string | null) => boolean

class LimitSetReader {
  readonly faults: LimitFault[] = []

  private readonly indexes: ReadonlyMap<string, number>

  constructor (private readonly known: LimitableMetrics, private readonly keeps: Keeps) {
    this.indexes = new Map(known.metrics.map((name, index) => [name, index]))
  }

  readSet (value: unknown): LimitSet {
    const fields = this.fields(value, '', ['default', 'overrides'])
    if (fields !== null && !Object.hasOwn(fields, 'default')) this.fault('default', 'is missing')
    const has = (name: string): boolean => fields !== null && Object.hasOwn(fields, name)
    return {
      default: has('default') ? this.readMetrics(fields?.['default'], 'default', null) : {},
      overrides: has('overrides') ? this.readOverrides(fields?.['overrides']) : {}
    }
  }

  result (set: LimitSet): ParsedLimitSet {
    return this.faults.length === 0 ? { ok: true, set } : { ok: false, faults: this.faults }
  }

  /** Checks rules 8 and 9 of a set that meets the others. */
  checkCosts (set: LimitSet): void {
    for (const key of Object.keys(set.overrides)) {
      const wildcards = key.split(WILDCARD).length - 1
      if (wildcards > WILDCARDS_MAX) this.fault(overridePath(key), `has more than ${WILDCARDS_MAX} *`)
    }
    const bytes = Buffer.byteLength(JSON.stringify(set))
    if (bytes > LIMIT_SET_BYTES_MAX) {
      this.fault('', `has ${bytes} bytes as JSON; at most ${LIMIT_SET_BYTES_MAX} are allowed`)
    }
    const steps = new LimitResolver(set, []).stepsMax
    if (steps > MATCH_STEPS_MAX) {
      this.fault('overrides',
        `has patterns that cost ${steps} steps for each new satellite; at most ${MATCH_STEPS_MAX} are allowed. ` +
        'Each distinct length of text before the first * or after the last * costs 1 step; ' +
        'each text between two * costs 4, added up over the patterns that share both ends')
    }
  }

  private readOverrides (value: unknown): LimitSet['overrides'] {
    const fields = this.fields(value, 'overrides')
    if (fields === null) return {}
    const keys = Object.keys(fields).sort()
    if (keys.length > OVERRIDES_MAX) {
      this.fault('overrides', `has ${keys.length} entries; at most ${OVERRIDES_MAX} are allowed`)
      return {}
    }
    // fromEntries, because assigning to the key __proto__ would set the prototype.
    return Object.fromEntries(keys.map((key) => {
      const path = overridePath(key)
      if (!isSatelliteId(key)) this.fault(path, `is ${NO_PATTERN}`)
      return [key, this.readMetrics(fields[key], path, key)]
    }))
  }

  private readMetrics (value: unknown, path: string, override: string | null): LimitsByMetric {
    const { indexes, known: { metrics, types } } = this
    const fields = this.fields(value, path)
    if (fields === null) return {}
    const indexOf = (name: string): number => indexes.get(name) ?? -1
    const known = Object.keys(fields).filter((name) => indexes.has(name)).sort((a, b) => indexOf(a) - indexOf(b))
    const others = Object.keys(fields).filter((name) => !indexes.has(name))
    const kept = others.filter((name) => this.keeps(name, fields[name], override))
    for (const name of others) if (!kept.includes(name)) this.unknown(name.slice(0, ECHO_MAX), path, metrics)
    return Object.fromEntries([
      ...known.map((name) => {
        const type = types[indexOf(name)] as ValueType
        const mayKeep = (): boolean => this.keeps(name, fields[name], override)
        return [name, this.readMetric(fields[name], type, `${path}.${name}`, mayKeep)]
      }),
      ...kept.map((name) => [name, fields[name]])
    ]) as LimitsByMetric
  }

  /** @param mayKeep whether these limits may name states that are not known */
  private readMetric (value: unknown, type: ValueType, path: string, mayKeep: () => boolean): MetricLimits {
    return type.states.length === 0 ? this.readNumber(value, path) : this.readState(value, type, path, mayKeep)
  }

  private readState (value: unknown, type: ValueType, path: string, mayKeep: () => boolean): MetricLimits {
    const fields = this.fields(value, path, ['states', 'change'])
    if (fields === null) return {}
    const change = this.readChange(fields, ['any'], path)
    if (!Object.hasOwn(fields, 'states')) return change
    const listPath = `${path}.states`
    const lists = this.fields(fields['states'], listPath, SEVERITIES)
    if (lists === null) return change
    const has = SEVERITIES.filter((severity) => Object.hasOwn(lists, severity))
    if (has.length === 0) this.fault(listPath, `has neither ${SEVERITIES.join(' nor ')}; leave it out instead`)
    const seen = new Set<unknown>()
    const states: StateLimits = Object.fromEntries(has.map((severity) => (
      [severity, this.readStates(lists[severity], type, `${listPath}.${severity}`, seen, mayKeep)])))
    const isInOrder = type.states.some(({ name }) => !seen.has(type.name === 'bool' ? name === 'true' : name))
    if (!isInOrder) this.fault(listPath, 'lists every value as an anomaly')
    return { states, ...change }
  }

  /** The limit on change, if there is one. @param directions those that the type of the metric allows */
  private readChange (
    limits: Fields, directions: readonly string[], path: string
  ): { readonly change?: ChangeLimit } {
    if (!Object.hasOwn(limits, 'change')) return {}
    const changePath = `${path}.change`
    const fields = this.fields(limits['change'], changePath, SEVERITIES)
    if (fields === null) return {}
    const has = SEVERITIES.filter((severity) => Object.hasOwn(fields, severity))
    if (has.length === 0) this.fault(changePath, `has neither ${SEVERITIES.join(' nor ')}; leave it out instead`)
    for (const severity of has) {
      if (!directions.some((each) => each === fields[severity])) {
        this.fault(`${changePath}.${severity}`, `must be ${directions.join(' or ')}`)
      }
    }
    const { warning, critical } = fields
    if (has.length === SEVERITIES.length && (critical === 'any' || critical === warning)) {
      this.fault(changePath, 'has a warning only for changes that are critical: it would never take effect')
    }
    return { change: Object.fromEntries(has.map((severity) => [severity, fields[severity]])) }
  }

  private readStates (
    value: unknown, type: ValueType, path: string, seen: Set<unknown>, mayKeep: () => boolean
  ): Array<string | boolean> {
    if (!Array.isArray(value) || value.length === 0) {
      this.fault(path, `must be a list of ${type.name === 'bool' ? 'true or false' : 'names of states'}`)
      return []
    }
    return value.filter((state: unknown, index): state is string | boolean => {
      const isOfType = type.name === 'bool' ? typeof state === 'boolean' : typeof state === 'string'
      const isKnown = isOfType && !Number.isNaN(type.read(state))
      if (isKnown && seen.has(state)) this.fault(`${path}[${index}]`, `${String(state)} is listed already`)
      seen.add(state)
      if (isKnown || (isOfType && mayKeep())) return true
      this.fault(`${path}[${index}]`,
        type.name === 'bool' ? 'must be true or false' : `must be ${type.names}${type.hint(state)}`)
      return false
    })
  }

  private readNumber (value: unknown, path: string): MetricLimits {
    const fields = this.fields(value, path, [...LIMIT_SIDES, 'change'])
    if (fields === null) return {}
    const sides = LIMIT_SIDES.filter((side) => Object.hasOwn(fields, side))
    const read = sides.map((side) => [side, this.readSide(fields[side], side, `${path}.${side}`)] as const)
    const limits: MetricLimits = {
      ...Object.fromEntries(read), ...this.readChange(fields, CHANGE_DIRECTIONS, path)
    }
    const { low: lows, high: highs } = limits
    // NaN if a side has no limits: every comparison with it is false.
    const low = Math.max(lows?.warning ?? lows?.critical ?? NaN, lows?.critical ?? -Infinity)
    const high = Math.min(highs?.warning ?? highs?.critical ?? NaN, highs?.critical ?? Infinity)
    if (low >= high) this.fault(path, `low limit ${low} is not less than high limit ${high}: nothing is between them`)
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
    if (SEVERITIES.every((severity) => !Object.hasOwn(fields, severity))) {
      this.fault(path, `has neither ${SEVERITIES.join(' nor ')}; leave it out instead`)
    }
    const { warning, critical } = limits
    if (warning === undefined || critical === undefined) return limits
    if (side === 'low' ? warning <= critical : warning >= critical) {
      const where = side === 'low' ? 'above' : 'below'
      this.fault(path, `warning ${warning} is not ${where} critical ${critical}: it would never take effect`)
    }
    return limits
  }

  /** The object itself, or null and a fault. Only own fields count. @param known default: any field */
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
    // A set of megabytes may have half a million, and the message takes longer than the look-up.
    if (this.faults.length === FAULTS_MAX) return
    this.fault(path === '' ? name : `${path}.${name}`, `is not known; use ${listNames(known)}`)
  }

  private fault (field: string, message: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push({ field, message })
  }
}

function overridePath (key: string): string {
  return `overrides[${JSON.stringify(key.slice(0, ECHO_MAX))}]`
}
