/**
 * What was found beyond a limit in one PointColumns, in columns: filled by LimitTable, read by the pipeline, filled again.
 *
 *   points   [ 0 | 0 | 3 | … ]     position in the PointColumns; never falls
 *   metrics  [ 0 | 2 | 1 | … ]     position in the catalogue; rises within a point
 *   kinds    [ 3 | 0 | 1 | … ]     severity * 2 + side, as in SEVERITIES and LIMIT_SIDES
 *   limits   [ x | y | z | … ]     the limit that was broken
 */
export class AnomalyColumns {
  /** Anomalies held; entries from here on are left over. */
  count = 0
  /** Of the limits that judged. */
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
