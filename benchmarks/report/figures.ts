/** Figures as text, formatted alike in the table, the page and the documents. */
import { formatCount } from '../../lib/config/setting-types.js'
import { commandOf } from '../origin.js'
import type { Measurement, Ratio, Report, RunRecord, Target } from '../result.js'
import { countedRuns, median, medianLatency, OTHER_WORK_MAX } from '../statistics.js'
import { summaryOf, type Figure, type MeasurementSummary } from '../summary.js'

export function count (value: number): string {
  return formatCount(Math.round(value))
}

/** Milliseconds with about three significant digits. */
export function ms (value: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
}

/** A ratio or a count. */
export function figure (value: number): string {
  return Math.abs(value) >= 1000 ? count(value) : value.toFixed(value < 10 ? 2 : 1)
}

export interface Row {
  readonly group: string
  readonly title: string
  readonly rate: string
  readonly unit: string
  /** Largest deviation from the median. */
  readonly spread: string
  readonly sent: string
  readonly acknowledged: string
  readonly stored: string
  /** Whether a request waits for the previous response (closed), or is due at a fixed time (open). */
  readonly loop: string
  /** Milliseconds; '' if not measured. */
  readonly p50: string
  readonly p90: string
  /** With its spread, as the two below. */
  readonly p99: string
  readonly p999: string
  /** CPU microseconds of the server per point. */
  readonly cpu: string
  /** What a database session is busy with, as shares of the time. */
  readonly busy: string
  /** Megabytes of the largest worker. */
  readonly memory: string
  /** Share of the CPUs, and the number of runs that it invalidated. */
  readonly otherWork: string
}

export function rowOf (measurement: Measurement): Row {
  const { runs } = measurement
  const summary = summaryOf(measurement)
  const { rate, p99, cpuMicrosPerPoint, workerBytes } = summary
  const total = (of: 'sent' | 'acknowledged' | 'stored'): string => {
    const sum = runs.reduce((all, run) => all + run[of], 0)
    return sum === 0 ? '' : count(sum)
  }
  const latency = medianLatency(countedRuns(runs))
  const at = (share: 'p50' | 'p90' | 'p999'): string => latency === null ? '' : ms(latency[share])
  const spreadOf = (of: Figure): string => summary.runs > 1 ? `±${percent(of.spread)}` : ''
  const withSpread = (of: Figure | null, text: (value: number) => string): string => of === null
    ? ''
    : `${text(of.median)} ${spreadOf(of)}`.trim()
  return {
    group: measurement.group,
    title: measurement.title,
    rate: count(rate.median),
    unit: measurement.unit,
    spread: spreadOf(rate),
    sent: total('sent'),
    acknowledged: total('acknowledged'),
    stored: total('stored'),
    loop: latency === null ? '' : loopOf(measurement),
    p50: at('p50'),
    p90: at('p90'),
    p99: withSpread(p99, ms),
    p999: at('p999'),
    cpu: withSpread(cpuMicrosPerPoint, (value) => value.toFixed(2)),
    busy: busyOf(countedRuns(runs)),
    memory: withSpread(workerBytes, (value) => (value / 1e6).toFixed(0)),
    otherWork: otherWorkOf(summary)
  }
}

/** Marked with ! if no run was quiet; with the number of runs left out. */
function otherWorkOf ({ otherCpuShare, disturbed, leftOut }: MeasurementSummary): string {
  if (otherCpuShare === null) return ''
  return `${percent(otherCpuShare.median)}${disturbed ? ' !' : ''}${leftOut > 0 ? ` (${leftOut} out)` : ''}`
}

function busyOf (runs: readonly RunRecord[]): string {
  const purposes = [...new Set(runs.flatMap(({ busySeconds }) => Object.keys(busySeconds ?? {})))]
  return purposes
    .map((purpose) =>
      `${purpose} ${percent(median(runs.map(({ busySeconds, seconds }) => (busySeconds?.[purpose] ?? 0) / seconds)))}`)
    .join(', ')
}

function loopOf ({ name, group }: Measurement): string {
  if (group === 'latency' || group === 'aggregates' || OPEN.test(name)) return 'open'
  return CLOSED.includes(group) || /^(ceiling_drop|access_(plain|tls))/.test(name) ? 'closed' : ''
}

const OPEN = /^(rollups_rate|api_incoming|page_(none|silent|tabs)|access_(honest|attacked))/
const CLOSED: readonly string[] = ['http', 'spool', 'growth', 'rollups', 'sustained', 'metrics']

export const COLUMNS: ReadonlyArray<{ readonly key: keyof Row, readonly title: string }> = [
  { key: 'title', title: 'measurement' },
  { key: 'rate', title: 'median' },
  { key: 'unit', title: 'per second' },
  { key: 'spread', title: 'spread' },
  { key: 'sent', title: 'sent' },
  { key: 'acknowledged', title: 'acknowledged' },
  { key: 'stored', title: 'stored' },
  { key: 'loop', title: 'loop' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p90', title: 'p90' },
  { key: 'p99', title: 'p99' },
  { key: 'p999', title: 'p99.9' },
  { key: 'cpu', title: 'CPU µs/point' },
  { key: 'busy', title: 'session busy' },
  { key: 'memory', title: 'worker MB' },
  { key: 'otherWork', title: 'other work' }
]

/** Explains the marks in the column of other work, with the number of runs; '' if unknown. */
export function otherWorkText (measurements: readonly Measurement[]): string {
  const runs = measurements.flatMap((measurement) => measurement.runs)
  const shares = runs.flatMap(({ otherCpuShare }) => otherCpuShare ?? [])
  if (shares.length === 0) return ''
  const summaries = measurements.map(summaryOf)
  const leftOut = summaries.reduce((sum, summary) => sum + summary.leftOut, 0)
  const disturbed = summaries.filter((summary) => summary.disturbed).length
  return `Other work took ${percent(median(shares))} of the CPUs (median), ${percent(Math.max(...shares))} at most. ` +
    `Runs with more than ${percent(OTHER_WORK_MAX)} are left out of medians and ratios where a quiet one is left: ` +
    `${leftOut} of ${runs.length} were` +
    (disturbed === 0 ? '.' : `; ${disturbed} of ${measurements.length} measurements, marked with !, had no quiet run.`)
}

export function machineText ({ machine, server, plan, version, startedAt, seconds }: Report): string {
  const { cores, cpu, memoryBytes, system, node, fileSystem, loadBefore } = machine
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GB`
  return `OrbitStream ${version ?? '(other program)'}, ${plan.mode}, ${startedAt.slice(0, 16).replace('T', ' ')} ` +
    `UTC, ${Math.round(seconds)} s. ${cores} × ${cpu}, ${memory}, ${system}, Node.js ${node}, ` +
    `data on ${fileSystem ?? 'an unknown file system'}, load before ${loadBefore.toFixed(2)}. ` +
    `${String(server['workers'])} HTTP workers, database: ${String(server['database'])} (embedded).`
}

/** How to reproduce these figures. */
export function originText ({ argv, commit, program, plan }: Report): string {
  const { runs, seconds, latencySeconds, groups } = plan
  const origin = `${commit === null ? '' : `, commit ${commit}`}${program === null ? '' : ', of another program'}`
  return `Made by \`${commandOf(argv)}\`${origin}: ` +
    `${runs} ${runs === 1 ? 'round' : 'rounds'} of ${groups.join(', ')}; ${seconds} s a throughput run, ` +
    `${latencySeconds} s a run at a fixed rate.`
}

export const RATIO_HEADS = ['ratio', 'median', 'spread']

export function ratioCells ({ title, value, spread }: Ratio, { plan: { runs } }: Report): string[] {
  return [title, value.toFixed(3), runs > 1 ? `±${percent(spread)}` : '']
}

export function percent (share: number): string {
  return `${(share * 100).toFixed(0)}%`
}

export function targetText ({ measured, atLeast, aim, lower }: Target): string {
  const reaches = (bound: number): boolean => lower ? measured <= bound : measured >= bound
  return reaches(aim) ? 'aim reached' : reaches(atLeast) ? 'reached' : 'not reached'
}
