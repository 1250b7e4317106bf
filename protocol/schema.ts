/**
 * What a point of one stream may hold, made ready for the decoders: its fields in order, and a table that finds them by
 * the bytes of their names. Field f is the text `fields[f]`; metric m is field FIRST_METRIC + m.
 */

/** Positions of the fields that every point has. */
export const SATELLITE_ID = 0
export const TIME = 1
export const TIMESTAMP = 2
export const FIRST_METRIC = 3
/** No field has this name. */
export const UNKNOWN_FIELD = -1

/** Metrics of one stream at most: a row of rollups, with four columns a metric, must fit into one page of PostgreSQL. */
export const METRICS_MAX = 250
export const FIELDS_MAX = FIRST_METRIC + METRICS_MAX
/** Longest name of a metric in bytes: PostgreSQL cuts identifiers at 63, and rollups append to it. */
export const NAME_BYTES_MAX = 41

const METRIC_NAME = new RegExp(`^[a-z][a-z0-9_]{0,${NAME_BYTES_MAX - 1}}$`)
/** Names that a message lists at most. */
const LISTED_MAX = 20
/** Places in the table for each field: few names share one. */
const PLACES_PER_FIELD = 4
const FNV_PRIME = 0x01000193

export class PointSchema {
  /** Names in the order of the columns. */
  readonly metrics: readonly string[]
  readonly metricCount: number
  /** Every field of a point, in the order in which messages list them. */
  readonly fields: readonly string[]
  private readonly fieldSet: ReadonlySet<string>
  /** The bytes of each field's name. */
  private readonly names: readonly Uint8Array[]
  /** By hash, and the place behind it where that one is taken: a field. */
  private readonly places: Int16Array

  /** @param metrics names: lower-case ASCII letters, digits and _, each once. Throws a RangeError for others. */
  constructor (metrics: readonly string[]) {
    if (metrics.length === 0 || metrics.length > METRICS_MAX) throw new RangeError(`a stream has 1 to ${METRICS_MAX} metrics, not ${metrics.length}`)
    this.metrics = [...metrics]
    this.metricCount = metrics.length
    this.fields = ['satellite_id', 'time', 'timestamp', ...metrics]
    const wrong = metrics.find((name, index) => !METRIC_NAME.test(name) || this.fields.indexOf(name) !== FIRST_METRIC + index)
    if (wrong !== undefined) throw new RangeError(`${wrong} is no name for a metric, or stands twice`)
    this.fieldSet = new Set(this.fields)
    this.names = this.fields.map((name) => Buffer.from(name))
    this.places = new Int16Array(2 ** Math.ceil(Math.log2(this.fields.length * PLACES_PER_FIELD))).fill(UNKNOWN_FIELD)
    for (const [field, name] of this.names.entries()) this.places[this.placeOf(name, 0, name.length)] = field
  }

  isField (name: string): boolean {
    return this.fieldSet.has(name)
  }

  /** The field whose name are the `length` bytes from `start` on, or UNKNOWN_FIELD. */
  fieldAt (bytes: Uint8Array, start: number, length: number): number {
    return length > NAME_BYTES_MAX ? UNKNOWN_FIELD : this.places[this.placeOf(bytes, start, length)] ?? UNKNOWN_FIELD
  }

  /** Whether the bytes from `start` on begin with the name of a field. */
  isFieldAt (field: number, bytes: Uint8Array, start: number): boolean {
    const name = this.names[field] as Uint8Array
    for (let at = 0; at < name.length; at++) {
      if (bytes[start + at] !== name[at]) return false
    }
    return true
  }

  /** Bytes of a field's name. */
  nameLength (field: number): number {
    return (this.names[field] as Uint8Array).length
  }

  /** The place of a name, or the empty one where it would stand. */
  private placeOf (bytes: Uint8Array, start: number, length: number): number {
    const last = this.places.length - 1
    // FNV-1a. Whoever sends names can only choose among those of the catalogue.
    let hash = length
    for (let at = start; at < start + length; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
    let place = (hash ^ hash >>> 15) & last
    for (let field = this.places[place] as number; field !== UNKNOWN_FIELD; field = this.places[place] as number) {
      if (this.nameLength(field) === length && this.isFieldAt(field, bytes, start)) break
      place = (place + 1) & last
    }
    return place
  }
}

/** Names of fields or metrics as a message lists them. */
export function listNames (names: readonly string[]): string {
  const rest = names.length - LISTED_MAX
  return rest > 0 ? `${names.slice(0, LISTED_MAX).join(', ')} and ${rest} more` : names.join(', ')
}
