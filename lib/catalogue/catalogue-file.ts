/**
 * The catalogue file: YAML, or JSON, which YAML includes; its form is catalogue.schema.json.
 *
 *   catalogue: 1
 *   streams:
 *     telemetry:
 *       metrics:
 *         bus_voltage: { id: 1, title: Bus voltage, unit: V, limits: { low: { warning: 26, critical: 24 } } }
 *     thermal:
 *       id: 2
 *       metrics:
 *         panel_temperature: { id: 1, unit: °C }
 *
 * Every fault is named with its line and column. What a catalogue must fulfil beyond the form:
 *
 *   1. There are 1 to STREAMS_MAX streams with different ids, one of them `telemetry` with the id 1. Each has 1 to
 *      METRICS_MAX metrics and at most ALIASES_MAX aliases. The name of a stream is that of no other table or path.
 *   2. Ids of a stream's metrics are different; so are their names and aliases, all of them together.
 *   3. Limits follow the rules of lib/limits/validate.ts.
 *   4. One metric of each stream at least is not retired, and one stream.
 *   5. It survives JSON: text has no lone surrogates, and numbers are not negative zeros, which become zeros.
 *   6. A state, and no other type, has 1 to STATES_MAX states with different names and numbers.
 *   7. What is simulated is of the type: whole numbers for an int.
 */
import { createReadStream } from 'node:fs'
import {
  Catalogue, ID_MAX, NUMBER_SIMULATIONS, STREAMS_MAX, STREAM_ID_MAX, TELEMETRY, TELEMETRY_ID, type Metric,
  type MetricLimits, type NumberSimulation, type Simulation, type StreamDefinition
} from '../../protocol/catalogue.js'
import { ALIASES_MAX, METRICS_MAX, PointSchema, isMetricName } from '../../protocol/schema.js'
import {
  METRIC_TYPES, STATES_MAX, STATE_MAX, STATE_MIN, ValueType, isStateName, type MetricType,
  type State
} from '../../protocol/value-types.js'
import { FORM } from './catalogue-json.js'
import { nearest, parseDuration } from '../config/value-types.js'
import { parseLimitSet } from '../limits/validate.js'
import { FAULTS_MAX, parseYaml, type Path, type YamlDocument, type YamlFault } from '../config/yaml-document.js'
import {
  NAME_RULE, RESERVED_RULE, RESERVED_STREAM_RULE, STATE_NAME_RULE, STREAM_NAME_RULE, isReserved, isReservedStream,
  isStreamName
} from './names.js'
import { isPairOf, pairRule, simulationOf, type Pair } from './simulation.js'
import { STORAGE_KEYS, readStorage } from './storage.js'

/** Of a file: 250 metrics with long descriptions have 200 kB. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024
export const TITLE_MAX = 80
export const UNIT_MAX = 24
export const DESCRIPTION_MAX = 500
const CONTROL = /\p{Cc}/u

const STREAM_KEYS = ['id', 'title', 'interval', ...STORAGE_KEYS, 'metrics', 'retired'] as const
const INTERVAL_MS_MIN = 1
const INTERVAL_MS_MAX = 86_400_000
const METRIC_KEYS = [
  'id', 'type', 'states', 'title', 'unit', 'description', 'resolution', 'limits', 'simulate', 'aliases', 'retired'
] as const

export interface CatalogueFault extends YamlFault {
  /** `streams.telemetry.metrics.bus_voltage.id`; '' for the whole file. */
  readonly path: string
}

export type ParsedCatalogue =
  | { readonly ok: true, readonly catalogue: Catalogue }
  | { readonly ok: false, readonly faults: readonly CatalogueFault[] }

/** Reads a catalogue from the text of a file. */
export function parseCatalogue (text: string): ParsedCatalogue {
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) {
    return { ok: false, faults: [{ line: 1, column: 1, path: '', message: `has more than ${FILE_BYTES_MAX} bytes` }] }
  }
  const parsed = parseYaml(text)
  if (!parsed.ok) return { ok: false, faults: parsed.faults.map((fault) => ({ ...fault, path: '' })) }
  const reader = new CatalogueReader(parsed.document)
  const catalogue = reader.read()
  if (catalogue === null || reader.faults.length > 0) {
    return {
      ok: false, faults: reader.faults.toSorted((a, b) => a.line - b.line || a.column - b.column)
    }
  }
  return { ok: true, catalogue }
}

/** As compilers print it, so that editors find the place: FILE:LINE:COLUMN. */
export function describeFault (file: string, { line, column, path, message }: CatalogueFault): string {
  return `${file}:${line}:${column}: ${path === '' ? 'the file' : path} ${message}`
}

/** Reads a catalogue from a file. A file that cannot be read has one fault. */
export async function readCatalogueFile (file: string): Promise<ParsedCatalogue> {
  try {
    const chunks: Buffer[] = []
    // `end` is the last byte that is read: one too many is found out.
    for await (const chunk of createReadStream(file, { end: FILE_BYTES_MAX })) chunks.push(chunk as Buffer)
    return parseCatalogue(Buffer.concat(chunks).toString('utf8'))
  } catch (error) {
    return {
      ok: false, faults: [{ line: 1, column: 1, path: '', message: `cannot be read: ${(error as Error).message}` }]
    }
  }
}

type Fields = Readonly<Record<string, unknown>>

class CatalogueReader {
  readonly faults: CatalogueFault[] = []

  constructor (private readonly document: YamlDocument) {}

  read (): Catalogue | null {
    const fields = this.fields(this.document.value, [], ['catalogue', 'streams'])
    if (fields === null) return null
    if (fields['catalogue'] !== FORM) this.fault(['catalogue'], `must be ${FORM}, the form of this file`)
    const streams = this.fields(fields['streams'], ['streams'])
    if (streams === null) return null
    const count = Object.keys(streams).length
    if (count > STREAMS_MAX) {
      this.fault(['streams'], `must have at most ${STREAMS_MAX} streams, not ${count}`)
      return null
    }
    if (!Object.hasOwn(streams, TELEMETRY)) this.fault(['streams'], `must have the stream ${TELEMETRY}`)
    const read = Object.entries(streams).map(([name, value]) => this.readStream(name, value, ['streams', name]))
    return this.checkStreams(read.filter((stream) => stream !== null))
  }

  private readStream (name: string, value: unknown, path: Path): StreamDefinition | null {
    if (name !== TELEMETRY && !isStreamName(name)) this.fault(path, `is not a name for a stream: ${STREAM_NAME_RULE}`)
    else if (isReservedStream(name)) this.fault(path, RESERVED_STREAM_RULE)
    const fields = this.fields(value, path, STREAM_KEYS)
    const entries = fields === null ? null : this.fields(fields['metrics'], [...path, 'metrics'])
    if (fields === null || entries === null) return null
    const count = Object.keys(entries).length
    if (count === 0 || count > METRICS_MAX) {
      this.fault([...path, 'metrics'], `must have 1 to ${METRICS_MAX} metrics, not ${count}`)
      return null
    }
    const metrics = Object.entries(entries).map(([metric, value]) => this.readMetric(
      metric, value, [...path, 'metrics', metric]))
    this.checkMetrics(metrics, [...path, 'metrics'])
    return {
      id: this.readStreamId(name, fields, path),
      name,
      title: this.readText('title', fields, path, TITLE_MAX, titleOf(name)),
      intervalMs: this.readInterval(fields['interval'], [...path, 'interval']),
      storage: readStorage(fields, (key, message) => { this.fault([...path, key], message) }),
      metrics,
      retired: this.readField('retired', fields, path, isFlag, FLAG_RULE, false)
    }
  }

  private readInterval (value: unknown, path: Path): number | null {
    if (value === undefined) return null
    const ms = typeof value === 'string' ? parseDuration(value) : null
    if (ms !== null && Number.isInteger(ms) && ms >= INTERVAL_MS_MIN && ms <= INTERVAL_MS_MAX) return ms
    this.fault(path, 'must be a time from 1ms to 1d, such as 10s')
    return null
  }

  private readStreamId (name: string, fields: Fields, path: Path): number {
    if (name === TELEMETRY) {
      const isIts = (id: unknown): id is typeof TELEMETRY_ID => id === TELEMETRY_ID
      return this.readField('id', fields, path, isIts, `must be ${TELEMETRY_ID}`, TELEMETRY_ID)
    }
    if (!Object.hasOwn(fields, 'id')) this.fault(path, MISSING_ID)
    const isId = (id: unknown): id is number =>
      Number.isInteger(id) && (id as number) > TELEMETRY_ID && (id as number) <= STREAM_ID_MAX
    const rule = `must be a whole number from ${TELEMETRY_ID + 1} to ${STREAM_ID_MAX}`
    return this.readField('id', fields, path, isId, rule, 0)
  }

  private checkStreams (streams: readonly StreamDefinition[]): Catalogue | null {
    const ids = new Map<number, string>()
    for (const { id, name } of streams) {
      const other = ids.get(id)
      if (other !== undefined && id !== 0) {
        this.fault(['streams', name, 'id'], `${id} is the id of ${other} already`)
      }
      ids.set(id, name)
    }
    if (streams.length > 0 && streams.every(({ retired }) => retired)) {
      this.fault(['streams'], 'are all retired: one at least must be sent')
    }
    return this.faults.length === 0 ? new Catalogue(streams) : null
  }

  private readMetric (name: string, value: unknown, path: Path): Metric {
    if (!isMetricName(name)) this.fault(path, `is not a name for a metric: ${NAME_RULE}`)
    const fields = this.fields(value, path, METRIC_KEYS) ?? {}
    if (!Object.hasOwn(fields, 'id') && this.faults.at(-1)?.path !== text(path)) {
      this.fault(path, MISSING_ID)
    }
    const isType = (type: unknown): type is MetricType => METRIC_TYPES.some((known) => known === type)
    const type = this.readField('type', fields, path, isType, `must be one of ${METRIC_TYPES.join(', ')}`, 'float')
    const states = this.readStates(type, fields['states'], path)
    const valueType = new ValueType(type, states)
    const limits = this.readLimits(name, fields['limits'], valueType, [...path, 'limits'])
    return {
      id: this.readField(
        'id', fields, path,
        (id): id is number => Number.isInteger(id) && (id as number) >= 1 && (id as number) <= ID_MAX,
        `must be a whole number from 1 to ${ID_MAX}`, 0),
      name,
      type,
      states,
      aliases: this.readAliases(fields['aliases'], [...path, 'aliases']),
      title: this.readText('title', fields, path, TITLE_MAX, titleOf(name)),
      unit: this.readText('unit', fields, path, UNIT_MAX, ''),
      description: this.readText('description', fields, path, DESCRIPTION_MAX, ''),
      resolution: this.readField(
        'resolution', fields, path, (step): step is number => isFinite(step) && step > 0, 'must be a number above 0',
        null),
      limits,
      simulation: this.readSimulation(fields['simulate'], limits, valueType, [...path, 'simulate']),
      retired: this.readField('retired', fields, path, isFlag, FLAG_RULE, false)
    }
  }

  /** One field of a metric that may be left out. */
  private readField<T, D> (
    key: string, fields: Fields, path: Path, is: (value: unknown) => value is T, rule: string, without: D
  ): T | D {
    if (!Object.hasOwn(fields, key)) return without
    const value = fields[key]
    if (is(value)) return value
    this.fault([...path, key], rule)
    return without
  }

  private readText (key: string, fields: Fields, path: Path, max: number, without: string): string {
    const is = (value: unknown): value is string =>
      typeof value === 'string' && value.length <= max && !CONTROL.test(value) && isWellFormed(value)
    return this.readField(
      key, fields, path, is, `must be text of at most ${max} characters on one line${quoteHint(fields[key])}`, without)
  }

  /** The states of a state, by value; none of another type. */
  private readStates (type: MetricType, value: unknown, path: Path): State[] {
    const statesPath = [...path, 'states']
    if (type !== 'state') {
      if (value !== undefined) this.fault(statesPath, 'are for metrics of the type state only')
      return []
    }
    if (value === undefined) {
      this.fault(path, 'has no states: names with their numbers, such as { OFF: 0, ON: 1 }')
      return []
    }
    const entries = Object.entries(this.fields(value, statesPath) ?? {})
    if (entries.length === 0 || entries.length > STATES_MAX) {
      this.fault(statesPath, `must have 1 to ${STATES_MAX} names with their numbers, not ${entries.length}`)
    }
    const names = new Map<unknown, string>()
    const states = entries.filter((entry): entry is [string, number] => {
      const [name, number] = entry
      const at = [...statesPath, name]
      const isNumber = Number.isInteger(number) && (number as number) >= STATE_MIN && (number as number) <= STATE_MAX
      if (!isStateName(name)) this.fault(at, `is not a name for a state: ${STATE_NAME_RULE}`)
      if (!isNumber) this.fault(at, `must be a whole number from ${STATE_MIN} to ${STATE_MAX}`)
      else if (names.has(number)) this.fault(at, `${String(number)} is the number of ${names.get(number)} already`)
      names.set(number, name)
      return isNumber
    })
    return states.map(([name, number]) => ({ name, value: number + 0 })).sort((a, b) => a.value - b.value)
  }

  private readAliases (value: unknown, path: Path): string[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.fault(path, 'must be a list of names')
      return []
    }
    return value.filter((alias, index): alias is string => {
      if (typeof alias === 'string' && isMetricName(alias)) return true
      this.fault([...path, index], `is not a name for a metric: ${NAME_RULE}`)
      return false
    })
  }

  private readLimits (name: string, value: unknown, type: ValueType, path: Path): MetricLimits {
    if (value === undefined || !isMetricName(name) || isReserved(name)) return {}
    // The states are at fault, and named already.
    if (type.name === 'state' && type.states.length === 0) return {}
    const parsed = parseLimitSet({ default: { [name]: value } }, new PointSchema([name], [], [type]), null)
    if (parsed.ok) return withoutNegativeZeros(parsed.set.default[name] ?? {})
    const prefix = `default.${name}`
    for (const { field, message } of parsed.faults) {
      const rest = field.slice(prefix.length + 1)
      this.fault(rest === '' ? path : [...path, ...pathOf(rest)], message)
    }
    return {}
  }

  private readSimulation (value: unknown, limits: MetricLimits, type: ValueType, path: Path): Simulation {
    if (type.name === 'bool' || type.name === 'state') {
      const fields = value === undefined ? {} : this.fields(value, path, ['kind']) ?? {}
      const isStates = (kind: unknown): kind is 'states' => kind === 'states'
      return { kind: this.readField('kind', fields, path, isStates, 'must be states', 'states') }
    }
    const without = simulationOf(limits, type.name)
    if (value === undefined) return without
    const fields = this.fields(value, path, ['kind', 'between', 'beyond'])
    if (fields === null) return without
    const isPair = (value: unknown): value is Pair => isPairOf(value, type.name)
    const rule = pairRule(type.name)
    const isKind = (kind: unknown): kind is NumberSimulation['kind'] => NUMBER_SIMULATIONS.some(
      (known) => known === kind)
    return {
      kind: this.readField(
        'kind', fields, path, isKind, `must be one of ${NUMBER_SIMULATIONS.join(', ')}`, without.kind),
      between: withoutNegativeZeros(this.readField('between', fields, path, isPair, rule, without.between)),
      beyond: withoutNegativeZeros(this.readField(
        'beyond', fields, path, (pair): pair is Pair | null => pair === null || isPair(pair), `${rule}, or null`,
        without.beyond))
    }
  }

  /** What a metric alone cannot tell. */
  private checkMetrics (metrics: readonly Metric[], path: Path): void {
    const aliases = metrics.reduce((sum, metric) => sum + metric.aliases.length, 0)
    if (aliases > ALIASES_MAX) this.fault(path, `must have at most ${ALIASES_MAX} aliases together, not ${aliases}`)
    const ids = new Map<number, string>()
    const names = new Map(metrics.map(({ name }) => [name, name]))
    for (const { id, name, aliases } of metrics) {
      const other = ids.get(id)
      if (other !== undefined && id !== 0) this.fault([...path, name, 'id'], `${id} is the id of ${other} already`)
      ids.set(id, name)
      if (isReserved(name)) this.fault([...path, name], RESERVED_RULE)
      for (const [index, alias] of aliases.entries()) {
        const taken = names.get(alias)
        if (isReserved(alias)) this.fault([...path, name, 'aliases', index], RESERVED_RULE)
        else if (taken !== undefined) this.fault([...path, name, 'aliases', index], `is a name of ${taken} already`)
        names.set(alias, name)
      }
    }
    if (metrics.every(({ retired }) => retired)) {
      this.fault(
        path, 'are all retired: one at least must be sent')
    }
  }

  /** The value as an object, or null and a fault. @param known without it: any field */
  private fields (value: unknown, path: Path, known?: readonly string[]): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fault(path, `must be a mapping${known === undefined ? '' : ` with ${known.join(', ')}`}`)
      return null
    }
    if (known === undefined) return value as Fields
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      if (this.faults.length === FAULTS_MAX) break
      const near = nearest(key, known)
      this.fault(
        [...path, key],
        `is not known here${near === null ? `; known are ${known.join(', ')}` : `; did you mean ${near}?`}`)
    }
    return value as Fields
  }

  private fault (path: Path, message: string): void {
    if (this.faults.length === FAULTS_MAX) return
    this.faults.push({ ...this.document.placeOf(path), path: text(path), message })
  }
}

const MISSING_ID = 'has no id: a number of its own, which never changes'
const FLAG_RULE = 'must be true or false'

/** Of `states.critical[1]`. */
function pathOf (field: string): Path {
  return (field.match(/[^.[\]]+/g) ?? []).map((key) => /^\d+$/.test(key) ? Number(key) : key)
}

function text (path: Path): string {
  return path.join('.')
}

function isFinite (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

/** A lone surrogate is no character, and jsonb refuses it. */
function isWellFormed (text: string): boolean {
  return !/\p{Cs}/u.test(text)
}

/** jsonb has no negative zero: a stored catalogue would differ from its file. JSON.stringify writes it as 0. */
function withoutNegativeZeros<T> (value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}

/** battery_charge → Battery charge */
function titleOf (name: string): string {
  const words = name.replaceAll('_', ' ').trim().slice(0, TITLE_MAX)
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** YAML reads 5 and yes-no words without quotes as something else. */
function quoteHint (value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? `; put it in quotes: "${String(value)}"` : ''
}

function isFlag (value: unknown): value is boolean {
  return typeof value === 'boolean'
}
