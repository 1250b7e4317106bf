/** Medians and their spread; percentiles of latencies. */
import type { Histogram } from '../lib/sim/histogram.js'
import type { Latency, RunRecord } from './result.js'

export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** The middle value, or the mean of the two in the middle; NaN of nothing. */
export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export function summarize (values: readonly number[]): Summary {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) }
}

/** Largest distance of a value from the median, as a share of the median. */
export function spread (values: readonly number[]): number {
  const { median: middle, low, high } = summarize(values)
  return middle === 0 ? 0 : Math.max(high - middle, middle - low) / middle
}

/** The value that the share (0 to 1) of all values does not exceed; NaN of nothing. */
export function quantile (values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN
}

export function latencyOf (values: readonly number[]): Latency {
  return {
    count: values.length,
    p50: quantile(values, 0.5),
    p90: quantile(values, 0.9),
    p99: quantile(values, 0.99),
    p999: quantile(values, 0.999),
    max: quantile(values, 1)
  }
}

/** Of a histogram of microseconds. */
export function latencyOfHistogram (histogram: Histogram): Latency {
  const ms = (share: number): number => histogram.quantile(share) / 1000
  return { count: histogram.count, p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999), max: histogram.maxMicros / 1000 }
}

/** Median of each percentile over the runs that have latencies; null if none has. */
export function medianLatency (runs: readonly RunRecord[]): Latency | null {
  const latencies = runs.flatMap(({ latency }) => latency === undefined || latency.count === 0 ? [] : [latency])
  if (latencies.length === 0) return null
  const of = (key: keyof Latency): number => median(latencies.map((latency) => latency[key]))
  return { count: of('count'), p50: of('p50'), p90: of('p90'), p99: of('p99'), p999: of('p999'), max: of('max') }
}

/** Microseconds of processor time per stored point, all processes of the server together; NaN where it was not measured. */
export function cpuMicrosPerPoint (run: RunRecord): number {
  if (run.cpuSeconds === undefined || run.stored === 0) return NaN
  const total = Object.entries(run.cpuSeconds).reduce((sum, [role, seconds]) => role === LOAD_ROLE ? sum : sum + seconds, 0)
  return total * 1e6 / run.stored
}

/**
 * Points stored for each second of statements, of all or of those for one purpose: what a session could store if it did
 * nothing else. Of processor time where it is known, since on a machine with other work statements wait for processors.
 */
export function pointsPerSessionSecond ({ busySeconds, cpuSeconds = busySeconds, stored }: RunRecord, purpose?: string): number {
  if (busySeconds === undefined || cpuSeconds === undefined) return NaN
  const seconds = Object.entries(cpuSeconds).reduce((sum, [name, part]) => purpose === undefined || purpose === name ? sum + part : sum, 0)
  return stored / seconds
}

/** Kind of the processes that make the load: not a cost of the server. */
export const LOAD_ROLE = 'load'

/** More than this of the processors for other work, and the figures of a run mean little. */
export const OTHER_WORK_MAX = 0.05

/** Where other work is not known, nothing speaks against a run. */
export function isQuiet ({ otherCpuShare = 0 }: RunRecord): boolean {
  return otherCpuShare <= OTHER_WORK_MAX
}

/** The runs whose figures count: the quiet ones; all, if none is. */
export function countedRuns (runs: readonly RunRecord[]): readonly RunRecord[] {
  const quiet = runs.filter(isQuiet)
  return quiet.length === 0 ? runs : quiet
}
