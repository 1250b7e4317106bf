/** Results of the benchmarks: plain data, written as JSON, from which table, page and Markdown are made. */
import type { Group, Plan } from './plan.js'

/** Milliseconds; in an open loop from the moment that a request was due. */
export interface Latency {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** CPU seconds or bytes, by kind of process: worker, primary, database sessions, … */
export type ByProcess = Readonly<Record<string, number>>

/** One run of one measurement. */
export interface RunRecord {
  /** In the measurement's unit. Throughputs count only points found in the database afterwards. */
  readonly rate: number
  /** From the first request until the last point was stored. */
  readonly seconds: number
  /** Points; 0 if none are sent. */
  readonly sent: number
  readonly acknowledged: number
  readonly stored: number
  readonly latency?: Latency
  readonly cpuSeconds?: ByProcess
  /** Seconds in statements, by purpose, if database sessions are measured. */
  readonly busySeconds?: ByProcess
  /** Peak resident memory per kind of process during the run. */
  readonly peakBytes?: ByProcess
  /** Share of the machine's CPU time used by other work, 0 to 1: above a few percent the figures mean little. */
  readonly otherCpuShare?: number
  /** Violations: a run with any of these fails the whole benchmark. */
  readonly problems: readonly string[]
  /** Needed to interpret the figures; shown with the title. */
  readonly notes?: readonly string[]
}

export interface Measurement {
  /** Key in baselines: never changed. */
  readonly name: string
  readonly group: Group
  /** For display. */
  readonly title: string
  /** What `rate` counts: points/s, requests/s, syncs/s, queries/s. */
  readonly unit: string
  readonly runs: readonly RunRecord[]
}

/** A figure relative to another of the same round: usually a throughput relative to a ceiling of the machine. */
export interface Ratio {
  readonly name: string
  readonly title: string
  /** Median over the rounds. */
  readonly value: number
  /** Largest deviation of a round from the median, as a share of the median. */
  readonly spread: number
  /** Smaller is better. */
  readonly lower: boolean
}

export interface Verdict {
  readonly title: string
  readonly passed: boolean
  readonly detail: string
}

/** A goal for a quiet machine with two cores; reported, but does not affect the exit code. */
export interface Target {
  readonly title: string
  readonly unit: string
  readonly atLeast: number
  readonly aim: number
  readonly measured: number
  /** Smaller figures are better. */
  readonly lower: boolean
}

export interface Skipped {
  readonly title: string
  readonly reason: string
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly system: string
  readonly node: string
  /** File system of the server's data directory: what "on disk" means. Null: unknown. */
  readonly fileSystem: string | null
  /** One-minute load average before the start: other work makes figures worthless. */
  readonly loadBefore: number
}

export interface Report {
  readonly startedAt: string
  readonly seconds: number
  /** Of the measured program; null: unknown. */
  readonly version: string | null
  /** A program other than this checkout's; null: this checkout's. */
  readonly program: string | null
  /** Of this checkout; null: unknown. */
  readonly commit: string | null
  /** Arguments that produced these figures. */
  readonly argv: readonly string[]
  readonly plan: Plan
  readonly machine: Machine
  /** The server's "ready" log line: workers, database. */
  readonly server: Readonly<Record<string, unknown>>
  readonly measurements: readonly Measurement[]
  readonly ratios: readonly Ratio[]
  readonly targets: readonly Target[]
  readonly verdicts: readonly Verdict[]
  readonly skipped: readonly Skipped[]
}
