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
 *   4. At least one stream is not retired, and at least one metric of each stream.
 *   5. It survives JSON: text has no lone surrogates, and numbers are not negative zeros, which become zeros.
 *   6. A state, and no other type, has 1 to STATES_MAX states with different names and numbers.
 *   7. What is simulated is of the type: whole numbers for an int.
 *   8. A number, and no other type, may have a valid range of values of its type. What is simulated, and limits, are
 *      within it.
 */
import {
  Catalogue, STREAMS_MAX, STREAM_ID_MAX, TELEMETRY, TELEMETRY_ID, type Metric, type StreamDefinition
} from '../../protocol/catalogue.js'
import { ALIASES_MAX, METRICS_MAX } from '../../protocol/schema.js'
import { FORM } from './catalogue-json.js'
import { readBounded } from '../config/bounded-file.js'
import { parseDuration } from '../config/setting-types.js'
import { parseYaml, type Path } from '../config/yaml-document.js'
import type { CatalogueFault, Fields } from './field-reader.js'
import { FLAG_RULE, MISSING_ID, MetricReader, TITLE_MAX, isFlag, titleOf } from './metric-reader.js'
import {
  RESERVED_RULE, RESERVED_STREAM_RULE, STREAM_NAME_RULE, excludedBy, isReserved, isReservedStream, isStreamName
} from './name-rules.js'
import { STORAGE_KEYS, readStorage } from './storage.js'

/** Of a file: 250 metrics with long descriptions have 200 kB. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024
/**
 * As the database and servers have it. More than a file can become: JSON writes out what is left to defaults, a quarter
 * of a kilobyte for each metric, and quotes text, which at most doubles it.
 */
export const STORED_BYTES_MAX = 4 * FILE_BYTES_MAX

const STREAM_KEYS = ['id', 'title', 'interval', ...STORAGE_KEYS, 'metrics', 'retired'] as const
const INTERVAL_MS_MIN = 1
const INTERVAL_MS_MAX = 86_400_000

export type ParsedCatalogue =
  | { readonly ok: true, readonly catalogue: Catalogue }
  | { readonly ok: false, readonly faults: readonly CatalogueFault[] }

/** Reads a catalogue from the text of a file. */
export function parseCatalogue (text: string, bytesMax = FILE_BYTES_MAX): ParsedCatalogue {
  if (Buffer.byteLength(text) > bytesMax) {
    return { ok: false, faults: [{ line: 1, column: 1, path: '', message: `has more than ${bytesMax} bytes` }] }
  }
  const parsed = parseYaml(text)
  if (!parsed.ok) return { ok: false, faults: parsed.faults.map((fault) => ({ ...fault, path: '' })) }
  const reader = new CatalogueReader(parsed.document)
  const catalogue = reader.read()
  if (catalogue !== null) return { ok: true, catalogue }
  return { ok: false, faults: reader.faults.toSorted((a, b) => a.line - b.line || a.column - b.column) }
}

/** As compilers print it, so that editors find the place: FILE:LINE:COLUMN. */
export function describeFault (file: string, { line, column, path, message }: CatalogueFault): string {
  return `${file}:${line}:${column}: ${path === '' ? 'the file' : path} ${message}`
}

/** Reads a catalogue from a file. A file that cannot be read has one fault. */
export async function readCatalogueFile (file: string): Promise<ParsedCatalogue> {
  const { text, problem } = await readBounded(file, FILE_BYTES_MAX, 'any')
  if (problem === null) return parseCatalogue(text)
  return { ok: false, faults: [{ line: 1, column: 1, path: '', message: problem }] }
}

class CatalogueReader extends MetricReader {
  /** Null: there are faults. */
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
    if (name !== TELEMETRY && !isStreamName(name)) this.fault(path, `is not a valid stream name: ${STREAM_NAME_RULE}`)
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
        this.fault(['streams', name, 'id'], `${id} is already the id of ${other}`)
      }
      ids.set(id, name)
      const excluding = excludedBy(name)
      if (excluding !== null && streams.some((stream) => stream.name === excluding)) {
        this.fault(['streams', name], `needs the functions that ${excluding} has: choose another name`)
      }
    }
    if (streams.length > 0 && streams.every(({ retired }) => retired)) {
      this.fault(['streams'], 'are all retired: at least one must be in use')
    }
    return this.faults.length === 0 ? new Catalogue(streams) : null
  }

  /** What a metric alone cannot tell. */
  private checkMetrics (metrics: readonly Metric[], path: Path): void {
    const aliases = metrics.reduce((sum, metric) => sum + metric.aliases.length, 0)
    if (aliases > ALIASES_MAX) this.fault(path, `must have at most ${ALIASES_MAX} aliases together, not ${aliases}`)
    const ids = new Map<number, string>()
    const names = new Map(metrics.map(({ name }) => [name, name]))
    for (const { id, name, aliases } of metrics) {
      const other = ids.get(id)
      if (other !== undefined && id !== 0) this.fault([...path, name, 'id'], `${id} is already the id of ${other}`)
      ids.set(id, name)
      if (isReserved(name)) this.fault([...path, name], RESERVED_RULE)
      for (const [index, alias] of aliases.entries()) {
        const taken = names.get(alias)
        if (isReserved(alias)) this.fault([...path, name, 'aliases', index], RESERVED_RULE)
        else if (taken !== undefined) this.fault([...path, name, 'aliases', index], `is already a name of ${taken}`)
        names.set(alias, name)
      }
    }
    if (metrics.every(({ retired }) => retired)) {
      this.fault(
        path, 'are all retired: at least one must be in use')
    }
  }
}
