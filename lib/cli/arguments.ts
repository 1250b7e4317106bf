/**
 * Command lines: a list of options → values, or the text and exit code to end with.
 *
 * Nothing here prints or exits. Every problem of a command line is named at once; an unknown option ends the
 * reading, since what follows it cannot be understood.
 */
import mri from 'mri'
import { nearest } from '../config/value-types.js'
import type { ValueType } from '../config/value-types.js'
import { helpText } from './help.js'
import { valueTypeOf } from './options.js'
import type { ArgumentsSpec, Option, OptionValues } from './options.js'
import { version } from '../support/version.js'

export type ParsedArguments<O extends readonly Option[]> =
  | { readonly kind: 'run', readonly values: OptionValues<O>, readonly positionals: readonly string[] }
  /** Print `text` (to standard error if the code is not 0) and end. */
  | { readonly kind: 'exit', readonly exitCode: 0 | 2, readonly text: string }

const STANDARD_OPTIONS = [
  { name: 'help', alias: 'h', type: 'boolean', help: 'Show this help.' },
  { name: 'version', type: 'boolean', help: 'Show the version.' }
] as const satisfies readonly Option[]

/** A usage problem as it is shown: what is wrong, and where to read more. Exit code 2. */
export function usageError (program: string, problems: readonly string[]): { kind: 'exit', exitCode: 2, text: string } {
  return { kind: 'exit', exitCode: 2, text: [...problems.map(problem => `error: ${problem}`), `Try: ${program} --help`].join('\n') }
}

/**
 * Values that mri does not take for such: one that begins with a dash (`-s -5`, `-f -`), and one that is glued to its
 * letter (`-s5`). Both are bound to their option by `=`.
 */
function bindValues (argv: readonly string[], valued: ReadonlySet<string>): string[] {
  const bound: string[] = []
  for (let i = 0; i < argv.length; i++) {
    const [word, next] = [argv[i] ?? '', argv[i + 1]]
    if (word === '--') return [...bound, ...argv.slice(i)]
    const takesNext = next !== undefined && /^-(\d|\.|$)/.test(next) && /^--?[^-]/.test(word) && valued.has(word.replace(/^--?/, ''))
    const [, letter = '', glued = ''] = /^-([^-])([^=].*)$/s.exec(word) ?? []
    if (takesNext) bound.push(`${word}=${argv[++i] ?? ''}`)
    else bound.push(valued.has(letter) ? `-${letter}=${glued}` : word)
  }
  return bound
}

interface RawArguments {
  /** Booleans: given without a value, or as `--no-name`. Arrays: given more than once. */
  readonly texts: Readonly<Record<string, string | boolean | ReadonlyArray<string | boolean>>>
  readonly positionals: readonly string[]
  /** The first option that is not known, with its dashes. */
  readonly unknown: string | null
}

function readRaw (options: readonly Option[], argv: readonly string[]): RawArguments {
  const namesOf = (wanted: readonly Option[]): string[] => wanted.flatMap(({ name, alias }) => alias === undefined ? [name] : [name, alias])
  const valued = namesOf(options.filter(({ type }) => type !== 'boolean'))
  const unknown: string[] = []
  const raw = mri(bindValues(argv, new Set(valued)), {
    string: valued,
    boolean: namesOf(options.filter(({ type }) => type === 'boolean')),
    // The keys make a name known. Aliases are joined below instead, so that a value given twice is seen.
    alias: Object.fromEntries(namesOf(options).map(name => [name, []])),
    unknown: flag => unknown.push(flag.replace(/=.*/s, ''))
  }) as mri.Argv<RawArguments['texts']> | undefined // undefined after an unknown option
  return { texts: raw ?? {}, positionals: (raw?._ ?? []).map(String), unknown: unknown[0] ?? null }
}

function describeUnknown (flag: string, options: readonly Option[]): string {
  const word = flag.replace(/^-+/, '')
  const names = options.map(({ name }) => name)
  // A single letter is near every other one: only what it may be the beginning of helps.
  const meant = (word.length > 1 ? nearest(word, names) : null) ?? names.find(name => name.startsWith(word)) ?? null
  return `unknown option ${flag}${meant === null ? '' : `; did you mean --${meant}?`}`
}

type Outcome = { readonly value: unknown } | { readonly problem: string }

function readOption (option: Option, texts: RawArguments['texts']): Outcome {
  const shown = `--${option.name}`
  const given = [texts[option.name], option.alias === undefined ? undefined : texts[option.alias]].flat().filter(text => text !== undefined)
  if (option.type === 'texts') return readTexts(shown, given)
  if (given.length > 1) return { problem: `${shown} is given more than once` }
  const [text] = given
  const type = valueTypeOf(option)
  if (type === null) return { value: text === true }
  if (text === undefined) return { value: defaultOf(option, type) }
  if (text === false) return { problem: `unknown option --no-${option.name}` }
  if (text === '') return { problem: `${shown} needs a value: ${option.placeholder === undefined ? type.allowed.replaceAll('`', '') : `<${option.placeholder}>`}` }
  const parsed = type.parse(String(text))
  return parsed.ok ? { value: parsed.value } : { problem: `${shown}: ${parsed.message}` }
}

function readTexts (shown: string, given: ReadonlyArray<string | boolean>): Outcome {
  if (given.includes('')) return { problem: `${shown} needs a value` }
  return given.every((text) => typeof text === 'string') ? { value: given } : { problem: `unknown option --no-${shown.slice(2)}` }
}

function defaultOf (option: Option, type: ValueType<unknown>): unknown {
  if (!('default' in option)) return undefined
  const parsed = type.parse(typeof option.default === 'number' ? type.format(option.default) : option.default)
  if (!parsed.ok) throw new TypeError(`default of --${option.name}: ${parsed.message}`)
  return parsed.value
}

function positionalProblems (given: readonly string[], { positionals }: ArgumentsSpec): string[] {
  const { min, max } = positionals ?? { min: 0, max: 0 }
  if (given.length < min) return [`missing ${positionals?.usage ?? ''}`]
  return given.slice(max).map(word => `"${word}" is one word too many`)
}

/**
 * Reads a command line.
 *
 * @param argv the words behind the program's name
 */
export function parseArguments<const O extends readonly Option[]> (spec: ArgumentsSpec<O>, argv: readonly string[]): ParsedArguments<O> {
  const options: readonly Option[] = [...spec.options, ...STANDARD_OPTIONS]
  const { texts, positionals, unknown } = readRaw(options, argv)
  if (unknown !== null) return usageError(spec.program, [describeUnknown(unknown, options)])
  if (texts.help === true || texts.h === true) return { kind: 'exit', exitCode: 0, text: helpText({ ...spec, options }) }
  if (texts.version === true) return { kind: 'exit', exitCode: 0, text: version() }
  const values: Record<string, unknown> = {}
  const problems = positionalProblems(positionals, spec)
  for (const option of spec.options) {
    const outcome = readOption(option, texts)
    if ('problem' in outcome) problems.push(outcome.problem)
    else values[option.name] = outcome.value
  }
  if (problems.length > 0) return usageError(spec.program, problems)
  return { kind: 'run', values: values as OptionValues<O>, positionals }
}
