/**
 * Decoded points, in columns.
 *
 * A decoder fills a PointColumns from one body or packet, the pipeline reads it, and the next body refills it: there is
 * no object per point. Point i has its satellite in `satellites[i]`, its time in `timesMicros[i]`, and metric m of its
 * schema in `values[i * schema.metricCount + m]`.
 *
 *   satellites   [ S0      | S1      | … ]        interned, see satellites.ts
 *   timesMicros  [ t0      | t1      | … ]        µs since 1970-01-01 UTC, integers below 2^53
 *   values       [ a b c   | a b c   | … ]        NaN: null or absent
 *
 * Times are resolved: the decoder gives a point without a time the time of receipt.
 */
import type { Satellite } from './satellites.js'
import type { PointSchema } from './schema.js'

/**
 * Points per body. Limiting the size of a body is not enough to limit its cost: a point may be five bytes of a
 * compressed body, and a thousand times as many with its anomalies. Decoding a body blocks all other requests, and
 * bodies of more than several thousand points gain nothing.
 */
export const POINTS_MAX = 10_000

export class PointColumns {
  /** Number of points; entries beyond are left over from earlier bodies. */
  count = 0
  satellites: Satellite[] = []
  timesMicros: Float64Array
  values: Float64Array

  /** @param schema of the points */
  constructor (readonly schema: PointSchema, capacity = 1024) {
    this.timesMicros = new Float64Array(capacity)
    this.values = new Float64Array(capacity * schema.metricCount)
  }

  clear (): void {
    this.count = 0
  }

  /**
   * Starts another point, with index `count`: sets its metrics and its time to NaN. The caller writes those it has, and
   * then calls hold(). May replace the arrays.
   * @returns where its metrics start in `values`
   */
  begin (): number {
    const { count, schema: { metricCount } } = this
    if (count === this.timesMicros.length) this.grow()
    this.timesMicros[count] = NaN
    const { values } = this
    const first = count * metricCount
    // For the few numbers of one point a loop is faster than fill().
    for (let at = first; at < first + metricCount; at++) values[at] = NaN
    return first
  }

  /** Adds the point that was begun. */
  hold (satellite: Satellite): void {
    this.satellites[this.count++] = satellite
  }

  /** Adds a point and returns its index; its metrics are NaN until the caller writes them. */
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
