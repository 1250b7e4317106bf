/**
 * The anomalies of one PointColumns, column by column: filled by LimitTable and RangeCheck, read by the pipeline, then
 * reused.
 *
 *   points   [ 0 | 0 | 3 | … ]     index in the PointColumns, ascending
 *   metrics  [ 0 | 2 | 1 | … ]     index in the schema, ascending within a point
 *   kinds    [ 4 | 0 | 1 | … ]     severity * sides + side, by SEVERITIES and ANOMALY_SIDES
 *   limits   [ x | y | z | … ]     the limit, or end of the valid range, exceeded; of a state, the value itself
 */
export class AnomalyColumns {
  /** Number of anomalies; entries beyond it are stale. */
  count = 0
  /** Version of the limits applied. */
  version = 0
  points: Uint32Array
  metrics: Uint16Array
  kinds: Uint8Array
  limits: Float64Array

  constructor (capacity = 256) {
    this.points = new Uint32Array(capacity)
    this.metrics = new Uint16Array(capacity)
    this.kinds = new Uint8Array(capacity)
    this.limits = new Float64Array(capacity)
  }

  clear (version: number): void {
    this.count = 0
    this.version = version
  }

  push (point: number, metric: number, kind: number, limit: number): void {
    const index = this.count++
    if (index === this.points.length) this.grow()
    this.points[index] = point
    this.metrics[index] = metric
    this.kinds[index] = kind
    this.limits[index] = limit
  }

  private grow (): void {
    const larger = new AnomalyColumns(this.points.length * 2)
    larger.points.set(this.points)
    larger.metrics.set(this.metrics)
    larger.kinds.set(this.kinds)
    larger.limits.set(this.limits)
    this.points = larger.points
    this.metrics = larger.metrics
    this.kinds = larger.kinds
    this.limits = larger.limits
  }
}
