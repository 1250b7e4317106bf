/** What a run of the benchmarks gives: plain data, written as JSON, from which table, page and Markdown are made. */
import type { Plan } from './plan.js'

/** Milliseconds; from the moment that a request was due, where the load was an open loop. */
export interface Latency {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** Seconds of processor time, or bytes, by kind of process: worker, primary, database backend, and so on. */
export type ByProcess = Readonly<Record<string, number>>

/** One run of one measurement. */
export interface RunRecord {
  /** Of the measurement's unit. Throughputs count only points that were found in the database afterwards. */
  readonly rate: number
  /** From the first request until the last point was stored. */
  readonly seconds: number
  /** Points; 0 where none are sent. */
  readonly sent: number
  readonly acknowledged: number
  readonly stored: number
  readonly latency?: Latency
  readonly cpuSeconds?: ByProcess
  /** Seconds in statements, by what they were for, where the sessions of a database are measured. */
  readonly busySeconds?: ByProcess
  /** Largest resident memory of a process of this kind, during the run. */
  readonly peakBytes?: ByProcess
  /** Processor time of the whole machine that went to other work, 0 to 1: above a few percent the figures mean little. */
  readonly otherCpuShare?: number
  /** What was not as it must be: a run with any of these fails the whole benchmark. */
  readonly problems: readonly string[]
  /** What must be known to read the figures; shown with the title. */
  readonly notes?: readonly string[]
}

export type Group = 'ceilings' | 'http' | 'sustained' | 'spool' | 'udp' | 'latency' | 'queries' | 'growth' | 'rollups' | 'aggregates' | 'dashboards' | 'freshness'

export interface Measurement {
  /** Key in baselines: never changed. */
  readonly name: string
  readonly group: Group
  /** For people. */
  readonly title: string
  /** What `rate` counts: points/s, requests/s, syncs/s, queries/s. */
  readonly unit: string
  readonly runs: readonly RunRecord[]
}

/** A figure as a share of another of the same round: a throughput of what the machine could do at most, mostly. */
export interface Ratio {
  readonly name: string
  readonly title: string
  /** Median over the rounds. */
  readonly value: number
  /** Largest distance of a round from the median, as a share of the median. */
  readonly spread: number
  /** Smaller is better. */
  readonly lower: boolean
}

export interface Verdict {
  readonly title: string
  readonly passed: boolean
  readonly detail: string
}

/** A figure to be reached on a quiet machine of two cores; whether it was is said, and changes no exit code. */
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
  /** Under the data directory of the server: what "on disk" means. Null: the system does not say. */
  readonly fileSystem: string | null
  /** Load average of a minute before the start: other work makes figures worthless. */
  readonly loadBefore: number
}

export interface Report {
  readonly startedAt: string
  readonly seconds: number
  /** Of the program that was measured; null: it does not say. */
  readonly version: string | null
  /** Another program than that of this checkout; null: this one. */
  readonly program: string | null
  /** Of this checkout; null: not known. */
  readonly commit: string | null
  /** The arguments that made these figures. */
  readonly argv: readonly string[]
  readonly plan: Plan
  readonly machine: Machine
  /** Log line of the server when it was ready: workers, database. */
  readonly server: Readonly<Record<string, unknown>>
  readonly measurements: readonly Measurement[]
  readonly ratios: readonly Ratio[]
  readonly targets: readonly Target[]
  readonly verdicts: readonly Verdict[]
  readonly skipped: readonly Skipped[]
}
