/**
 * The file of --config: one YAML mapping from settings, under the names of their variables in lower case, to values
 * written as in variables.
 *
 *   port: 8080
 *   udp_port: [8081, 8082]      # lists may be sequences
 *   batch_timeout: 250ms
 *
 * Scalars are taken as they are written (`off` is text), and config.ts checks them like any other text. The file is
 * accepted as a whole or not at all: a misspelt name would leave its setting at the default. Messages never contain
 * text of the file but names, because its values may be secret.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml'
import { describeSettings, type SettingsFile, type SettingSummary } from './config.js'
import { readBounded } from './bounded-file.js'
import { nearest } from './setting-types.js'
import { nestsDeeper } from './yaml-depth.js'

/** Names the file if --config does not. */
export const CONFIG_FILE_VARIABLE = 'CONFIG_FILE'

/** A file with every setting has 8 KB. */
const FILE_BYTES_MAX = 64 * 1024
/** A mapping with lists has 2. */
const DEPTH_MAX = 4
/** Problems listed: a file of another kind has one on every line. */
const PROBLEMS_MAX = 20
/** Length of a name from the file in a message. */
const NAME_MAX = 64
/** Types whose values are lists. */
const LIST_KINDS = ['list', 'ports']
const READABLE_BY_ALL = 0o004
const LINE_WIDTH = 100

export type ReadConfigFile =
  | { readonly ok: true, readonly file: SettingsFile, readonly warnings: readonly string[] }
  /** Sentences without a full stop, beginning with the path. */
  | { readonly ok: false, readonly problems: readonly string[], readonly warnings: readonly [] }

/** Reads a file, which may be a pipe, once. */
export async function readConfigFile (path: string): Promise<ReadConfigFile> {
  const read = await readBounded(path, FILE_BYTES_MAX, 'any')
  if (read.problem !== null) return { ok: false, problems: [`${path}: ${read.problem}`], warnings: [] }
  const { values, problems } = parseConfigFile(read.text)
  if (problems.length > 0) return { ok: false, problems: problems.map(problem => `${path}: ${problem}`), warnings: [] }
  const secrets = describeSettings().filter(({ secret, fileKey }) => secret && values.has(fileKey))
  const warnings = (read.mode & READABLE_BY_ALL) !== 0 && secrets.length > 0
    ? [`${path} contains ${secrets.map(({ fileKey }) => fileKey).join(', ')} and is readable by every user of this ` +
      'machine; close it with chmod o-r']
    : []
  return { ok: true, file: { path, values }, warnings }
}

export interface ParsedConfigFile {
  /** By name of the setting in the file. */
  readonly values: ReadonlyMap<string, string>
  /** With their lines, without a full stop; empty if the file is valid. */
  readonly problems: readonly string[]
}

export function parseConfigFile (text: string): ParsedConfigFile {
  if (nestsDeeper(text, DEPTH_MAX)) return { values: new Map(), problems: ['is nested too deeply for settings'] }
  const lines = new LineCounter()
  // failsafe: every scalar is text. prettyErrors would quote the file.
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: false, lineCounter: lines })
  const faults = [...document.errors, ...document.warnings]
  const problems = faults.map(({ code, pos: [at] }) => `line ${lines.linePos(at).line} is not valid YAML (${code})`)
  const values = new Map<string, string>()
  if (problems.length === 0) readSettings(document, lines, values, problems)
  return { values, problems: problems.slice(0, PROBLEMS_MAX) }
}

function readSettings (
  { contents }: Document.Parsed, lines: LineCounter, values: Map<string, string>, problems: string[]
): void {
  if (contents === null || (isScalar(contents) && contents.value === '')) return
  if (!isMap(contents)) {
    problems.push('is not a mapping such as "port: 8080"')
    return
  }
  const settings = new Map(describeSettings().map(setting => [setting.fileKey, setting]))
  for (const { key, value } of contents.items) {
    if (problems.length === PROBLEMS_MAX) return
    const name = isScalar(key) && typeof key.value === 'string' ? key.value : ''
    const setting = settings.get(name)
    const read = setting === undefined
      ? { problem: describeUnknown(name, [...settings.keys()]) }
      : textOf(value, setting)
    if ('text' in read) values.set(name, read.text)
    else problems.push(`line ${lines.linePos(key.range[0]).line}: ${read.problem}`)
  }
}

function describeUnknown (name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  const shown = JSON.stringify(name.slice(0, NAME_MAX))
  return `${shown} is not a setting${meant === null ? '' : `; did you mean ${meant}?`}`
}

function textOf (node: unknown, { fileKey, kind }: SettingSummary): { text: string } | { problem: string } {
  if (isAlias(node)) return { problem: `${fileKey} is an alias, which settings cannot have` }
  if (isSeq(node) && LIST_KINDS.includes(kind)) {
    const items = node.items.map(item => isScalar(item) ? String(item.value) : '')
    // In one text the items are separated by commas.
    if (items.some(item => item === '' || item.includes(','))) {
      return { problem: `${fileKey} has an entry that is empty, contains a comma, or is not a single value` }
    }
    return items.length === 0 ? { problem: `${fileKey} is an empty list` } : { text: items.join(',') }
  }
  if (!isScalar(node)) return { problem: `${fileKey} is not a single value` }
  const text = typeof node.value === 'string' ? node.value : ''
  return text === '' ? { problem: `${fileKey} has no value; remove the line for the default` } : { text }
}

/** A file that sets nothing: every setting in a comment, with its meaning and default. */
export function exampleFile (): string {
  const head = 'OrbitStream settings. Variables and flags override this file; it is read when a program starts. ' +
    'Relative paths start at the working directory.'
  const settings = describeSettings().map(({ fileKey, help, allowed, defaultText, defaultIsValue }) => [
    '',
    ...comment(`${help} ${sentence(allowed)}${defaultIsValue ? '' : ` Default: ${defaultText}.`}`),
    `#${fileKey}:${defaultIsValue ? ` ${defaultText}` : ''}`
  ].join('\n'))
  return [...comment(head), ...settings].join('\n')
}

function sentence (text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replaceAll('`', '')}.`
}

function comment (text: string): string[] {
  const lines = ['#']
  for (const word of text.replaceAll('`', '').split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line.length + 1 + word.length > LINE_WIDTH) lines.push(`# ${word}`)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}
