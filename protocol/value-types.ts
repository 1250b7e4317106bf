/**
 * Types of metrics: what senders may write for a value, and what is stored.
 *
 *   type      values                                         column
 *   float     finite 64-bit floats                           double precision
 *   float32   finite 32-bit floats; others are rounded       real
 *   int       whole numbers between -2^53 and 2^53           bigint
 *   bool      true and false, or 1 and 0                     boolean
 *   state     one of the named states, by name or number     smallint
 *
 * Decoded values are doubles, which hold the values of all types exactly: a bool is 1 or 0, a state is its number. The
 * rules are the same in every format.
 */
import { listNames, similarName } from './names.js'

export const METRIC_TYPES = ['float', 'float32', 'int', 'bool', 'state'] as const
export type MetricType = typeof METRIC_TYPES[number]

/** One value of a state, or of a bool. */
export interface State {
  readonly name: string
  readonly value: number
}

/** A value of any type, as it is written: a bool as true or false, a state by its name. */
export type Shown = number | boolean | string

/** States of one metric: all values of a byte. */
export const STATES_MAX = 256
/** The column is a smallint. */
export const STATE_MIN = -32_768
export const STATE_MAX = 32_767
/** As of metrics. */
export const STATE_NAME_BYTES_MAX = 41

const STATE_NAME = new RegExp(`^[A-Za-z][A-Za-z0-9_.-]{0,${STATE_NAME_BYTES_MAX - 1}}$`)
/** By value, so that an index is a value. */
const BOOL_STATES: readonly State[] = [{ name: 'false', value: 0 }, { name: 'true', value: 1 }]

export function isStateName (name: string): boolean {
  return STATE_NAME.test(name)
}

export class ValueType {
  /** By number; those of a bool are false and true. Empty for numbers. */
  readonly states: readonly State[]
  private readonly byName: ReadonlyMap<string, number>
  private readonly values: ReadonlySet<number>
  private readonly bytes: readonly Uint8Array[]
  /** Index of the state read last: the next one is usually the same. */
  private last = 0

  /** @param states of a state, with distinct names and values */
  constructor (readonly name: MetricType, states: readonly State[] = []) {
    this.states = name === 'bool' ? BOOL_STATES : states.toSorted((a, b) => a.value - b.value)
    this.byName = new Map(this.states.map((state) => [state.name, state.value]))
    this.values = new Set(this.byName.values())
    this.bytes = this.states.map((state) => Buffer.from(state.name))
  }

  /** The value as it is stored; NaN: the type does not have it. @param value finite */
  accept (value: number): number {
    switch (this.name) {
      case 'float': return value
      case 'float32': return finite(Math.fround(value))
      // Above 2^53 a double may be another integer than the one that was sent. -0 becomes 0.
      case 'int': return Number.isSafeInteger(value) ? value + 0 : NaN
      default: return this.values.has(value) ? value + 0 : NaN
    }
  }

  /** The same, of a parsed value. */
  read (value: unknown): number {
    if (typeof value === 'number') return Number.isFinite(value) ? this.accept(value) : NaN
    if (typeof value === 'boolean') return this.ofBoolean(value)
    return typeof value === 'string' && this.name === 'state' ? this.byName.get(value) ?? NaN : NaN
  }

  ofBoolean (value: boolean): number {
    return this.name === 'bool' ? Number(value) : NaN
  }

  /** The state that a text names. NaN: none, or it has escapes. */
  ofText (bytes: Buffer, start: number, end: number): number {
    if (this.name !== 'state' || end - start > STATE_NAME_BYTES_MAX) return NaN
    if (!isAt(this.bytes[this.last] as Uint8Array, bytes, start, end)) {
      const value = this.byName.get(bytes.toString('latin1', start, end))
      if (value === undefined) return NaN
      this.last = this.states.findIndex((state) => state.value === value)
    }
    return (this.states[this.last] as State).value
  }

  /** A stored value as people and programs read it, and as senders may write it; a state without a name is a number. */
  show (value: number): Shown {
    switch (this.name) {
      case 'bool': return value === 1
      case 'float32': return shortest(value)
      case 'state': return this.states.find((state) => state.value === value)?.name ?? value
      default: return value
    }
  }

  /** Whether every finite number is a value, as it is. */
  get takesAnyFloat (): boolean {
    return this.name === 'float'
  }

  /** What a value must be. */
  get rule (): string {
    switch (this.name) {
      case 'float': return 'a finite number'
      case 'float32': return 'a number within ±3.4e38, the range of 32-bit floats,'
      case 'int': return 'a whole number between -2^53 and 2^53'
      case 'bool': return 'true, false, 1, 0'
      default: return `${this.names}, by name or number,`
    }
  }

  /** The states of a state, for a message. */
  get names (): string {
    return `one of the states ${listNames(this.states.map(({ name }) => name))}`
  }

  /** How to correct a value that read() does not take; '' if there is nothing to say. */
  hint (value: unknown): string {
    if (typeof value !== 'string') return ''
    if (this.name !== 'state') return '; send it without quotes'
    const near = similarName(value, this.states.map(({ name }) => name))
    return near === null ? '' : `; did you mean ${near}?`
  }
}

/** Of metrics that do not say it. */
export const FLOAT = new ValueType('float')

function finite (value: number): number {
  return value - value === 0 ? value : NaN
}

/** The shortest decimal that is the same 32-bit float: 0.1 rather than 0.10000000149011612. */
function shortest (value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits))
    if (Math.fround(decimal) === value) return decimal
  }
  return Number(value.toPrecision(9))
}

function isAt (wanted: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (wanted.length !== end - start) return false
  for (let at = 0; at < wanted.length; at++) {
    if (bytes[start + at] !== wanted[at]) return false
  }
  return true
}
