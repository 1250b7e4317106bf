/** Figures as ratios to others of the same round, comparable from day to day and machine to machine. */
import { ENGINES } from './scenarios/access/access.js'
import type { Group, Plan } from './plan.js'
import type { Measurement, Ratio, RunRecord } from './result.js'
import { cpuMicrosPerPoint, isQuiet, median, pointsPerSessionSecond, runsOf, spread } from './statistics.js'
import { STORING } from './timescale/purposes.js'

interface Pair {
  readonly name: string
  readonly title: string
  readonly of: string
  readonly by: string
  /** Groups that it needs. */
  readonly groups: readonly Group[]
  /** Measured only by thorough plans. */
  readonly thorough?: boolean
  /** What is divided; default: the rate. */
  readonly figure?: (run: RunRecord) => number
  /** Smaller is better. */
  readonly lower?: boolean
}

const METRICS: readonly Group[] = ['metrics']
/** As a share of raw COPY of the same rows. */
const METRICS_OF_COPY = [3, 20, 50, 250].flatMap((metrics): Pair[] => [
  { suffix: '', filled: '' }, { suffix: '_sparse', filled: ', one value in ten' }
].map(({ suffix, filled }) => ({
  name: `metrics_${metrics}${suffix}_of_copy`,
  title: `${metrics} metrics${filled}, JSON stored ÷ raw COPY`,
  of: `metrics_json_${metrics}${suffix}`,
  by: `metrics_copy_${metrics}${suffix}`,
  groups: METRICS
})).filter(({ name }) => name !== 'metrics_3_sparse_of_copy'))

const HTTP: readonly Group[] = ['ceilings', 'http']
const AGGREGATES: readonly Group[] = ['aggregates']

/** At a fixed rate the rate says nothing, so cost is compared. */
const PAIRS: readonly Pair[] = [
  {
    name: 'json_of_copy',
    title: 'JSON, 1000 a request, stored ÷ raw COPY',
    of: 'http_json_1000',
    by: 'ceiling_copy',
    groups: HTTP
  },
  {
    name: 'json_10000_of_copy',
    title: 'JSON, 10,000 a request, stored ÷ raw COPY',
    of: 'http_json_10000',
    by: 'ceiling_copy',
    groups: HTTP,
    thorough: true
  },
  {
    name: 'ndjson_of_copy',
    title: 'NDJSON, 1000 a request, stored ÷ raw COPY',
    of: 'http_ndjson_1000',
    by: 'ceiling_copy',
    groups: HTTP,
    thorough: true
  },
  {
    name: 'msgpack_of_copy',
    title: 'msgpack frames, 1000 a request, stored ÷ raw COPY',
    of: 'http_msgpack_1000',
    by: 'ceiling_copy',
    groups: HTTP
  },
  {
    name: 'json_of_drop',
    title: 'JSON, 1000 a request, stored ÷ decoded and dropped',
    of: 'http_json_1000',
    by: 'ceiling_drop_1000',
    groups: HTTP
  },
  {
    name: 'single_of_drop',
    title: 'JSON, one point a request, stored ÷ decoded and dropped',
    of: 'http_json_1',
    by: 'ceiling_drop_1',
    groups: HTTP
  },
  {
    name: 'single_node',
    title: 'JSON, one point a request, stored by node:http ÷ by uWebSockets.js',
    of: 'http_json_1_node',
    by: 'http_json_1',
    groups: ['http']
  },
  {
    name: 'spool_full',
    title: 'JSON, 1000 a request, with the spool ÷ without',
    of: 'spool_full',
    by: 'spool_full_off',
    groups: ['spool']
  },
  {
    name: 'spool_few',
    title: 'JSON, 1000 a request, 12 connections, with the spool ÷ without',
    of: 'spool_few',
    by: 'spool_few_off',
    groups: ['spool']
  },
  {
    name: 'rollups_cpu',
    title: 'CPU per point at 100,000 points/s, with rollups ÷ without',
    of: 'rollups_rate',
    by: 'rollups_rate_off',
    groups: ['rollups'],
    figure: cpuMicrosPerPoint,
    lower: true
  },
  {
    name: 'rollups_full',
    title: 'JSON, 1000 a request, with rollups ÷ without',
    of: 'rollups_full',
    by: 'rollups_full_off',
    groups: ['rollups']
  },
  {
    name: 'aggregates_100000',
    title: 'TimescaleDB at 100,000 points/s, stored with continuous aggregates ÷ without',
    of: 'aggregates_100000',
    by: 'aggregates_100000_off',
    groups: AGGREGATES
  },
  {
    name: 'aggregates_50000',
    title: 'TimescaleDB at 50,000 points/s, stored with continuous aggregates ÷ without',
    of: 'aggregates_50000',
    by: 'aggregates_50000_off',
    groups: AGGREGATES
  },
  // At the rate that saturates neither side: there nothing is late because it had to wait.
  {
    name: 'aggregates_copy',
    title: 'TimescaleDB, points a second of COPY transactions, with continuous aggregates ÷ without',
    of: 'aggregates_50000',
    by: 'aggregates_50000_off',
    groups: AGGREGATES,
    figure: (run) => pointsPerSessionSecond(run, STORING)
  },
  {
    name: 'aggregates_busy',
    title: 'TimescaleDB, points a second of all statements, refreshes too, with continuous aggregates ÷ without',
    of: 'aggregates_50000',
    by: 'aggregates_50000_off',
    groups: AGGREGATES,
    figure: (run) => pointsPerSessionSecond(run)
  },
  {
    name: 'udp_of_count',
    title: 'UDP stored ÷ UDP counted',
    of: 'udp',
    by: 'ceiling_udp',
    groups: ['ceilings', 'udp'],
    thorough: true
  },
  ...METRICS_OF_COPY,
  {
    name: 'metrics_50_of_3',
    title: 'JSON, values a second, 50 metrics ÷ 3',
    of: 'metrics_json_50',
    by: 'metrics_json_3',
    groups: METRICS
  },
  {
    name: 'metrics_limits',
    title: '250 metrics, JSON stored with limits and 1,000 overrides ÷ without limits',
    of: 'metrics_limits',
    by: 'metrics_limits_off',
    groups: METRICS
  },
  {
    name: 'api_export_p99',
    title: '202 at 10,000 points/s, p99 beside an export ÷ without',
    of: 'api_incoming_export',
    by: 'api_incoming',
    groups: ['api'],
    figure: ({ latency }) => latency?.p99 ?? NaN,
    lower: true
  },
  ...ENGINES.flatMap((engine): Pair[] => {
    const pair = { of: `access_tls_${engine}`, by: `access_plain_${engine}`, groups: ['access'] } as const
    return [
      { ...pair, name: `access_tls_${engine}`, title: `JSON, 1000 a request, stored over TLS ÷ without, ${engine}` },
      {
        ...pair,
        name: `access_tls_cost_${engine}`,
        title: `JSON, 1000 a request, the server's processor time a point over TLS ÷ without, ${engine}`,
        figure: cpuMicrosPerPoint,
        lower: true
      }
    ]
  })
]

const RATE = ({ rate }: RunRecord): number => rate

/** Ratios of pairs measured in the same round, as medians over the rounds: over the quiet ones, if any. */
export function ratiosOf (measurements: readonly Measurement[]): Ratio[] {
  return PAIRS.flatMap(({ name, title, of, by, figure = RATE, lower = false }) => {
    const others = runsOf(measurements, by)
    const rounds = runsOf(measurements, of).flatMap((run, round) => {
      const other = others[round]
      const value = other === undefined ? NaN : figure(run) / figure(other)
      return Number.isFinite(value) ? [{ value, quiet: isQuiet(run) && other !== undefined && isQuiet(other) }] : []
    })
    const quiet = rounds.filter((round) => round.quiet)
    const values = (quiet.length === 0 ? rounds : quiet).map(({ value }) => value)
    return values.length === 0 ? [] : [{ name, title, value: median(values), spread: spread(values), lower }]
  })
}

export type Expectation = 'measured' | 'left out' | 'unknown'

/** Whether a plan yields this ratio. */
export function expectationOf (name: string, { groups, thorough }: Pick<Plan, 'groups' | 'thorough'>): Expectation {
  const pair = PAIRS.find((known) => known.name === name)
  if (pair === undefined) return 'unknown'
  return pair.groups.every((group) => groups.includes(group)) && (thorough || pair.thorough !== true)
    ? 'measured'
    : 'left out'
}
