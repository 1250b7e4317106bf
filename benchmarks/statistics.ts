/** Medians and their spread; percentiles of latencies. */
import type { Latencies } from '../lib/sim/histogram.js'
import type { Latency, Measurement, RunRecord } from './result.js'

export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** The middle value, or the mean of the two middle values; NaN if empty. */
export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export function summarize (values: readonly number[]): Summary {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) }
}

/** Largest deviation from the median, as a share of the median. */
export function spread (values: readonly number[]): number {
  const { median: middle, low, high } = summarize(values)
  return middle === 0 ? 0 : Math.max(high - middle, middle - low) / middle
}

/** The value that the share (0 to 1) of all values does not exceed; NaN if empty. */
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

export function latencyOfHistogram (latencies: Latencies): Latency {
  const ms = (percent: number): number => latencies.percentile(percent) / 1000
  return {
    count: latencies.count,
    p50: ms(50),
    p90: ms(90),
    p99: ms(99),
    p999: ms(99.9),
    max: latencies.max / 1000
  }
}

/** Median of each percentile over the runs that have latencies; null if none has. */
export function medianLatency (runs: readonly RunRecord[]): Latency | null {
  const latencies = runs.flatMap(({ latency }) => latency === undefined || latency.count === 0 ? [] : [latency])
  if (latencies.length === 0) return null
  const of = (key: keyof Latency): number => median(latencies.map((latency) => latency[key]))
  return { count: of('count'), p50: of('p50'), p90: of('p90'), p99: of('p99'), p999: of('p999'), max: of('max') }
}

/** CPU microseconds per stored point, all server processes together; NaN if not measured. */
export function cpuMicrosPerPoint (run: RunRecord): number {
  if (run.cpuSeconds === undefined || run.stored === 0) return NaN
  const total = Object.entries(run.cpuSeconds)
    .reduce((sum, [role, seconds]) => role === LOAD_ROLE ? sum : sum + seconds, 0)
  return total * 1e6 / run.stored
}

/**
 * Points stored per second of statements, of all or of one purpose: what a session could store if it did nothing else.
 * Uses CPU time where known, since on a machine with other work statements wait for CPUs.
 */
export function pointsPerSessionSecond (
  { busySeconds, cpuSeconds = busySeconds, stored }: RunRecord,
  purpose?: string
): number {
  if (busySeconds === undefined || cpuSeconds === undefined) return NaN
  const seconds = Object.entries(cpuSeconds)
    .reduce((sum, [name, part]) => purpose === undefined || purpose === name ? sum + part : sum, 0)
  return stored / seconds
}

/** Kind of the processes that generate load: not a cost of the server. */
export const LOAD_ROLE = 'load'

/** With more other work than this share of the CPUs, the figures of a run mean little. */
export const OTHER_WORK_MAX = 0.05

/** Runs with unknown other work count as quiet. */
export function isQuiet ({ otherCpuShare = 0 }: RunRecord): boolean {
  return otherCpuShare <= OTHER_WORK_MAX
}

/** Empty if it was not measured. @param name of a measurement */
export function runsOf (measurements: readonly Measurement[], name: string): readonly RunRecord[] {
  return measurements.find((measurement) => measurement.name === name)?.runs ?? []
}

/** The runs whose figures count: the quiet ones, or all if none is. */
export function countedRuns (runs: readonly RunRecord[]): readonly RunRecord[] {
  const quiet = runs.filter(isQuiet)
  return quiet.length === 0 ? runs : quiet
}
