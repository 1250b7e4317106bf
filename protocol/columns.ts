/**
 * Decoded points, in columns.
 *
 * A decoder fills one PointColumns from one body or packet, the pipeline reads it, and the next
 * body fills it again: no object is made per point. Point i has its satellite in `satellites[i]`,
 * its time in `timesMicros[i]`, and metric m of its schema in `values[i * schema.metricCount + m]`.
 *
 *   satellites   [ S0      | S1      | … ]        interned, see satellites.ts
 *   timesMicros  [ t0      | t1      | … ]        µs since 1970-01-01 UTC, whole numbers below 2^53
 *   values       [ a b c   | a b c   | … ]        NaN: null or absent
 *
 * Times are already resolved: a point without time got the time of receipt from its decoder.
 */
import type { Satellite } from './satellites.js'
import type { PointSchema } from './schema.js'

/**
 * Points of one body at most. What a body costs, whatever its bytes are, is bounded by this and not by its size
 * alone: a point may be five bytes of a compressed body, and becomes a thousand times as many with its anomalies. While a
 * body is decoded nobody else is answered, and bodies of more than some thousand points gain nothing.
 */
export const POINTS_MAX = 10_000

export class PointColumns {
  /** Points held; entries from here on are left over from earlier bodies. */
  count = 0
  satellites: Satellite[] = []
  timesMicros: Float64Array
  values: Float64Array

  /** @param schema of the stream whose points these are */
  constructor (readonly schema: PointSchema, capacity = 1024) {
    this.timesMicros = new Float64Array(capacity)
    this.values = new Float64Array(capacity * schema.metricCount)
  }

  clear (): void {
    this.count = 0
  }

  /**
   * Makes room for one more point behind those that are held: its metrics and its time are NaN. The caller writes what
   * the point has, and holds it with hold(). The arrays may be others than before.
   * @returns where its metrics begin in `values`; its index is `count`
   */
  begin (): number {
    const { count, schema: { metricCount } } = this
    if (count === this.timesMicros.length) this.grow()
    this.timesMicros[count] = NaN
    const { values } = this
    const first = count * metricCount
    // A loop: fill() costs more than the few numbers of one point.
    for (let at = first; at < first + metricCount; at++) values[at] = NaN
    return first
  }

  /** Holds the point that was begun. */
  hold (satellite: Satellite): void {
    this.satellites[this.count++] = satellite
  }

  /** Holds one more point and returns its index; its metrics are NaN until the caller writes them. */
  push (satellite: Satellite, timeMicros: number): number {
    this.begin()
    this.timesMicros[this.count] = timeMicros
    this.hold(satellite)
    return this.count - 1
  }

  private grow (): void {
    const times = new Float64Array(this.timesMicros.length * 2)
    times.set(this.timesMicros)
    this.timesMicros = times
    const values = new Float64Array(this.values.length * 2)
    values.set(this.values)
    this.values = values
  }
}
