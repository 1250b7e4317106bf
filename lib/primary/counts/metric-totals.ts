/** Reads sums and histograms out of metrics. */
import type { MetricsJson } from '../../messages/messages.js'

interface Sample {
  readonly value: number
  readonly labels: Readonly<Record<string, string | number>>
}

interface Metric {
  readonly name: string
  /** In histograms, metricName is name_bucket, name_sum or name_count. */
  readonly values: ReadonlyArray<Sample & { readonly metricName?: string }>
}

export type Labels = Readonly<Record<string, string>>
/** A histogram's upper bound, and the number of values up to it. */
export type Bucket = readonly [bound: number, count: number]

/** All counters at one instant. */
export class Totals {
  private readonly samples = new Map<string, Sample[]>()

  constructor (metrics: MetricsJson) {
    for (const { name, values } of metrics as readonly Metric[]) {
      for (const { value, labels, metricName } of values) {
        const key = metricName ?? name
        // Copied: the registry may keep counting in these objects.
        const known = this.samples.get(key)
        if (known === undefined) this.samples.set(key, [{ value, labels }])
        else known.push({ value, labels })
      }
    }
  }

  /** The sum of all samples with this name and these labels. */
  value (name: string, wanted: Labels = {}): number {
    let sum = 0
    for (const { value, labels } of this.samples.get(name) ?? []) {
      if (Object.entries(wanted).every(([label, text]) => labels[label] === text)) sum += value
    }
    return sum
  }

  /** The labels of all samples with this name. */
  labels (name: string): ReadonlyArray<Sample['labels']> {
    return (this.samples.get(name) ?? []).map(({ labels }) => labels)
  }

  /** A histogram's upper bounds in ascending order, each with its cumulative count. */
  buckets (name: string): Bucket[] {
    return (this.samples.get(`${name}_bucket`) ?? [])
      .map(({ labels, value }) => [labels['le'] === '+Inf' ? Infinity : Number(labels['le']), value] as const)
      .sort(([a], [b]) => a - b)
  }
}

/**
 * Of the values that were counted between two instants. As Prometheus' histogram_quantile: linear within a bucket; for
 * the last, open one, its lower bound.
 * @returns null if there are no values
 */
export function quantileOf (before: readonly Bucket[], now: readonly Bucket[], share: number): number | null {
  const earlier = new Map(before)
  const grown = now.map(([bound, count]) => [bound, Math.max(0, count - (earlier.get(bound) ?? 0))] as const)
  const rank = share * (grown.at(-1)?.[1] ?? 0)
  if (rank === 0) return null
  let [low, below] = [0, 0]
  for (const [bound, count] of grown) {
    if (count >= rank) return bound === Infinity ? low : low + (bound - low) * (rank - below) / (count - below)
    low = bound
    below = count
  }
  return low
}
