/** Medians of a measurement's runs with their spread, excluding runs disturbed by other work. */
import type { Measurement, RunRecord } from './result.js'
import { countedRuns, cpuMicrosPerPoint, isQuiet, median, spread } from './statistics.js'

export interface Figure {
  readonly median: number
  /** Largest deviation from the median, as a share of it. */
  readonly spread: number
}

export interface MeasurementSummary {
  /** Runs that the figures are based on. */
  readonly runs: number
  /** Runs left out because other work took too much CPU time. */
  readonly leftOut: number
  /** No run was quiet: the figures are from disturbed ones. */
  readonly disturbed: boolean
  readonly rate: Figure
  /** Milliseconds; this and the following are null if not measured. */
  readonly p99: Figure | null
  readonly cpuMicrosPerPoint: Figure | null
  /** Bytes of the largest worker. */
  readonly workerBytes: Figure | null
  /** Share of the CPUs. */
  readonly otherCpuShare: Figure | null
}

export function summaryOf ({ runs }: Measurement): MeasurementSummary {
  const counted = countedRuns(runs)
  const of = (pick: (run: RunRecord) => number | undefined): Figure | null =>
    figureOf(counted.flatMap((run) => pick(run) ?? []))
  return {
    runs: counted.length,
    leftOut: runs.length - counted.length,
    disturbed: counted.some((run) => !isQuiet(run)),
    rate: of(({ rate }) => rate) ?? { median: 0, spread: 0 },
    p99: of(({ latency }) => latency === undefined || latency.count === 0 ? undefined : latency.p99),
    cpuMicrosPerPoint: of(cpuMicrosPerPoint),
    workerBytes: of(workerBytes),
    otherCpuShare: of(({ otherCpuShare }) => otherCpuShare)
  }
}

export function workerBytes ({ peakBytes }: RunRecord): number | undefined {
  const largest = Math.max(peakBytes?.['worker'] ?? 0, peakBytes?.['UDP worker'] ?? 0)
  return largest > 0 ? largest : undefined
}

function figureOf (values: readonly number[]): Figure | null {
  const known = values.filter((value) => !Number.isNaN(value))
  return known.length === 0 ? null : { median: median(known), spread: spread(known) }
}
