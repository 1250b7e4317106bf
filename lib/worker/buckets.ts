/**
 * A histogram of a worker, in place of prom-client's, whose observe() creates objects and looks up labels each time:
 * a tenth of what a request of one point costs in JavaScript.
 */
export class Buckets {
  /** Values in each bucket alone; the last has no upper bound. */
  private readonly counts: Float64Array
  private sum = 0

  /** @param bounds upper bounds, inclusive, ascending */
  constructor (private readonly name: string, private readonly help: string, private readonly bounds: number[]) {
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe (value: number): void {
    const { bounds, counts } = this
    let bucket = 0
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++
    counts[bucket] = (counts[bucket] as number) + 1
    this.sum += value
  }

  /** As Registry.getMetricsAsJSON() of prom-client has it: buckets contain those before them. */
  toJson (): object {
    const { name, help, bounds, counts, sum } = this
    let count = 0
    const buckets = Array.from(counts, (own, bucket) => {
      count += own
      return { metricName: `${name}_bucket`, labels: { le: bounds[bucket] ?? '+Inf' }, value: count }
    })
    const totals = [
      { metricName: `${name}_sum`, labels: {}, value: sum }, { metricName: `${name}_count`, labels: {}, value: count }
    ]
    return { name, help, type: 'histogram', aggregator: 'sum', values: [...buckets, ...totals] }
  }
}
