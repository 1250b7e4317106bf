/**
 * Writes points as JSON text straight into a buffer, without creating a string per point.
 *
 *   {"satellite_id":"SAT-0001","time":"2024-06-01T12:00:00.000Z","<metric>":93.15,…}
 *
 * All but the time and the numbers is prepared once per satellite and metric, the words for states and bools too.
 * Numbers with at most two decimals, which most are, take the quick way.
 */
import type { PointSchema } from '../../../protocol/schema.js'
import { STATE_NAME_BYTES_MAX } from '../../../protocol/value-types.js'

const TIME_BYTES = 24
/** Longest text of a number, or of a state in quotes. */
const VALUE_BYTES_MAX = STATE_NAME_BYTES_MAX + 2
const HUNDREDTHS_MAX = 2 ** 31
const ZERO = 48
const MINUS = 45
const POINT = 46
const CLOSING_BRACE = 125
const QUOTE = 34

export class PointText {
  /** Longest text of a point. */
  readonly pointBytesMax: number
  private readonly heads: readonly Buffer[]
  private readonly keys: readonly Buffer[]
  /** By metric and value; null for numbers. */
  private readonly words: ReadonlyArray<ReadonlyMap<number, Buffer> | null>
  private readonly time = Buffer.alloc(TIME_BYTES)
  private timeMs = NaN

  constructor (ids: readonly string[], { metrics, types }: PointSchema) {
    this.heads = ids.map(id => Buffer.from(`{"satellite_id":${JSON.stringify(id)},"time":"`))
    this.keys = metrics.map((name) => Buffer.from(`,${JSON.stringify(name)}:`))
    this.words = types.map(({ name, states }) => states.length === 0
      ? null
      : new Map(states.map((state) => [state.value, Buffer.from(name === 'bool' ? state.name : `"${state.name}"`)])))
    const keyBytes = this.keys.reduce((sum, key) => sum + key.length, 0)
    const headBytes = this.heads.reduce((max, head) => Math.max(max, head.length), 0)
    this.pointBytesMax = headBytes + TIME_BYTES + keyBytes + metrics.length * VALUE_BYTES_MAX + 2
  }

  /**
   * Writes one point at `start`, where pointBytesMax bytes must be free.
   *
   * @param satellite index into the ids passed to the constructor
   * @param timeMs whole milliseconds since 1970
   * @returns the offset after it
   */
  write (target: Buffer, start: number, satellite: number, timeMs: number, values: Float64Array): number {
    if (timeMs !== this.timeMs) this.setTime(timeMs)
    const head = this.heads[satellite]
    if (head === undefined) throw new RangeError(`there is no satellite ${satellite}`)
    let at = put(target, start, head)
    at = put(target, at, this.time)
    target[at++] = QUOTE
    for (let metric = 0; metric < this.keys.length; metric++) {
      const value = values[metric] ?? NaN
      if (Number.isNaN(value)) continue
      at = put(target, at, this.keys[metric] as Buffer)
      const word = this.words[metric]?.get(value)
      at = word === undefined ? putNumber(target, at, value) : put(target, at, word)
    }
    target[at++] = CLOSING_BRACE
    return at
  }

  /** Many points share a millisecond: its text is formatted once. */
  private setTime (timeMs: number): void {
    this.timeMs = timeMs
    this.time.write(new Date(timeMs).toISOString(), 'latin1')
  }
}

/** Byte by byte: faster than set() for pieces as short as these. */
function put (target: Buffer, at: number, piece: Buffer): number {
  for (let index = 0; index < piece.length; index++) target[at + index] = piece[index] ?? 0
  return at + piece.length
}

function putNumber (target: Buffer, start: number, value: number): number {
  let at = start
  let hundredths = Math.round(value * 100)
  // More decimals than two, or too large for the digits below.
  const isPlain = hundredths / 100 === value && Math.abs(hundredths) < HUNDREDTHS_MAX
  if (!isPlain) return at + target.write(String(value), at, 'latin1')
  if (hundredths < 0) {
    target[at++] = MINUS
    hundredths = -hundredths
  }
  const whole = Math.floor(hundredths / 100)
  const fraction = hundredths - whole * 100
  at = putWhole(target, at, whole)
  if (fraction === 0) return at
  const tenths = Math.floor(fraction / 10)
  target[at++] = POINT
  target[at++] = ZERO + tenths
  if (fraction !== tenths * 10) target[at++] = ZERO + fraction - tenths * 10
  return at
}

/** Writes a whole number below 2^31, not negative. @returns the offset after it */
export function putWhole (target: Buffer, start: number, whole: number): number {
  let digits = 1
  for (let bound = 10; whole >= bound; bound *= 10) digits++
  let rest = whole | 0
  for (let at = start + digits - 1; at >= start; at--) {
    const tens = (rest / 10) | 0
    target[at] = ZERO + rest - tens * 10
    rest = tens
  }
  return start + digits
}
