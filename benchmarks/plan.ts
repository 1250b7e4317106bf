/** What is measured, for how long and how often, by mode. */

export type Mode = 'quick' | 'default' | 'full'

/** In measurement order. */
export const GROUPS = [
  'ceilings', 'http', 'sustained', 'spool', 'udp', 'latency', 'queries', 'growth', 'rollups', 'aggregates',
  'dashboards', 'freshness', 'api', 'metrics', 'page', 'access'
] as const

export type Group = typeof GROUPS[number]

export interface Plan {
  readonly mode: Mode
  readonly groups: readonly Group[]
  /** Rounds: each measures everything once, so that drift of the machine affects all alike. */
  readonly runs: number
  /** Length of a throughput run. */
  readonly seconds: number
  /** Length of a run at a fixed rate, whose percentiles need many requests. */
  readonly latencySeconds: number
  /** Length of a load beside which something else happens: queries, open pages, attacks. */
  readonly besideSeconds: number
  readonly udpSteps: number
  /** Also measure less important formats and batch sizes. */
  readonly thorough: boolean
  /** Points per second of the latency runs. */
  readonly latencyRates: readonly number[]
  readonly queryRows: number
  readonly dashboardRows: number
  /** Rows behind the query API. */
  readonly apiRows: number
}

const PLANS: Readonly<Record<Mode, Omit<Plan, 'mode' | 'groups'>>> = {
  quick: {
    runs: 1,
    seconds: 2,
    latencySeconds: 3,
    besideSeconds: 5,
    udpSteps: 6,
    thorough: false,
    latencyRates: [10_000],
    queryRows: 300_000,
    dashboardRows: 1_000_000,
    apiRows: 100_000
  },
  default: {
    runs: 2,
    seconds: 1.2,
    latencySeconds: 2,
    besideSeconds: 30,
    udpSteps: 7,
    thorough: true,
    latencyRates: [1_000, 10_000, 100_000],
    queryRows: 3_000_000,
    dashboardRows: 2_000_000,
    apiRows: 20_000_000
  },
  full: {
    runs: 5,
    seconds: 10,
    latencySeconds: 20,
    besideSeconds: 60,
    udpSteps: 12,
    thorough: true,
    latencyRates: [1_000, 10_000, 100_000],
    queryRows: 20_000_000,
    dashboardRows: 20_000_000,
    apiRows: 20_000_000
  }
}

const LONG: readonly Group[] = [
  'sustained', 'spool', 'growth', 'rollups', 'aggregates', 'dashboards', 'freshness', 'api', 'metrics', 'page', 'access'
]

/** Groups that a mode skips. */
export const LEFT_OUT: Readonly<Record<Mode, readonly Group[]>> = { quick: LONG, default: LONG, full: [] }

/** What may be changed of a mode's plan; null: as the mode has it. */
export interface PlanOptions {
  readonly mode: Mode
  readonly runs: number | null
  readonly seconds: number | null
  readonly only: readonly Group[] | null
}

export function planOf (options: PlanOptions): Plan {
  const plan = PLANS[options.mode]
  const groups = options.only ?? GROUPS.filter((group) => !LEFT_OUT[options.mode].includes(group))
  return {
    ...plan,
    mode: options.mode,
    groups,
    runs: options.runs ?? plan.runs,
    seconds: options.seconds ?? plan.seconds,
    latencySeconds: options.seconds ?? plan.latencySeconds,
    besideSeconds: options.seconds ?? plan.besideSeconds
  }
}
