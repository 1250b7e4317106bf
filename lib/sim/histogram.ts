/**
 * Durations in logarithmic buckets: constant memory, every quantile within 1% of the true value.
 *
 * Values are whole microseconds. Below 64 each has its own bucket. Above, each power of two is cut into 64 equal
 * buckets, so that a bucket is at most 1/64 of its value wide; a quantile is the middle of its bucket, at most
 * 1/128 (0.8%) off. The largest value is kept exactly. Memory: 1,728 buckets of 8 bytes.
 */
const SUB_BITS = 6
const SUB_BUCKETS = 1 << SUB_BITS
const VALUE_MAX = 2 ** 31 - 1
const BUCKETS = (31 - SUB_BITS + 1) * SUB_BUCKETS + SUB_BUCKETS

export class Histogram {
  count = 0
  maxMicros = 0
  private readonly buckets = new Float64Array(BUCKETS)

  /** @param micros negative counts as 0, more than 35 minutes as 35 minutes */
  record (micros: number): void {
    const value = Math.min(VALUE_MAX, Math.max(0, Math.round(micros)))
    const bucket = bucketOf(value)
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1
    this.count++
    if (value > this.maxMicros) this.maxMicros = value
  }

  /** Value that the share (0 to 1) of all values does not exceed, in microseconds; 0 if there is none. */
  quantile (share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.count))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.buckets[bucket] ?? 0
      if (seen >= rank) return Math.min(this.maxMicros, middleOf(bucket))
    }
    return 0
  }

  /** Moves all values of the other one into this one. */
  absorb (other: Histogram): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.buckets[bucket] = (this.buckets[bucket] ?? 0) + (other.buckets[bucket] ?? 0)
    }
    this.count += other.count
    this.maxMicros = Math.max(this.maxMicros, other.maxMicros)
    other.buckets.fill(0)
    other.count = 0
    other.maxMicros = 0
  }
}

function bucketOf (value: number): number {
  if (value < SUB_BUCKETS) return value
  const shift = 31 - Math.clz32(value) - SUB_BITS
  return shift * SUB_BUCKETS + (value >>> shift)
}

function middleOf (bucket: number): number {
  if (bucket < SUB_BUCKETS * 2) return bucket
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1
  const low = (bucket - shift * SUB_BUCKETS) * 2 ** shift
  return low + (2 ** shift - 1) / 2
}
