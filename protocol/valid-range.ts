/**
 * Which values of a number can be true at all, unlike limits, which say which are in order. A sensor that is broken, or
 * a sender that mixes up bytes, reports others.
 */
import { ValueType, type MetricType } from './value-types.js'

/** What becomes of a value outside: stored, as an anomaly; replaced by null; or its body is refused. */
export const OUTSIDES = ['flag', 'null', 'refuse'] as const
export type Outside = typeof OUTSIDES[number]

export interface ValidRange {
  /** Valid itself; null: there is no lowest value. */
  readonly min: number | null
  /** Valid itself; null: there is no highest value. */
  readonly max: number | null
  readonly outside: Outside
}

/** The ends, infinite where there is none. Those of a float32 are rounded as its values are. */
export function boundsOf ({ min, max }: ValidRange, type: MetricType): { readonly min: number, readonly max: number } {
  const round = type === 'float32' ? Math.fround : (value: number) => value
  return { min: round(min ?? -Infinity), max: round(max ?? Infinity) }
}

/** Whether a number, as it would be stored, is in the range. */
export function isInRange (value: number, range: ValidRange, type: MetricType): boolean {
  const { min, max } = boundsOf(range, type)
  const stored = type === 'float32' ? Math.fround(value) : value
  return stored >= min && stored <= max
}

/** A number whose values outside its range are refused. */
export class BoundedType extends ValueType {
  private readonly min: number
  private readonly max: number

  constructor (name: MetricType, private readonly range: ValidRange) {
    super(name)
    const { min, max } = boundsOf(range, name)
    this.min = min
    this.max = max
  }

  override accept (value: number): number {
    const accepted = super.accept(value)
    return accepted >= this.min && accepted <= this.max ? accepted : NaN
  }

  override get takesAnyFloat (): boolean {
    return false
  }

  override get rule (): string {
    const { min, max } = this.range
    const number = this.name === 'int' ? 'a whole number' : 'a number'
    if (min !== null && max !== null) return `${number} from ${min} to ${max}, its valid range,`
    return min === null ? `${number} up to ${max}, its valid range,` : `${number} from ${min} on, its valid range,`
  }
}
