/** Options of a command line: what a program says of each, and the types that its values get from that. */
import { decimal, duration, integer, oneOf, size, string } from '../config/value-types.js'
import type { DurationUnit, Range, ValueType } from '../config/value-types.js'

interface OptionBase {
  /** Without dashes, kebab-case; must not begin with `no-`. */
  readonly name: string
  /** One letter. */
  readonly alias?: string
  readonly help: string
  /** Heading in the help; without it: Options. */
  readonly group?: string
  /** Word for the value in the help, in place of the type's. */
  readonly placeholder?: string
  /** Remark in the help behind the sentence, in place of the default. */
  readonly note?: string
}

/** A default is a value, or text as a person would write it. Without one the value may be undefined; booleans are false. */
export type Option = OptionBase & (
  | { readonly type: 'integer' | 'number' | 'size', readonly default?: number | string } & Range
  | { readonly type: 'duration', readonly default?: number | string, readonly bareUnit?: DurationUnit } & Range
  | { readonly type: 'enum', readonly values: readonly string[], readonly default?: string }
  | { readonly type: 'string', readonly default?: string }
  /** Given any number of times, each with one text. */
  | { readonly type: 'texts' }
  | { readonly type: 'boolean' }
)

type TypedValue<O extends Option> =
  O extends { type: 'integer' | 'number' | 'size' | 'duration' } ? number
    : O extends { type: 'enum', values: ReadonlyArray<infer V> } ? V
      : string

type OptionValue<O extends Option> =
  O extends { type: 'boolean' } ? boolean
    : O extends { type: 'texts' } ? readonly string[]
      : O extends { default: number | string } ? TypedValue<O> : TypedValue<O> | undefined

/** Values by option name; durations in milliseconds, sizes in bytes. */
export type OptionValues<O extends readonly Option[]> = { readonly [P in O[number] as P['name']]: OptionValue<P> }

export interface ArgumentsSpec<O extends readonly Option[] = readonly Option[]> {
  /** As typed: `orbitstream-ingest start`. */
  readonly program: string
  /** What the program does, in a sentence or two. */
  readonly summary: string
  readonly options: O
  /** Words beside the options; without it: none are taken. */
  readonly positionals?: { readonly usage: string, readonly min: number, readonly max: number }
  /** Shown at the end of the help: commands, examples. */
  readonly epilogue?: string
}

/** How the values of an option are read; null for booleans, which have none. */
export function valueTypeOf (option: Option): ValueType<unknown> | null {
  switch (option.type) {
    case 'integer': return integer(option)
    case 'number': return decimal(option)
    case 'size': return size(option)
    case 'duration': return duration(option, option.bareUnit)
    case 'enum': return oneOf(option.values)
    case 'string':
    case 'texts': return string()
    case 'boolean': return null
  }
}
