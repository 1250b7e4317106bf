/**
 * Loads the configuration, and describes it: the only code that reads settings from process.env.
 *
 * Flags override variables, variables override the file (config-file.ts), and the file overrides the defaults; an empty
 * variable counts as unset.
 */
import {
  KEYS, RULES, SETTINGS, TOKEN_VARIABLE, UDP_KEY_VARIABLE, type Config, type Environment, type Key, type Setting
} from './settings.js'
import { nearest, type Parsed } from './setting-types.js'

export interface ConfigSources {
  /** Default: process.env. */
  readonly env?: Environment
  /** By flag name without dashes: `{ 'batch-size': '500' }`. */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly file?: SettingsFile
}

/** What a configuration file sets. */
export interface SettingsFile {
  /** As the user wrote it. */
  readonly path: string
  /** By name of the setting, in lower case. */
  readonly values: ReadonlyMap<string, string>
}

export interface ConfigProblem {
  /** As the user wrote it: BATCH_SIZE, --batch-size, or batch_size with its file. */
  readonly setting: string
  readonly message: string
}

/** `warnings`: variables that are probably misspelled settings. */
export type LoadedConfig = { readonly warnings: readonly string[] } & (
  { readonly ok: true, readonly config: Config } | { readonly ok: false, readonly problems: readonly ConfigProblem[] }
)

interface Origin {
  readonly source: 'flag' | 'environment' | 'file' | 'default'
  /** Name of the setting in messages. */
  readonly name: string
  readonly text: string | null
}

function flagOf (key: Key): string {
  return SETTINGS[key].env.toLowerCase().replaceAll('_', '-')
}

/** Name of a setting in a file. */
function fileKeyOf (key: Key): string {
  return SETTINGS[key].env.toLowerCase()
}

function originOf (key: Key, { env = process.env, flags = {}, file }: ConfigSources): Origin {
  const setting = SETTINGS[key]
  const flag = flags[flagOf(key)]
  if (typeof flag === 'string') return { source: 'flag', name: `--${flagOf(key)}`, text: flag }
  const variable = env[setting.env]
  if (variable !== undefined && variable !== '') return { source: 'environment', name: setting.env, text: variable }
  const text = file?.values.get(fileKeyOf(key))
  if (text !== undefined) return { source: 'file', name: `${file?.path ?? ''}: ${fileKeyOf(key)}`, text }
  return { source: 'default', name: setting.env, text: typeof setting.default === 'string' ? setting.default : null }
}

function valueOf<K extends Key> (key: K, text: string | null, env: Environment): Parsed<Config[K]> {
  const setting: Setting<Config[K]> = SETTINGS[key]
  const parsed = text === null ? defaultOf(setting) : setting.type.parse(text)
  return parsed.ok && setting.complete !== undefined ? setting.complete(parsed.value, env) : parsed
}

function defaultOf<T> (setting: Setting<T>): Parsed<T> {
  return typeof setting.default === 'string'
    ? setting.type.parse(setting.default)
    : { ok: true, value: setting.default.value() }
}

/** Variables that are one or two letters off a setting's name: probably typos. */
function misspelt (env: Environment): string[] {
  const names = KEYS.map(key => SETTINGS[key].env)
  // Short names have unrelated neighbours: HOME is two letters from HOST, PGDATA_DIR from DATA_DIR.
  const others = [...names, TOKEN_VARIABLE, UDP_KEY_VARIABLE]
  const [short, long] = [names.filter(name => name.length < 9), names.filter(name => name.length >= 9)]
  return Object.keys(env).filter(name => !others.includes(name)).flatMap(name => {
    const meant = nearest(name, long, 2) ?? nearest(name, short, 1)
    return meant === null ? [] : [`The variable ${name} is not a setting; did you mean ${meant}?`]
  })
}

/** Loads and validates all settings; reports all problems. Messages never contain secrets. */
export function loadConfig (sources: ConfigSources = {}): LoadedConfig {
  const values: Partial<Record<Key, unknown>> = {}
  const problems: ConfigProblem[] = []
  const { env = process.env } = sources
  for (const key of KEYS) {
    const origin = originOf(key, sources)
    const parsed = valueOf(key, origin.text, env)
    if (parsed.ok) values[key] = parsed.value
    else problems.push({ setting: origin.name, message: parsed.message })
  }
  for (const { keys, check } of RULES) {
    const message = keys.every(key => key in values) ? check(values as unknown as Config) : null
    if (message !== null) problems.push({ setting: originOf(keys[0], sources).name, message })
  }
  const warnings = misspelt(env)
  return problems.length > 0
    ? { ok: false, problems, warnings }
    : { ok: true, config: Object.freeze(values as unknown as Config), warnings }
}

/** Whether the setting was set explicitly rather than left at its default. */
export function isGiven (key: keyof Config, sources: ConfigSources): boolean {
  return originOf(key, sources).source !== 'default'
}

export interface ConfigRow {
  readonly name: string
  /** Secrets masked; empty for a value without a text form. */
  readonly value: string
  readonly source: Origin['source']
}

function shownValue<K extends Key> (key: K, value: Config[K]): string {
  const setting: Setting<Config[K]> = SETTINGS[key]
  const shown = setting.mask === undefined ? setting.type.format(value) : setting.mask(value)
  return shown === '' && typeof setting.default !== 'string' ? `(${setting.default.label})` : shown
}

/** All settings with their values and sources. */
export function describeConfig (config: Config, sources: ConfigSources = {}): ConfigRow[] {
  return KEYS.map(key => ({
    name: SETTINGS[key].env,
    value: shownValue(key, config[key]),
    source: originOf(key, sources).source
  }))
}

export interface SettingSummary {
  readonly key: keyof Config
  readonly env: string
  /** Without dashes. */
  readonly flag: string
  /** Name in a configuration file. */
  readonly fileKey: string
  readonly secret: boolean
  /** Name of its type. */
  readonly kind: string
  /** In Markdown. */
  readonly allowed: string
  readonly help: string
  readonly defaultText: string
  /** Whether `defaultText` can be written as a value, rather than describing it. */
  readonly defaultIsValue: boolean
}

/** The settings as shown in help and documentation. */
export function describeSettings (): SettingSummary[] {
  return KEYS.map(key => {
    const setting = SETTINGS[key]
    const defaultText = typeof setting.default === 'string' ? setting.default : setting.default.label
    return {
      key,
      env: setting.env,
      flag: flagOf(key),
      fileKey: fileKeyOf(key),
      secret: setting.mask !== undefined,
      kind: setting.type.name,
      allowed: setting.type.allowed,
      help: setting.help,
      defaultText,
      defaultIsValue: typeof setting.default === 'string'
    }
  })
}

/** The table of settings in the documentation, in Markdown; a test keeps them in sync. */
export function configTable (): string {
  const rows = describeSettings().map(({ env, defaultText, allowed, help }) =>
    `| \`${env}\` | ${defaultText} | ${allowed} | ${help} |`)
  return ['| Variable | Default | Values | What it does |', '|---|---|---|---|', ...rows].join('\n')
}
