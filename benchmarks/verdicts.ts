/** Requirements, which determine the exit code, and goals, which do not. */
import { formatCount } from '../lib/config/setting-types.js'
import type { Plan } from './plan.js'
import { ACKNOWLEDGED_SHARE_MIN } from './outcomes.js'
import { FIXED_RATE } from './scenarios/http.js'
import type { Measurement, Ratio, RunRecord, Target, Verdict } from './result.js'
import { countedRuns, cpuMicrosPerPoint, median, medianLatency, runsOf } from './statistics.js'

/**
 * Required share of the fixed rate, in points found in the database. The last ones are due at the end, and stored
 * later.
 */
const RATE_SHARE_MIN = 0.95
const VISIBLE_P99_MS_MAX = 100
const VISIBLE_RATE = 10_000
const NOT_MEASURED = 'was not measured'

/** Correctness of every run, and the promised performance. A group that ran without results fails. */
export function verdictsOf (
  measurements: readonly Measurement[],
  plan: Pick<Plan, 'groups' | 'latencyRates'>
): Verdict[] {
  const problems = measurements.flatMap(({ title, runs }) =>
    runs.flatMap((run) => run.problems.map((problem) => `${title}: ${problem}`)))
  const runs = measurements.reduce((sum, measurement) => sum + measurement.runs.length, 0)
  const correct: Verdict = {
    title: 'Every acknowledged point is stored, once, and nothing else is',
    passed: problems.length === 0 && runs > 0,
    detail: problems.length === 0 ? `${runs} runs` : [...new Set(problems)].join('; ')
  }
  return [
    correct,
    ...plan.groups.includes('http') ? [rateVerdict(runsOf(measurements, 'autocannon_10000'))] : [],
    ...plan.groups.includes('latency') && plan.latencyRates.includes(VISIBLE_RATE)
      ? [visibleVerdict(runsOf(measurements, `latency_visible_${VISIBLE_RATE}`))]
      : []
  ]
}

function rateVerdict (runs: readonly RunRecord[]): Verdict {
  const title = `${formatCount(FIXED_RATE)} points/s, one a request: at least 95% stored, 99% acknowledged`
  if (runs.length === 0) return { title, passed: false, detail: NOT_MEASURED }
  const rate = median(countedRuns(runs).map((run) => run.rate))
  const acknowledged = Math.min(...runs.map((run) => run.sent === 0 ? 0 : run.acknowledged / run.sent))
  const lost = runs.reduce((sum, run) => sum + Math.max(0, run.acknowledged - run.stored), 0)
  return {
    title,
    passed: rate >= FIXED_RATE * RATE_SHARE_MIN && acknowledged >= ACKNOWLEDGED_SHARE_MIN && lost === 0,
    detail: `${formatCount(Math.round(rate))} points/s stored, ${(acknowledged * 100).toFixed(2)}% ` +
      `acknowledged${lost > 0 ? `, ${lost} of them not stored` : ''}`
  }
}

function visibleVerdict (runs: readonly RunRecord[]): Verdict {
  const title =
    `Visible in the database within ${VISIBLE_P99_MS_MAX} ms at ${formatCount(VISIBLE_RATE)} points/s (p99)`
  const blind = runs.filter(({ latency }) => (latency?.count ?? 0) === 0).length
  const latency = medianLatency(countedRuns(runs))
  if (latency === null || blind > 0) {
    return {
      title,
      passed: false,
      detail: runs.length === 0 ? NOT_MEASURED : `${blind} of ${runs.length} runs saw nothing`
    }
  }
  return { title, passed: latency.p99 < VISIBLE_P99_MS_MAX, detail: `${latency.p99.toFixed(1)} ms` }
}

/** The project's goals, for two cores with everything on them. Only those that were measured. */
export function targetsOf (measurements: readonly Measurement[], ratios: readonly Ratio[]): Target[] {
  const ratio = (name: string): number => ratios.find((known) => known.name === name)?.value ?? NaN
  const high = (title: string, unit: string, atLeast: number, aim: number, measured: number): Target =>
    ({ title, unit, atLeast, aim, measured, lower: false })
  const low = (title: string, unit: string, atLeast: number, aim: number, measured: number): Target =>
    ({ title, unit, atLeast, aim, measured, lower: true })
  const targets = [
    high('HTTP, JSON, 1000 a request', 'points/s', 300_000, 450_000, rateOf(measurements, 'http_json_1000')),
    high('HTTP, msgpack frames', 'points/s', 350_000, 550_000, rateOf(measurements, 'http_msgpack_1000')),
    high('HTTP, one point a request', 'requests/s', 25_000, 40_000, rateOf(measurements, 'http_json_1')),
    high('UDP, nothing missing', 'points/s', 250_000, 450_000, rateOf(measurements, 'udp')),
    high('JSON batch ÷ raw COPY', '', 0.6, 0.8, ratio('json_of_copy')),
    high('msgpack ÷ raw COPY', '', 0.7, 0.9, ratio('msgpack_of_copy')),
    high('JSON batch, with the spool ÷ without', '', 0.85, 1, ratio('spool_full')),
    low('202, p99 at 10,000 requests/s', 'ms', 20, 8, latencyOf(measurements, 'latency_ack_10000')?.p99 ?? NaN),
    low(
      'visible to SELECT, p99 at 10,000 points/s',
      'ms',
      50,
      20,
      latencyOf(measurements, 'latency_visible_10000')?.p99 ?? NaN
    ),
    low('memory of a worker at full load', 'MB', 200, 120, largestPeak(
      measurements.filter(({ group }) => group === 'http')
    )),
    low(
      "one satellite's last five minutes at 10,000 points/s, median",
      'ms',
      100,
      50,
      latencyOf(measurements, 'query_satellite')?.p50 ?? NaN
    ),
    low(
      'latest point of 1,000 satellites at 10,000 points/s, median',
      'ms',
      50,
      25,
      latencyOf(measurements, 'query_latest')?.p50 ?? NaN
    ),
    low('the fleet by the minute, an hour, median', 'ms', 300, 150, latencyOf(measurements, 'query_fleet')?.p50 ?? NaN),
    high(
      'TimescaleDB at 100,000 points/s, stored with continuous aggregates ÷ without',
      '',
      0.9,
      0.99,
      ratio('aggregates_100000')
    ),
    low(
      'CPU per point, 100,000 satellites ÷ 100',
      '',
      1.5,
      1.2,
      cpuOf(measurements, 'growth_satellites_100000') / cpuOf(measurements, 'growth_satellites_100')
    ),
    low(
      'CPU per point, 50M rows ÷ none',
      '',
      1.2,
      1.05,
      cpuOf(measurements, 'growth_rows_50000000') / cpuOf(measurements, 'growth_rows_0')
    )
  ]
  return targets.filter(({ measured }) => !Number.isNaN(measured))
}

function rateOf (measurements: readonly Measurement[], name: string): number {
  return median(countedRuns(runsOf(measurements, name)).map(({ rate }) => rate))
}

function latencyOf (measurements: readonly Measurement[], name: string): ReturnType<typeof medianLatency> {
  return medianLatency(countedRuns(runsOf(measurements, name)))
}

function cpuOf (measurements: readonly Measurement[], name: string): number {
  return median(countedRuns(runsOf(measurements, name)).map(cpuMicrosPerPoint))
}

/** Peak memory of a worker in MB: the most demanding load, median of its runs. */
function largestPeak (measurements: readonly Measurement[]): number {
  const peaks = measurements
    .map(({ runs }) => median(countedRuns(runs).map(({ peakBytes }) => (peakBytes?.['worker'] ?? NaN) / 1e6)))
    .filter((peak) => !Number.isNaN(peak))
  return peaks.length === 0 ? NaN : Math.max(...peaks)
}
