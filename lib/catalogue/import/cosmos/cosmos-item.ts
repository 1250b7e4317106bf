/** A telemetry item of COSMOS, and what the lines after it say about it. */
import type { MetricType } from '../../../../protocol/value-types.js'
import type { CosmosLine } from './cosmos-lines.js'
import { PLAIN, type ImportedLimits, type ImportedMetric, type ImportedState } from '../imported.js'
import { INT_BITS_MAX, numberOf } from '../numbers.js'
import type { Remarks } from '../remarks.js'

export const NO_TEXT = 'a catalogue has only numbers, bools and states, no texts or blocks'
const COLOURS = { YELLOW: 'warning', RED: 'critical' } as const
/** Conversions whose name tells that they give no number. */
const TEXT_CONVERSION = /formatted|ip_read|object_read|^unix_time_conversion$/
const INT_CONVERSION = /^(bit_reverse|received_count)_conversion$/

/** What a conversion gives; null: there is none. */
type Converted = MetricType | 'text' | null

export class CosmosItem {
  description: string
  private unit = ''
  private readonly states: ImportedState[] = []
  private hasOtherValues = false
  private limits: ImportedLimits = {}
  private converted: Converted = null
  private step: number | null = null

  /** @param type in capitals @param bits of the raw value */
  constructor (
    readonly name: string, readonly line: number, private readonly type: string, private readonly bits: number,
    description: string, private readonly remarks: Remarks
  ) {
    this.description = description
  }

  /** Takes a line that modifies the item. False: it does not. */
  take ({ line, keyword, parameters }: CosmosLine): boolean {
    const [first = '', second = ''] = parameters
    switch (keyword) {
      case 'UNITS':
        this.unit = second === '' ? first : second
        return true
      case 'DESCRIPTION':
        this.description = first
        return true
      case 'STATE':
        this.takeState(line, parameters)
        return true
      case 'LIMITS':
        this.takeLimits(line, parameters)
        return true
      case 'POLY_READ_CONVERSION':
        this.takePolynomial(parameters)
        return true
      case 'SEG_POLY_READ_CONVERSION':
        this.converted = 'float'
        return true
      case 'READ_CONVERSION':
        this.takeConversion(line, parameters)
        return true
      case 'GENERIC_READ_CONVERSION_START':
        this.takeConverted(line, first, Number(second))
        return true
      default:
        return false
    }
  }

  /** Null: the catalogue cannot have it; there is a remark. */
  metric (origin: string): ImportedMetric | null {
    const { name, line, states, remarks } = this
    const number = this.converted ?? this.rawType()
    if (number === 'text') {
      remarks.leftOut(line, name, NO_TEXT)
      return null
    }
    const isState = states.length > 0 && this.mayBeState(number)
    if (number === 'int' && !isState && this.converted === null && this.bits > INT_BITS_MAX) {
      remarks.changed(line, name, `it has more bits than are stored: values beyond ±2^${INT_BITS_MAX} are refused`)
    }
    return {
      ...PLAIN,
      name,
      origin,
      line,
      type: isState ? 'state' : number,
      states: isState ? states : [],
      unit: this.unit,
      description: this.description,
      resolution: number === 'float' ? this.step : null,
      limits: this.limits
    }
  }

  private rawType (): MetricType | 'text' {
    switch (this.type) {
      case 'INT':
      case 'UINT': return 'int'
      case 'FLOAT': return this.bits === 32 ? 'float32' : 'float'
      case 'DERIVED': return 'float'
      case 'BOOL': return 'bool'
      default: return 'text'
    }
  }

  /** A state takes its named values only, so that there must be a name for all. */
  private mayBeState (type: MetricType): boolean {
    if (type === 'int' && !this.hasOtherValues) return true
    this.remarks.leftOut(this.line, `states of ${this.name}`, type === 'int'
      ? 'not every value has a name, so the metric is an int'
      : 'only whole numbers can be states')
    return false
  }

  /** STATE <name> <value> [colour] */
  private takeState (line: number, [name = '', text = '', colour = '']: readonly string[]): void {
    if (text.toUpperCase() === 'ANY') {
      this.hasOtherValues = true
      return
    }
    const value = numberOf(text)
    if (value === null) {
      this.hasOtherValues = true
      if (this.rawType() !== 'text') {
        this.remarks.leftOut(line, `state ${name} of ${this.name}`, 'its value is not a number')
      }
      return
    }
    const severity = COLOURS[colour.toUpperCase() as keyof typeof COLOURS] as 'warning' | 'critical' | undefined
    this.states.push({ name, value, severity: severity ?? null })
  }

  /** LIMITS <set> <persistence> <ENABLED or DISABLED> <red low> <yellow low> <yellow high> <red high> [<green …>] */
  private takeLimits (line: number, parameters: readonly string[]): void {
    const [set = '', persistence = '', state = '', ...texts] = parameters
    const what = `limits of ${this.name}`
    if (set.toUpperCase() !== 'DEFAULT') {
      this.remarks.leftOut(line, `limits ${set} of ${this.name}`, 'a catalogue has one set of limits: DEFAULT')
      return
    }
    if (state.toUpperCase() !== 'ENABLED') {
      this.remarks.leftOut(line, what, 'they are disabled')
      return
    }
    const [redLow, yellowLow, yellowHigh, redHigh, ...green] = texts.map(numberOf)
    if (redLow == null || yellowLow == null || yellowHigh == null || redHigh == null) {
      this.remarks.leftOut(line, what, 'they must be four finite numbers')
      return
    }
    if (green.length > 0) {
      this.remarks.leftOut(line, `green limits of ${this.name}`, 'a catalogue has no operational range')
    }
    if (Number(persistence) > 1) {
      this.remarks.changed(line, what, 'each point beyond a limit is an anomaly, not only several in a row')
    }
    this.limits = {
      low: { warning: yellowLow, critical: redLow }, high: { warning: yellowHigh, critical: redHigh }
    }
  }

  /** C0 C1 C2 …: the step of a straight line is that of the sensor. */
  private takePolynomial (parameters: readonly string[]): void {
    const coefficients = parameters.map(numberOf)
    this.converted = 'float'
    const isLine = coefficients.length === 2 && /^U?INT$/.test(this.type)
    this.step = isLine ? Math.abs(coefficients[1] ?? 0) : null
  }

  private takeConversion (line: number, [file = '', ...parameters]: readonly string[]): void {
    const conversion = file.replace(/^.*\//, '').replace(/\.\w+$/, '').toLowerCase()
    if (conversion === 'polynomial_conversion') this.takePolynomial(parameters)
    else if (TEXT_CONVERSION.test(conversion)) this.converted = 'text'
    else if (INT_CONVERSION.test(conversion)) this.converted = 'int'
    else this.takeConverted(line, /segmented_polynomial|time_seconds/.test(conversion) ? 'FLOAT' : '', 64)
  }

  /** @param type that the conversion declares, or '' */
  private takeConverted (line: number, type: string, bits: number): void {
    switch (type.toUpperCase()) {
      case 'INT':
      case 'UINT':
        this.converted = 'int'
        break
      case 'FLOAT':
        this.converted = bits === 32 ? 'float32' : 'float'
        break
      case '':
        this.remarks.changed(line, this.name,
          'the file does not say what its conversion returns, so the metric is a float')
        this.converted = 'float'
        break
      default:
        this.converted = 'text'
    }
  }
}
