/** Command-line options: how a program declares them, and the value types derived from the declarations. */
import { decimal, duration, integer, oneOf, size, string } from '../config/setting-types.js'
import type { DurationUnit, Range, SettingType } from '../config/setting-types.js'

interface OptionBase {
  /** Without dashes, kebab-case; must not begin with `no-`. */
  readonly name: string
  /** One letter. */
  readonly alias?: string
  readonly help: string
  /** Heading in the help; default: Options. */
  readonly group?: string
  /** Name of the value in the help; default: the type's. */
  readonly placeholder?: string
  /** Shown in the help after the sentence, in place of the default. */
  readonly note?: string
}

/**
 * A default is a value, or text as a user would type it. Without one the value may be undefined, or false for booleans.
 */
export type Option = OptionBase & (
  | { readonly type: 'integer' | 'number' | 'size', readonly default?: number | string } & Range
  | { readonly type: 'duration', readonly default?: number | string, readonly bareUnit?: DurationUnit } & Range
  | { readonly type: 'enum', readonly values: readonly string[], readonly default?: string }
  | { readonly type: 'string', readonly default?: string }
  /** May be repeated; collects all values. */
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
  /** Arguments other than options; default: none allowed. */
  readonly positionals?: { readonly usage: string, readonly min: number, readonly max: number }
  /** Ends the help: commands, examples. */
  readonly epilogue?: string
}

/** The default as a user would type it; null without one. */
export function defaultText (option: Option): string | null {
  if (!('default' in option)) return null
  return typeof option.default === 'number' ? valueTypeOf(option)?.format(option.default) ?? null : option.default
}

/** The type of an option's value; null for booleans. */
export function valueTypeOf (option: Option): SettingType<unknown> | null {
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
