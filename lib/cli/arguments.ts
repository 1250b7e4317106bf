/**
 * Command lines: a list of options → values, or the text and exit code to end with.
 *
 * Nothing here prints or exits. All bad values are reported together; an unknown option ends the parsing, because the
 * words after it are ambiguous.
 */
import mri from 'mri'
import { nearest } from '../config/setting-types.js'
import { helpText } from './help.js'
import { defaultText, valueTypeOf } from './options.js'
import type { ArgumentsSpec, Option, OptionValues } from './options.js'
import { version } from '../support/version.js'

export type ParsedArguments<O extends readonly Option[]> =
  | { readonly kind: 'run', readonly values: OptionValues<O>, readonly positionals: readonly string[] }
  /** Print `text` (to standard error unless the code is 0) and end. */
  | { readonly kind: 'exit', readonly exitCode: 0 | 2, readonly text: string }

const STANDARD_OPTIONS = [
  { name: 'help', alias: 'h', type: 'boolean', help: 'Show this help.' },
  { name: 'version', type: 'boolean', help: 'Show the version.' }
] as const satisfies readonly Option[]

/** Usage problems as shown to the user. Exit code 2. */
export function usageError (program: string, problems: readonly string[]): { kind: 'exit', exitCode: 2, text: string } {
  const lines = [...problems.map(problem => `error: ${problem}`), `Try: ${program} --help`]
  return { kind: 'exit', exitCode: 2, text: lines.join('\n') }
}

function namesOf (options: readonly Option[]): string[] {
  return options.flatMap(({ name, alias }) => alias === undefined ? [name] : [name, alias])
}

/** Binds with `=` the values that mri would not: those glued to a letter (-s5), or starting with a dash (-5, -). */
function bindValues (argv: readonly string[], valued: readonly string[]): string[] {
  const flags = valued.map(name => name.length === 1 ? `-${name}` : `--${name}`)
  const words: string[] = []
  for (const word of argv) {
    const last = words.at(-1) ?? ''
    const [, flag = '', value = ''] = /^(-[^-])([^=].*)$/s.exec(word) ?? []
    if (words.includes('--')) words.push(word)
    else if (flags.includes(last) && /^-(\d|\.|$)/.test(word)) words[words.length - 1] = `${last}=${word}`
    else words.push(flags.includes(flag) ? `${flag}=${value}` : word)
  }
  return words
}

interface RawArguments {
  /** By name or alias, an array if given repeatedly. Booleans: a flag, or any option as `--no-name`. */
  readonly given: Readonly<Record<string, string | boolean | ReadonlyArray<string | boolean>>>
  readonly positionals: readonly string[]
  /** The first unknown option, with its dashes. */
  readonly unknown: string | null
}

function readRaw (options: readonly Option[], argv: readonly string[]): RawArguments {
  const valued = namesOf(options.filter(({ type }) => type !== 'boolean'))
  let unknown: string | null = null
  const raw = mri(bindValues(argv, valued), {
    string: valued,
    boolean: namesOf(options.filter(({ type }) => type === 'boolean')),
    // The keys make a name known. Joining the aliases is left to readOption: mri would drop one of two values.
    alias: Object.fromEntries(namesOf(options).map(name => [name, []])),
    unknown: flag => { unknown = flag.replace(/=.*/s, '') }
  }) as mri.Argv<RawArguments['given']> | undefined // undefined after an unknown option
  return { given: raw ?? {}, positionals: (raw?._ ?? []).map(String), unknown }
}

function describeUnknown (flag: string, options: readonly Option[]): string {
  const word = flag.replace(/^-+/, '')
  const names = options.map(({ name }) => name)
  // Every letter is one edit away from every other, so a single one is only completed.
  const meant = (word.length > 1 ? nearest(word, names) : null) ?? names.find(name => name.startsWith(word))
  return `unknown option ${flag}${meant === undefined ? '' : `; did you mean --${meant}?`}`
}

type Outcome = { readonly value: unknown } | { readonly problem: string }

function readOption (option: Option, raw: RawArguments['given']): Outcome {
  const shown = `--${option.name}`
  const given = namesOf([option]).flatMap(name => raw[name] ?? [])
  const type = valueTypeOf(option)
  if (type !== null && given.includes(false)) return { problem: `unknown option --no-${option.name}` }
  if (given.includes('')) {
    const wanted = option.placeholder === undefined ? type?.allowed.replaceAll('`', '') : `<${option.placeholder}>`
    return { problem: `${shown} needs a value: ${wanted ?? ''}` }
  }
  if (option.type === 'texts') return { value: given }
  if (given.length > 1) return { problem: `${shown} is given more than once` }
  const [text] = given
  if (type === null) return { value: text === true }
  const written = text ?? defaultText(option)
  if (written === null) return { value: undefined }
  const parsed = type.parse(String(written))
  if (parsed.ok) return { value: parsed.value }
  if (text === undefined) throw new TypeError(`default of ${shown}: ${parsed.message}`)
  return { problem: `${shown}: ${parsed.message}` }
}

function positionalProblems (given: readonly string[], { positionals }: ArgumentsSpec): string[] {
  const { min, max } = positionals ?? { min: 0, max: 0 }
  if (given.length < min) return [`missing ${positionals?.usage ?? ''}`]
  return given.slice(max).map(word => `unexpected argument "${word}"`)
}

/**
 * Parses a command line.
 *
 * @param argv the words after the program's name
 */
export function parseArguments<const O extends readonly Option[]> (
  spec: ArgumentsSpec<O>,
  argv: readonly string[]
): ParsedArguments<O> {
  const options: readonly Option[] = [...spec.options, ...STANDARD_OPTIONS]
  const { given, positionals, unknown } = readRaw(options, argv)
  if (unknown !== null) return usageError(spec.program, [describeUnknown(unknown, options)])
  if (given.help === true || given.h === true) {
    return { kind: 'exit', exitCode: 0, text: helpText({ ...spec, options }) }
  }
  if (given.version === true) return { kind: 'exit', exitCode: 0, text: version() }
  const values: Record<string, unknown> = {}
  const problems = positionalProblems(positionals, spec)
  for (const option of spec.options) {
    const outcome = readOption(option, given)
    if ('problem' in outcome) problems.push(outcome.problem)
    else values[option.name] = outcome.value
  }
  if (problems.length > 0) return usageError(spec.program, problems)
  return { kind: 'run', values: values as OptionValues<O>, positionals }
}
