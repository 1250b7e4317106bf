/** Figures as text, alike in the table, the page and the documents. */
import type { Measurement, Report, Target } from '../result.js'
import { cpuMicrosPerPoint, median, medianLatency, spread } from '../statistics.js'

export function count (value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Milliseconds with about three digits that matter. */
export function ms (value: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
}

/** A ratio or a count, as it suits. */
export function figure (value: number): string {
  return Math.abs(value) >= 1000 ? count(value) : value.toFixed(value < 10 ? 2 : 1)
}

export interface Row {
  readonly group: string
  readonly title: string
  readonly rate: string
  readonly unit: string
  /** Largest distance from the median. */
  readonly spread: string
  readonly sent: string
  readonly acknowledged: string
  readonly stored: string
  /** Milliseconds; '' where they are not measured. */
  readonly p50: string
  readonly p90: string
  readonly p99: string
  readonly p999: string
  /** Microseconds of processor time of the server per point. */
  readonly cpu: string
  /** Megabytes of the largest worker. */
  readonly memory: string
}

export function rowOf (measurement: Measurement): Row {
  const { runs } = measurement
  const rates = runs.map(({ rate }) => rate)
  const total = (of: 'sent' | 'acknowledged' | 'stored'): string => {
    const sum = runs.reduce((all, run) => all + run[of], 0)
    return sum === 0 ? '' : count(sum)
  }
  const latency = medianLatency(runs)
  const cpu = median(runs.map(cpuMicrosPerPoint))
  const memory = median(runs.map(({ peakBytes }) => Math.max(peakBytes?.['worker'] ?? 0, peakBytes?.['UDP worker'] ?? 0)))
  const at = (share: 'p50' | 'p90' | 'p99' | 'p999'): string => latency === null ? '' : ms(latency[share])
  return {
    group: measurement.group,
    title: measurement.title,
    rate: count(median(rates)),
    unit: measurement.unit,
    spread: runs.length > 1 ? `±${(spread(rates) * 100).toFixed(0)}%` : '',
    sent: total('sent'),
    acknowledged: total('acknowledged'),
    stored: total('stored'),
    p50: at('p50'),
    p90: at('p90'),
    p99: at('p99'),
    p999: at('p999'),
    cpu: Number.isNaN(cpu) ? '' : cpu.toFixed(2),
    memory: memory > 0 ? (memory / 1e6).toFixed(0) : ''
  }
}

export const COLUMNS: ReadonlyArray<{ readonly key: keyof Row, readonly title: string }> = [
  { key: 'title', title: 'measurement' },
  { key: 'rate', title: 'median' },
  { key: 'unit', title: 'per second' },
  { key: 'spread', title: 'spread' },
  { key: 'sent', title: 'sent' },
  { key: 'acknowledged', title: 'acknowledged' },
  { key: 'stored', title: 'stored' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p90', title: 'p90' },
  { key: 'p99', title: 'p99' },
  { key: 'p999', title: 'p99.9' },
  { key: 'cpu', title: 'CPU µs/point' },
  { key: 'memory', title: 'worker MB' }
]

/** Median over all runs of what other work took of the processors. */
function otherWork (measurements: readonly Measurement[]): string {
  const shares = measurements.flatMap(({ runs }) => runs.flatMap(({ otherCpuShare }) => otherCpuShare ?? []))
  return shares.length === 0 ? '' : ` Other work took ${(median(shares) * 100).toFixed(0)}% of the processors.`
}

export function machineText ({ machine, server, mode, version, startedAt, seconds, measurements }: Report): string {
  const { cores, cpu, memoryBytes, system, node, loadBefore } = machine
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GB`
  return `OrbitStream ${version}, ${mode}, ${startedAt.slice(0, 16).replace('T', ' ')} UTC, ${Math.round(seconds)} s. ${cores} × ${cpu}, ${memory}, ${system}, Node.js ${node}, ` +
    `load before ${loadBefore.toFixed(2)}. ${String(server['workers'])} HTTP workers, database: ${String(server['database'])} (embedded, default settings).${otherWork(measurements)}`
}

export function targetText ({ measured, atLeast, aim, lower }: Target): string {
  const reaches = (bound: number): boolean => lower ? measured <= bound : measured >= bound
  return reaches(aim) ? 'aim reached' : reaches(atLeast) ? 'reached' : 'not reached'
}
