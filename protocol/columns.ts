/**
 * Decoded points, in columns.
 *
 * A decoder fills one PointColumns from one body or packet, the pipeline reads it, and the next
 * body fills it again: no object is made per point. Point i has its satellite in `satellites[i]`,
 * its time in `timesMicros[i]`, and metric m of the catalogue in `values[i * METRIC_COUNT + m]`.
 *
 *   satellites   [ S0      | S1      | … ]        interned, see satellites.ts
 *   timesMicros  [ t0      | t1      | … ]        µs since 1970-01-01 UTC, whole numbers below 2^53
 *   values       [ a b c   | a b c   | … ]        NaN: null or absent
 *
 * Times are already resolved: a point without time got the time of receipt from its decoder.
 */
import { METRIC_COUNT } from './metrics.js'
import type { Satellite } from './satellites.js'

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

  constructor (capacity = 1024) {
    this.timesMicros = new Float64Array(capacity)
    this.values = new Float64Array(capacity * METRIC_COUNT)
  }

  clear (): void {
    this.count = 0
  }

  /**
   * Makes room for one more point and returns its index. Its metrics are NaN; the caller writes
   * satellite, time and the metrics that the point has.
   */
  push (satellite: Satellite, timeMicros: number): number {
    const index = this.count++
    if (index === this.timesMicros.length) this.grow()
    this.satellites[index] = satellite
    this.timesMicros[index] = timeMicros
    const first = index * METRIC_COUNT
    // A loop: fill() costs more than the few numbers of one point.
    for (let metric = 0; metric < METRIC_COUNT; metric++) this.values[first + metric] = NaN
    return index
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
