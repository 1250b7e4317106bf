/** Reads the metrics of a catalogue file. What they must fulfil is in catalogue-file.ts. */
import {
  ID_MAX, NUMBER_SIMULATIONS, type Metric, type MetricLimits, type NumberSimulation, type Simulation
} from '../../protocol/catalogue.js'
import { isMetricName } from '../../protocol/schema.js'
import { OUTSIDES, isInRange, type Outside, type ValidRange } from '../../protocol/valid-range.js'
import {
  METRIC_TYPES, STATES_MAX, STATE_MAX, STATE_MIN, ValueType, isStateName, type MetricType,
  type State
} from '../../protocol/value-types.js'
import { LIMIT_SIDES, SEVERITIES } from '../limits/limit-set.js'
import { parseLimitSet } from '../limits/validate.js'
import type { Path } from '../config/yaml-document.js'
import { FieldReader, text } from './field-reader.js'
import { NAME_RULE, STATE_NAME_RULE, isReserved } from './name-rules.js'
import { isPairOf, pairRule, simulationOf, type Pair } from './simulation.js'

export const TITLE_MAX = 80
export const UNIT_MAX = 24
export const DESCRIPTION_MAX = 500

const METRIC_KEYS = [
  'id', 'type', 'states', 'title', 'unit', 'description', 'resolution', 'range', 'limits', 'simulate', 'aliases',
  'retired'
] as const
export const MISSING_ID = 'has no id: give it a number of its own, which never changes'
export const FLAG_RULE = 'must be true or false'

export class MetricReader extends FieldReader {
  protected readMetric (name: string, value: unknown, path: Path): Metric {
    if (!isMetricName(name)) this.fault(path, `is not a valid metric name: ${NAME_RULE}`)
    const fields = this.fields(value, path, METRIC_KEYS) ?? {}
    if (!Object.hasOwn(fields, 'id') && this.faults.at(-1)?.path !== text(path)) {
      this.fault(path, MISSING_ID)
    }
    const isType = (type: unknown): type is MetricType => METRIC_TYPES.some((known) => known === type)
    const type = this.readField('type', fields, path, isType, `must be one of ${METRIC_TYPES.join(', ')}`, 'float')
    const states = this.readStates(type, fields['states'], path)
    const valueType = new ValueType(type, states)
    const limits = this.readLimits(name, fields['limits'], valueType, [...path, 'limits'])
    const range = this.readRange(fields['range'], valueType, [...path, 'range'])
    const simulation = this.readSimulation(fields['simulate'], limits, range, valueType, [...path, 'simulate'])
    if (range !== null && this.areInRange(range, limits, type, path) && simulation.kind !== 'states') {
      this.checkSimulation(range, simulation, type, path)
    }
    return {
      id: this.readField(
        'id', fields, path,
        (id): id is number => Number.isInteger(id) && (id as number) >= 1 && (id as number) <= ID_MAX,
        `must be a whole number from 1 to ${ID_MAX}`, 0),
      name,
      type,
      states,
      aliases: this.readAliases(fields['aliases'], [...path, 'aliases']),
      title: this.readText('title', fields, path, TITLE_MAX, titleOf(name)),
      unit: this.readText('unit', fields, path, UNIT_MAX, ''),
      description: this.readText('description', fields, path, DESCRIPTION_MAX, ''),
      resolution: this.readField(
        'resolution', fields, path, (step): step is number => Number.isFinite(step) && (step as number) > 0,
        'must be a number above 0', null),
      range,
      limits,
      simulation,
      retired: this.readField('retired', fields, path, isFlag, FLAG_RULE, false)
    }
  }

  /** The states of a state, by value; none of another type. */
  private readStates (type: MetricType, value: unknown, path: Path): State[] {
    const statesPath = [...path, 'states']
    if (type !== 'state') {
      if (value !== undefined) this.fault(statesPath, 'are for metrics of the type state only')
      return []
    }
    if (value === undefined) {
      this.fault(path, 'has no states: names with their numbers, such as { OFF: 0, ON: 1 }')
      return []
    }
    const entries = Object.entries(this.fields(value, statesPath) ?? {})
    if (entries.length === 0 || entries.length > STATES_MAX) {
      this.fault(statesPath, `must have 1 to ${STATES_MAX} names with their numbers, not ${entries.length}`)
    }
    const names = new Map<unknown, string>()
    const states = entries.filter((entry): entry is [string, number] => {
      const [name, number] = entry
      const at = [...statesPath, name]
      const isNumber = Number.isInteger(number) && (number as number) >= STATE_MIN && (number as number) <= STATE_MAX
      if (!isStateName(name)) this.fault(at, `is not a valid state name: ${STATE_NAME_RULE}`)
      if (!isNumber) this.fault(at, `must be a whole number from ${STATE_MIN} to ${STATE_MAX}`)
      else if (names.has(number)) this.fault(at, `${String(number)} is already the number of ${names.get(number)}`)
      names.set(number, name)
      return isNumber
    })
    return states.map(([name, number]) => ({ name, value: number + 0 })).sort((a, b) => a.value - b.value)
  }

  private readAliases (value: unknown, path: Path): string[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.fault(path, 'must be a list of names')
      return []
    }
    return value.filter((alias, index): alias is string => {
      if (typeof alias === 'string' && isMetricName(alias)) return true
      this.fault([...path, index], `is not a valid metric name: ${NAME_RULE}`)
      return false
    })
  }

  private readLimits (name: string, value: unknown, type: ValueType, path: Path): MetricLimits {
    if (value === undefined || !isMetricName(name) || isReserved(name)) return {}
    // The states are at fault, and named already.
    if (type.name === 'state' && type.states.length === 0) return {}
    const parsed = parseLimitSet({ default: { [name]: value } }, { metrics: [name], types: [type] }, null)
    if (parsed.ok) return withoutNegativeZeros(parsed.set.default[name] ?? {})
    const prefix = `default.${name}`
    for (const { field, message } of parsed.faults) {
      const rest = field.slice(prefix.length + 1)
      this.fault(rest === '' ? path : [...path, ...pathOf(rest)], message)
    }
    return {}
  }

  /** Only of a number: between two values, or up to or from one on. */
  private readRange (value: unknown, type: ValueType, path: Path): ValidRange | null {
    if (value === undefined) return null
    if (type.name === 'bool' || type.name === 'state') {
      this.fault(path, 'is for numbers only')
      return null
    }
    const fields = this.fields(value, path, ['min', 'max', 'outside'])
    if (fields === null) return null
    const isEnd = (end: unknown): end is number => typeof end === 'number' && !Number.isNaN(type.read(end))
    const rule = `must be ${type.rule.replace(/,$/, '')}`
    const min = this.readField('min', fields, path, isEnd, rule, null)
    const max = this.readField('max', fields, path, isEnd, rule, null)
    if (min !== null && max !== null && min > max) {
      this.fault([...path, 'min'], `must not be above max, but ${min} is above ${max}`)
      return null
    }
    if (fields['min'] === undefined && fields['max'] === undefined) this.fault(path, 'must have min, max or both')
    const outside = this.readOutside(fields['outside'], [...path, 'outside'])
    return min === null && max === null ? null : withoutNegativeZeros({ min, max, outside })
  }

  /** YAML's null is a choice; nothing at all is none, since it may be a line left unfinished. */
  private readOutside (value: unknown, path: Path): Outside {
    if (value === undefined) return 'flag'
    const outside = OUTSIDES.find((known) => known === (value === null ? 'null' : value))
    if (outside !== undefined && !this.document.isBlank(path)) return outside
    this.fault(path, `must be one of ${OUTSIDES.join(', ')}`)
    return 'flag'
  }

  /** Limits are of valid values. */
  private areInRange (range: ValidRange, limits: MetricLimits, type: MetricType, path: Path): boolean {
    const before = this.faults.length
    for (const side of LIMIT_SIDES) {
      for (const severity of SEVERITIES) {
        const limit = limits[side]?.[severity]
        if (limit !== undefined && !isInRange(limit, range, type)) {
          this.fault([...path, 'limits', side, severity], `${limit} is outside the valid range`)
        }
      }
    }
    return this.faults.length === before
  }

  /** Only valid values are simulated. */
  private checkSimulation (range: ValidRange, simulation: NumberSimulation, type: MetricType, path: Path): void {
    for (const key of ['between', 'beyond'] as const) {
      if (simulation[key]?.every((value) => isInRange(value, range, type)) ?? true) continue
      this.fault([...path, 'simulate', key], `is outside the valid range: ${simulation[key]?.join(' to ')}`)
    }
  }

  private readSimulation (
    value: unknown, limits: MetricLimits, range: ValidRange | null, type: ValueType, path: Path
  ): Simulation {
    if (type.name === 'bool' || type.name === 'state') {
      const fields = value === undefined ? {} : this.fields(value, path, ['kind']) ?? {}
      const isStates = (kind: unknown): kind is 'states' => kind === 'states'
      return { kind: this.readField('kind', fields, path, isStates, 'must be states', 'states') }
    }
    const without = simulationOf(limits, type.name, range)
    if (value === undefined) return without
    const fields = this.fields(value, path, ['kind', 'between', 'beyond'])
    if (fields === null) return without
    const isPair = (value: unknown): value is Pair => isPairOf(value, type.name)
    const rule = pairRule(type.name)
    const isKind = (kind: unknown): kind is NumberSimulation['kind'] => NUMBER_SIMULATIONS.some(
      (known) => known === kind)
    return {
      kind: this.readField(
        'kind', fields, path, isKind, `must be one of ${NUMBER_SIMULATIONS.join(', ')}`, without.kind),
      between: withoutNegativeZeros(this.readField('between', fields, path, isPair, rule, without.between)),
      beyond: withoutNegativeZeros(this.readField(
        'beyond', fields, path, (pair): pair is Pair | null => pair === null || isPair(pair), `${rule}, or null`,
        without.beyond))
    }
  }
}

/** Of `states.critical[1]`. */
function pathOf (field: string): Path {
  return (field.match(/[^.[\]]+/g) ?? []).map((key) => /^\d+$/.test(key) ? Number(key) : key)
}

/** jsonb has no negative zero: a stored catalogue would differ from its file. JSON.stringify writes it as 0. */
function withoutNegativeZeros<T> (value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}

/** battery_charge → Battery charge */
export function titleOf (name: string): string {
  const words = name.replaceAll('_', ' ').trim().slice(0, TITLE_MAX)
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function isFlag (value: unknown): value is boolean {
  return typeof value === 'boolean'
}
