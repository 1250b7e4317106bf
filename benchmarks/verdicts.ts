/** What must hold (the exit code says whether it does), and what should be reached. */
import { FIXED_RATE } from './scenarios/http.js'
import type { Measurement, Ratio, Target, Verdict } from './result.js'
import { cpuMicrosPerPoint, median, medianLatency } from './statistics.js'

/** Of the fixed rate, in points found in the database. autocannon's last requests take part of one more second. */
const RATE_SHARE_MIN = 0.95
const VISIBLE_P99_MS_MAX = 100

/** Correctness of every run, and the promise of the first release. */
export function verdictsOf (measurements: readonly Measurement[]): Verdict[] {
  const problems = measurements.flatMap(({ title, runs }) => runs.flatMap((run) => run.problems.map((problem) => `${title}: ${problem}`)))
  const runs = measurements.reduce((sum, measurement) => sum + measurement.runs.length, 0)
  const correct: Verdict = {
    title: 'Every acknowledged point is stored, once, and nothing else is',
    passed: problems.length === 0,
    detail: problems.length === 0 ? `${runs} runs` : [...new Set(problems)].join('; ')
  }
  return [correct, ...rateVerdict(measurements), ...visibleVerdict(measurements)]
}

function rateVerdict (measurements: readonly Measurement[]): Verdict[] {
  const fixed = measurements.find(({ name }) => name === 'autocannon_10000')
  if (fixed === undefined) return []
  const rate = median(fixed.runs.map((run) => run.rate))
  const acknowledged = median(fixed.runs.map((run) => run.acknowledged / run.sent))
  return [{
    title: `${FIXED_RATE.toLocaleString('en-US')} points/s, one a request: at least 95% stored, 99% acknowledged`,
    passed: rate >= FIXED_RATE * RATE_SHARE_MIN && acknowledged >= 0.99,
    detail: `${Math.round(rate).toLocaleString('en-US')} points/s stored, ${(acknowledged * 100).toFixed(2)}% acknowledged`
  }]
}

function visibleVerdict (measurements: readonly Measurement[]): Verdict[] {
  const latency = latencyOf(measurements, 'latency_visible_10000')
  if (latency === null) return []
  return [{ title: `Visible in the database within ${VISIBLE_P99_MS_MAX} ms at 10,000 points/s (p99)`, passed: latency.p99 < VISIBLE_P99_MS_MAX, detail: `${latency.p99.toFixed(1)} ms` }]
}

/** The figures that the project wants, for two cores with everything on them. Only those that were measured. */
export function targetsOf (measurements: readonly Measurement[], ratios: readonly Ratio[]): Target[] {
  const ratio = (name: string): number => ratios.find((known) => known.name === name)?.value ?? NaN
  const high = (title: string, unit: string, atLeast: number, aim: number, measured: number): Target => ({ title, unit, atLeast, aim, measured, lower: false })
  const low = (title: string, unit: string, atLeast: number, aim: number, measured: number): Target => ({ title, unit, atLeast, aim, measured, lower: true })
  const targets = [
    high('HTTP, JSON, 1000 a request', 'points/s', 300_000, 450_000, rateOf(measurements, 'http_json_1000')),
    high('HTTP, msgpack frames', 'points/s', 350_000, 550_000, rateOf(measurements, 'http_msgpack_1000')),
    high('HTTP, one point a request', 'requests/s', 25_000, 40_000, rateOf(measurements, 'http_json_1')),
    high('UDP, nothing missing', 'points/s', 250_000, 450_000, rateOf(measurements, 'udp')),
    high('JSON batch ÷ raw COPY', '', 0.6, 0.8, ratio('json_of_copy')),
    high('msgpack ÷ raw COPY', '', 0.7, 0.9, ratio('msgpack_of_copy')),
    high('JSON batch, with the spool ÷ without', '', 0.85, 1, ratio('spool_full')),
    low('202, p99 at 10,000 requests/s', 'ms', 20, 8, latencyOf(measurements, 'latency_ack_10000')?.p99 ?? NaN),
    low('visible to SELECT, p99 at 10,000 points/s', 'ms', 50, 20, latencyOf(measurements, 'latency_visible_10000')?.p99 ?? NaN),
    low('memory of a worker at full load', 'MB', 200, 120, largestPeak(measurements.filter(({ group }) => group === 'http'))),
    low("one satellite's last five minutes at 10,000 points/s, median", 'ms', 100, 50, latencyOf(measurements, 'query_satellite')?.p50 ?? NaN),
    low('latest point of 1,000 satellites at 10,000 points/s, median', 'ms', 50, 25, latencyOf(measurements, 'query_latest')?.p50 ?? NaN),
    low('the fleet by the minute, an hour, median', 'ms', 300, 150, latencyOf(measurements, 'query_fleet')?.p50 ?? NaN),
    low('CPU per point, 100,000 satellites ÷ 100', '', 1.5, 1.2, cpuOf(measurements, 'growth_satellites_100000') / cpuOf(measurements, 'growth_satellites_100')),
    low('CPU per point, 50M rows ÷ none', '', 1.2, 1.05, cpuOf(measurements, 'growth_rows_50000000') / cpuOf(measurements, 'growth_rows_0'))
  ]
  return targets.filter(({ measured }) => !Number.isNaN(measured))
}

function runsOf (measurements: readonly Measurement[], name: string): Measurement['runs'] {
  return measurements.find((measurement) => measurement.name === name)?.runs ?? []
}

function rateOf (measurements: readonly Measurement[], name: string): number {
  return median(runsOf(measurements, name).map(({ rate }) => rate))
}

function latencyOf (measurements: readonly Measurement[], name: string): ReturnType<typeof medianLatency> {
  return medianLatency(runsOf(measurements, name))
}

function cpuOf (measurements: readonly Measurement[], name: string): number {
  return median(runsOf(measurements, name).map(cpuMicrosPerPoint))
}

/** Of a worker, in MB: the load that takes most; of its runs the median. */
function largestPeak (measurements: readonly Measurement[]): number {
  const peaks = measurements.map(({ runs }) => median(runs.map(({ peakBytes }) => (peakBytes?.['worker'] ?? NaN) / 1e6))).filter((peak) => !Number.isNaN(peak))
  return peaks.length === 0 ? NaN : Math.max(...peaks)
}
