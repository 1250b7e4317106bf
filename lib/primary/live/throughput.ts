/** Rates and latencies for the live feed, from samples that are taken every second whether anybody watches or not. */
import { quantileOf, type Bucket, type Totals } from '../counts/metric-totals.js'

/** Points accepted so far, by transport. */
export interface AcceptedPoints {
  readonly http: number
  readonly udp: number
}

export interface Rates {
  /** Points a second. */
  readonly http: number
  readonly udp: number
  /** Seconds that they are measured over. */
  readonly over_s: number
}

interface Sample extends AcceptedPoints {
  /** On the monotonic clock. */
  readonly atMs: number
}

interface LatencySample {
  readonly atMs: number
  readonly ack: readonly Bucket[]
  readonly commit: readonly Bucket[]
}

const HISTORY_MS = 300_000
const LATENCY_MS = 10_000
const NOTHING = { p50_s: null, p99_s: null, count: 0 }

export class Throughput {
  private samples: Sample[] = []
  private latencies: LatencySample[] = []

  add (atMs: number, { http, udp }: AcceptedPoints, totals: Totals): void {
    this.samples.push({ atMs, http, udp })
    this.latencies.push({
      atMs, ack: totals.buckets('orbitstream_ack_seconds'), commit: totals.buckets('orbitstream_commit_seconds')
    })
    // The first sample that is old enough stays: it is what the longest span is measured from.
    while ((this.samples[1]?.atMs ?? Infinity) <= atMs - HISTORY_MS) this.samples.shift()
    while ((this.latencies[1]?.atMs ?? Infinity) <= atMs - LATENCY_MS) this.latencies.shift()
  }

  /** Rates over the last `spanMs`, or since the first sample; null: there is none. */
  rates (nowMs: number, now: AcceptedPoints, spanMs: number): Rates | null {
    const before = this.samples.findLast(({ atMs }) => atMs <= nowMs - spanMs) ?? this.samples[0]
    if (before === undefined || before.atMs >= nowMs) return null
    const seconds = (nowMs - before.atMs) / 1000
    // A killed worker may have counted more than it reported.
    const rate = (after: number, earlier: number): number => Math.max(0, after - earlier) / seconds
    return { http: rate(now.http, before.http), udp: rate(now.udp, before.udp), over_s: seconds }
  }

  /** Of the last ten seconds; null: nothing happened in them, or there is no sample yet. */
  latency (): object {
    const first = this.latencies[0]
    const last = this.latencies.at(-1)
    if (first === undefined || last === undefined) return { ack: NOTHING, commit: NOTHING, over_s: 0 }
    const view = (kind: 'ack' | 'commit'): object => ({
      p50_s: quantileOf(first[kind], last[kind], 0.5),
      p99_s: quantileOf(first[kind], last[kind], 0.99),
      count: Math.max(0, (last[kind].at(-1)?.[1] ?? 0) - (first[kind].at(-1)?.[1] ?? 0))
    })
    return { ack: view('ack'), commit: view('commit'), over_s: (last.atMs - first.atMs) / 1000 }
  }
}
