/**
 * Types of parameters of XTCE 1.2 as metrics: integers, floats, enumerations, booleans, and aggregates, whose members
 * are metrics of their own. A type may be based on another one, and inherits what it does not state itself.
 */
import type { Severity, SideLimits } from '../../../../protocol/catalogue.js'
import type { ValidRange } from '../../../../protocol/valid-range.js'
import { STATES_MAX, type MetricType } from '../../../../protocol/value-types.js'
import { PLAIN, type ImportedLimits, type ImportedMetric, type ImportedState } from '../imported.js'
import { INT_BITS_MAX, numberOf } from '../numbers.js'
import type { Remarks } from '../remarks.js'
import { find, type Found, type XtceSystem } from './xtce-systems.js'
import { childOf, childrenOf, type XmlElement } from './xml.js'

/** Types that are based on one another, and aggregates in aggregates. */
const CHAIN_MAX = 16
const MEMBERS_MAX = 1_000
/** Units, terms, enumerations and alarms that are read of one type; a state has at most 256 values. */
const PARTS_MAX = STATES_MAX + 1

/** From the mildest alarm to the most severe. */
const WARNINGS = ['WatchRange', 'WarningRange'] as const
const CRITICALS = ['DistressRange', 'CriticalRange', 'SevereRange'] as const
const SEVERITIES: ReadonlyMap<string, Severity> = new Map([
  ['watch', 'warning'], ['warning', 'warning'], ['distress', 'critical'], ['critical', 'critical'],
  ['severe', 'critical']
])
const ALARMS_WITHOUT_PLACE = ['AlarmConditions', 'CustomAlarm', 'ChangeAlarmRanges', 'AlarmMultiRanges',
  'ChangePerSecondAlarmRanges', 'StringAlarmList'] as const

/** A parameter, or a member of one. */
interface Named {
  readonly name: string
  readonly origin: string
  readonly element: XmlElement
  readonly typeRef: string
  /** In which its reference starts. */
  readonly system: XtceSystem
}

/**
 * The metrics of a parameter: one, none with a remark, or those of the members of an aggregate.
 * @param count is told of the line of each parameter and member
 */
export function metricsOf (
  { element, system, path }: Found, remarks: Remarks, count: (line: number) => void
): ImportedMetric[] {
  const name = element.attributes['name'] ?? ''
  const typeRef = element.attributes['parameterTypeRef'] ?? ''
  return new ParameterReader(remarks, count).read({ name, origin: path, element, typeRef, system }, 0)
}

class ParameterReader {
  private members = 0

  constructor (private readonly remarks: Remarks, private readonly count: (line: number) => void) {}

  read (named: Named, depth: number): ImportedMetric[] {
    const { name, element: { line }, typeRef, system } = named
    this.count(line)
    const types = chainOf(typeRef, system)
    const [type] = types
    if (type === undefined) {
      this.remarks.leftOut(line, name, 'its type is not in the file')
      return []
    }
    if (type.element.name === 'AggregateParameterType') return this.aggregate(named, type, depth)
    const metric = new TypeReader(named, types.map(({ element }) => element), this.remarks).metric()
    return metric === null ? [] : [metric]
  }

  private aggregate ({ name, origin }: Named, { element, system }: Found, depth: number): ImportedMetric[] {
    const members = childOf(element, 'MemberList')?.children ?? []
    this.members += members.length
    if (depth === CHAIN_MAX || this.members > MEMBERS_MAX) {
      this.remarks.leftOut(
        element.line, name, `it has more than ${MEMBERS_MAX} members, or ${CHAIN_MAX} levels of them`)
      return []
    }
    return members.flatMap((member) => {
      const own = member.attributes['name'] ?? ''
      const typeRef = member.attributes['typeRef'] ?? ''
      const named = { name: `${name} ${own}`, origin: `${origin}.${own}`, element: member, typeRef, system }
      return this.read(named, depth + 1)
    })
  }
}

/** A type and what it is based on. */
function chainOf (reference: string, from: XtceSystem): Found[] {
  const chain: Found[] = []
  let next: { readonly reference: string | undefined, readonly system: XtceSystem } = { reference, system: from }
  while (next.reference !== undefined && chain.length < CHAIN_MAX) {
    const found = find('types', next.reference, next.system)
    if (found === null) break
    chain.push(found)
    next = { reference: found.element.attributes['baseType'], system: found.system }
  }
  return chain
}

function partsOf (element: XmlElement | undefined, name: string): readonly XmlElement[] {
  return childrenOf(element, name).slice(0, PARTS_MAX)
}

const statesOfTypes = new WeakMap<XmlElement, readonly ImportedState[]>()

class TypeReader {
  /** @param types the type itself first */
  constructor (
    private readonly named: Named, private readonly types: readonly XmlElement[], private readonly remarks: Remarks
  ) {}

  metric (): ImportedMetric | null {
    const { name, origin, element } = this.named
    const type = this.type()
    if (type === null) return null
    if (this.attribute('initialValue') !== undefined || element.attributes['initialValue'] !== undefined) {
      this.leftOut('initialValue', 'a catalogue has no initial values')
    }
    this.leaveOutAlarms()
    const calibrator = this.calibrator()
    return {
      ...PLAIN,
      name,
      origin,
      line: element.line,
      type,
      states: type === 'state' ? this.sharedStates() : [],
      unit: this.unit(),
      description: this.description(),
      resolution: type === 'float' || type === 'float32' ? calibrator : null,
      limits: type === 'int' || type === 'float' || type === 'float32' ? this.limits(type) : {},
      range: this.range(type)
    }
  }

  /** Null: there is no such type in a catalogue. */
  private type (): MetricType | null {
    const bits = Number(this.attribute('sizeInBits') ?? NaN)
    switch (this.types[0]?.name) {
      case 'IntegerParameterType':
        if (bits > INT_BITS_MAX) {
          this.changed(`it has more bits than are stored: values beyond ±2^${INT_BITS_MAX} are refused`)
        }
        return 'int'
      case 'FloatParameterType': {
        const encoded = Number(this.child('FloatDataEncoding')?.attributes['sizeInBits'] ?? NaN)
        return bits === 32 && !(encoded > 32) ? 'float32' : 'float'
      }
      case 'EnumeratedParameterType': return this.hasRangesOfStates() ? 'int' : 'state'
      case 'BooleanParameterType': return 'bool'
      case 'ArrayParameterType':
        this.leftOut(null, 'a metric is one value: declare the elements of an array')
        return null
      case 'AbsoluteTimeParameterType':
      case 'RelativeTimeParameterType':
        this.leftOut(null, 'a catalogue has no times: every point has its own')
        return null
      default:
        this.leftOut(null, 'a catalogue has no texts or bytes')
        return null
    }
  }

  private hasRangesOfStates (): boolean {
    const has = this.enumerations().some(
      ({ attributes: { value, maxValue } }) => maxValue !== undefined && maxValue !== value)
    if (has) this.changed('one of its names stands for several numbers, so the metric is an int')
    return has
  }

  private enumerations (): readonly XmlElement[] {
    return partsOf(this.child('EnumerationList'), 'Enumeration')
  }

  /** Of a type, not of a parameter: a hundred thousand of these may have it. */
  private sharedStates (): readonly ImportedState[] {
    const type = this.types[0] as XmlElement
    const states = statesOfTypes.get(type) ?? this.states()
    statesOfTypes.set(type, states)
    return states
  }

  private states (): ImportedState[] {
    const alarms = this.child('DefaultAlarm')
    const list = partsOf(childOf(alarms, 'EnumerationAlarmList'), 'EnumerationAlarm')
    const levels = new Map(list.map(({ attributes: { enumerationLabel = '', alarmLevel = '' } }) => (
      [enumerationLabel, alarmLevel])))
    const without = alarms?.attributes['defaultAlarmLevel'] ?? ''
    return this.enumerations().map(({ attributes: { label = '', value = '' } }) => ({
      name: label,
      value: numberOf(value) ?? NaN,
      severity: SEVERITIES.get(levels.get(label) ?? without) ?? null
    }))
  }

  /** The step of a straight line from whole numbers; null: not known. */
  private calibrator (): number | null {
    const polynomial = childOf(this.child('IntegerDataEncoding'), 'DefaultCalibrator', 'PolynomialCalibrator')
    if (polynomial === undefined) return null
    const terms = partsOf(polynomial, 'Term').map(({ attributes }) => (
      [Number(attributes['exponent']), numberOf(attributes['coefficient'] ?? '') ?? NaN] as const))
    if (terms.some(([exponent, coefficient]) => exponent !== 0 && exponent !== 1 && coefficient !== 0)) return null
    return Math.abs(terms.find(([exponent]) => exponent === 1)?.[1] ?? NaN)
  }

  private unit (): string {
    return partsOf(this.child('UnitSet'), 'Unit').map(({ text, attributes: { description = '', power = '1' } }) => {
      const unit = text.trim() === '' ? description : text.trim()
      return power === '1' ? unit : `${unit}^${power}`
    }).join(' ')
  }

  private description (): string {
    const { element } = this.named
    const texts = [element, ...this.types].flatMap((each) => (
      [childOf(each, 'LongDescription')?.text, each.attributes['shortDescription']]))
    return texts.find((text) => text !== undefined && text.trim() !== '') ?? ''
  }

  private limits (type: MetricType): ImportedLimits {
    const ranges = childOf(this.child('DefaultAlarm'), 'StaticAlarmRanges')
    if (ranges === undefined) return {}
    if ((ranges.attributes['rangeForm'] ?? 'outside') !== 'outside') {
      this.leftOut('limits', 'a range of bad values cannot be kept: limits are bounds of good ones')
      return {}
    }
    if (Number(this.child('DefaultAlarm')?.attributes['minViolations'] ?? 1) > 1) {
      this.changed('each point beyond a limit is an anomaly, not only several in a row')
    }
    const [warning, critical] = [this.alarm(ranges, WARNINGS), this.alarm(ranges, CRITICALS)]
    const side = (end: 'min' | 'max'): SideLimits | null => {
      const [mild, severe] = [warning, critical].map((range) => range === undefined ? null : this.end(range, end, type))
      if (mild == null && severe == null) return null
      return { ...mild == null ? {} : { warning: mild }, ...severe == null ? {} : { critical: severe } }
    }
    const [low, high] = [side('min'), side('max')]
    return { ...low === null ? {} : { low }, ...high === null ? {} : { high } }
  }

  /** The most usual of some alarms, which are one severity here: the second of them, or what there is. */
  private alarm (ranges: XmlElement, names: readonly string[]): XmlElement | undefined {
    const present = names.flatMap((name) => childOf(ranges, name) ?? [])
    const chosen = present.find(({ name }) => name === names[1]) ?? present[0]
    for (const { name, line } of present) {
      if (name !== chosen?.name) {
        this.remarks.leftOut(
          line, `${name} of ${this.named.name}`, 'a metric has one warning and one critical alarm')
      }
    }
    return chosen
  }

  /** One end of a range: a value equal to it is in order. Null: it has none. */
  private end ({ attributes }: XmlElement, end: 'min' | 'max', type: MetricType): number | null {
    const inclusive = numberOf(attributes[`${end}Inclusive`] ?? '')
    if (inclusive !== null) return inclusive
    const exclusive = numberOf(attributes[`${end}Exclusive`] ?? '')
    if (exclusive === null) return null
    if (type === 'int' && Number.isInteger(exclusive)) return exclusive + (end === 'min' ? 1 : -1)
    this.changed('an exclusive bound is inclusive now')
    return exclusive
  }

  private range (type: MetricType): ValidRange | null {
    const range = this.child('ValidRange') ?? childOf(this.child('ValidRangeSet'), 'ValidRange')
    if (range === undefined) return null
    if (range.attributes['validRangeAppliesToCalibrated'] === 'false') {
      this.leftOut('range', 'a valid range is of calibrated values')
      return null
    }
    const [min, max] = [this.end(range, 'min', type), this.end(range, 'max', type)]
    return min === null && max === null ? null : { min, max, outside: 'flag' }
  }

  private leaveOutAlarms (): void {
    if (this.child('ContextAlarmList') !== undefined) {
      this.leftOut('ContextAlarmList', 'limits are the same in all contexts')
    }
    for (const name of ALARMS_WITHOUT_PLACE) {
      if (childOf(this.child('DefaultAlarm'), name) !== undefined) {
        this.leftOut(name, 'limits are bounds of a number or lists of states')
      }
    }
  }

  private child (name: string): XmlElement | undefined {
    return this.types.map((type) => childOf(type, name)).find((each) => each !== undefined)
  }

  private attribute (name: string): string | undefined {
    return this.types.map(({ attributes }) => attributes[name]).find((each) => each !== undefined)
  }

  /** @param what null: the metric itself */
  private leftOut (what: string | null, reason: string): void {
    const { name, element: { line } } = this.named
    this.remarks.leftOut(line, what === null ? name : `${what} of ${name}`, reason)
  }

  private changed (reason: string): void {
    this.remarks.changed(this.named.element.line, this.named.name, reason)
  }
}
