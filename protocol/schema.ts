/**
 * The fields of the points of one stream, prepared for the decoders: their order, and a hash table that finds them by
 * the bytes of their names. Field f has the name `fields[f]`; metric m is field FIRST_METRIC + m. Aliases are fields
 * behind the metrics; a decoder stores the value of one in the field that target() gives.
 */
import { FLOAT, type ValueType } from './value-types.js'

/** Fields of every schema. */
export const SATELLITE_ID = 0
export const TIME = 1
export const TIMESTAMP = 2
export const FIRST_METRIC = 3
/** Not the name of a field. */
export const UNKNOWN_FIELD = -1

/** Metrics per stream: a rollup row, with four columns per metric, must fit into a page of PostgreSQL. */
export const METRICS_MAX = 250
/** Aliases of all metrics together. */
export const ALIASES_MAX = 250
export const FIELDS_MAX = FIRST_METRIC + METRICS_MAX + ALIASES_MAX
/** Longest name of a metric: PostgreSQL truncates identifiers to 63 bytes, and rollups append to names. */
export const NAME_BYTES_MAX = 41

const METRIC_NAME = new RegExp(`^[a-z][a-z0-9_]{0,${NAME_BYTES_MAX - 1}}$`)
/** Slots in the hash table per field, so that there are few collisions. */
const SLOTS_PER_FIELD = 4
const FNV_PRIME = 0x01000193

/** Whether a metric or an alias may have this name, except for `time`, `timestamp` and `satellite_id`. */
export function isMetricName (name: string): boolean {
  return METRIC_NAME.test(name)
}

/** Another name that senders may use for a metric. */
export interface Alias {
  readonly name: string
  readonly metric: string
}

/** Fields of every point. */
const OWN_FIELDS = ['satellite_id', 'time', 'timestamp'] as const

export class PointSchema {
  /** Names in the order of the columns. */
  readonly metrics: readonly string[]
  readonly metricCount: number
  /** By metric. */
  readonly types: readonly ValueType[]
  /** Whether all metrics are of the type float: encoders then have nothing to tell apart. */
  readonly isAllFloat: boolean
  /** Whether all metrics take any float: decoders then have nothing to check. */
  readonly takesAnyFloat: boolean
  /** Names of all fields but aliases, in the order in which messages list them. */
  readonly names: readonly string[]
  /** `names`, then the aliases. */
  readonly fields: readonly string[]
  /** The first field that is an alias. */
  readonly firstAlias: number
  private readonly fieldSet: ReadonlySet<string>
  /** The bytes of the field names. */
  private readonly bytes: readonly Uint8Array[]
  /** By alias, counted from `firstAlias`: the field of its metric. */
  private readonly targets: readonly number[]
  /** By metric: its aliases; undefined for a metric without any. */
  readonly aliasLists: ReadonlyArray<readonly string[] | undefined>
  /** Open-addressing hash table of fields. */
  private readonly slots: Int16Array

  /**
   * @param metrics distinct names of lower-case ASCII letters, digits and _
   * @param aliases further names, also distinct, of some of the metrics
   * @param types by metric; default: float
   * @throws {RangeError} for any others
   */
  constructor (metrics: readonly string[], aliases: readonly Alias[] = [], types: readonly ValueType[] = []) {
    if (metrics.length === 0 || metrics.length > METRICS_MAX) {
      throw new RangeError(`a stream has 1 to ${METRICS_MAX} metrics, not ${metrics.length}`)
    }
    if (aliases.length > ALIASES_MAX) {
      throw new RangeError(`a stream has at most ${ALIASES_MAX} aliases, not ${aliases.length}`)
    }
    this.metrics = [...metrics]
    this.metricCount = metrics.length
    this.types = metrics.map((_, metric) => types[metric] ?? FLOAT)
    this.isAllFloat = this.types.every(({ name }) => name === 'float')
    this.takesAnyFloat = this.types.every(({ takesAnyFloat }) => takesAnyFloat)
    this.names = [...OWN_FIELDS, ...metrics]
    this.fields = [...this.names, ...aliases.map(({ name }) => name)]
    this.firstAlias = this.names.length
    const isWrong = (name: string, index: number): boolean => (
      index >= FIRST_METRIC && (!isMetricName(name) || this.fields.indexOf(name) !== index)
    )
    const wrong = this.fields.find(isWrong)
    if (wrong !== undefined) throw new RangeError(`${wrong} is not a valid metric name, or is repeated`)
    this.targets = aliases.map(({ metric }) => this.names.indexOf(metric, FIRST_METRIC))
    if (this.targets.includes(UNKNOWN_FIELD)) throw new RangeError('an alias names an unknown metric')
    const lists: string[][] = []
    for (const { name, metric } of aliases) (lists[metrics.indexOf(metric)] ??= []).push(name)
    this.aliasLists = lists
    this.fieldSet = new Set(this.fields)
    this.bytes = this.fields.map((name) => Buffer.from(name))
    const slotCount = 2 ** Math.ceil(Math.log2(this.fields.length * SLOTS_PER_FIELD))
    this.slots = new Int16Array(slotCount).fill(UNKNOWN_FIELD)
    for (const [field, name] of this.bytes.entries()) this.slots[this.slotOf(name, 0, name.length)] = field
  }

  /** The field itself, or the metric of an alias. */
  target (field: number): number {
    return field < this.firstAlias ? field : this.targets[field - this.firstAlias] as number
  }

  isField (name: string): boolean {
    return this.fieldSet.has(name)
  }

  /** The field named by the `length` bytes at `start`, or UNKNOWN_FIELD. */
  fieldAt (bytes: Uint8Array, start: number, length: number): number {
    return length > NAME_BYTES_MAX ? UNKNOWN_FIELD : this.slots[this.slotOf(bytes, start, length)] ?? UNKNOWN_FIELD
  }

  /** Whether the bytes at `start` begin with the name of a field. */
  isFieldAt (field: number, bytes: Uint8Array, start: number): boolean {
    const name = this.bytes[field] as Uint8Array
    for (let at = 0; at < name.length; at++) {
      if (bytes[start + at] !== name[at]) return false
    }
    return true
  }

  /** Bytes of the name of a field. */
  nameLength (field: number): number {
    return (this.bytes[field] as Uint8Array).length
  }

  /** The slot of a name, or the empty one where it would be inserted. */
  private slotOf (bytes: Uint8Array, start: number, length: number): number {
    const last = this.slots.length - 1
    // FNV-1a. Senders cannot add names to the table, so they cannot cause collisions.
    let hash = length
    for (let at = start; at < start + length; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
    let slot = (hash ^ hash >>> 15) & last
    for (let field = this.slots[slot] as number; field !== UNKNOWN_FIELD; field = this.slots[slot] as number) {
      if (this.nameLength(field) === length && this.isFieldAt(field, bytes, start)) break
      slot = (slot + 1) & last
    }
    return slot
  }
}
