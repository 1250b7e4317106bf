/**
 * Reads the fields of a catalogue file one by one. What is wrong with one is a fault with its place in the file, and
 * the rest is read all the same, so that every fault is found.
 */
import { ECHO_MAX } from '../../protocol/names.js'
import { nearest } from '../config/setting-types.js'
import { FAULTS_MAX, type Path, type YamlDocument, type YamlFault } from '../config/yaml-document.js'

const CONTROL = /\p{Cc}/u

export interface CatalogueFault extends YamlFault {
  /** `streams.telemetry.metrics.bus_voltage.id`; '' for the whole file. */
  readonly path: string
}

export type Fields = Readonly<Record<string, unknown>>

export class FieldReader {
  readonly faults: CatalogueFault[] = []

  constructor (protected readonly document: YamlDocument) {}

  /** The value as an object, or null and a fault. @param known without it: any field */
  protected fields (value: unknown, path: Path, known?: readonly string[]): Fields | null {
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
        `is not known here${near === null ? `; use ${known.join(', ')}` : `; did you mean ${near}?`}`)
    }
    return value as Fields
  }

  protected fault (path: Path, message: string): void {
    if (this.faults.length === FAULTS_MAX) return
    this.faults.push({ ...this.document.placeOf(path), path: text(path), message })
  }

  /** One field of a metric that may be left out. */
  protected readField<T, D> (
    key: string, fields: Fields, path: Path, is: (value: unknown) => value is T, rule: string, without: D
  ): T | D {
    if (!Object.hasOwn(fields, key)) return without
    const value = fields[key]
    if (is(value)) return value
    this.fault([...path, key], rule)
    return without
  }

  protected readText (key: string, fields: Fields, path: Path, max: number, without: string): string {
    const is = (value: unknown): value is string =>
      typeof value === 'string' && value.length <= max && !CONTROL.test(value) && isWellFormed(value)
    return this.readField(
      key, fields, path, is, `must be text of at most ${max} characters on one line${quoteHint(fields[key])}`, without)
  }
}

export function text (path: Path): string {
  return path.map((key) => String(key).slice(0, ECHO_MAX)).join('.')
}

/** A lone surrogate is not a character, and jsonb refuses it. */
function isWellFormed (text: string): boolean {
  return !/\p{Cs}/u.test(text)
}

/** YAML reads 5 and yes-no words without quotes as something else. */
function quoteHint (value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? `; put it in quotes: "${String(value)}"` : ''
}
