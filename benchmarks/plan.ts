/** What is measured, how long and how often, by mode. */
import type { BenchArguments } from './arguments.js'
import type { Group } from './result.js'

export type Mode = 'quick' | 'default' | 'full'

/** In the order in which a round measures them. */
export const GROUPS = ['ceilings', 'http', 'sustained', 'spool', 'udp', 'latency', 'queries', 'growth', 'rollups', 'aggregates', 'dashboards', 'freshness'] as const satisfies readonly Group[]

export interface Plan {
  readonly mode: Mode
  readonly groups: readonly Group[]
  /** Rounds: each measures everything once, so that drift of the machine meets all alike. */
  readonly runs: number
  /** Of one throughput run. */
  readonly seconds: number
  /** Of a run at a fixed rate, whose percentiles need many requests. */
  readonly latencySeconds: number
  readonly udpSteps: number
  /** The less important formats and batch sizes are measured too. */
  readonly thorough: boolean
  /** Points per second of the latency runs. */
  readonly latencyRates: readonly number[]
  readonly queryRows: number
  readonly dashboardRows: number
}

const PLANS: Readonly<Record<Mode, Omit<Plan, 'mode' | 'groups'>>> = {
  quick: { runs: 1, seconds: 2, latencySeconds: 3, udpSteps: 6, thorough: false, latencyRates: [10_000], queryRows: 300_000, dashboardRows: 1_000_000 },
  default: { runs: 2, seconds: 1.2, latencySeconds: 2, udpSteps: 7, thorough: true, latencyRates: [1_000, 10_000, 100_000], queryRows: 3_000_000, dashboardRows: 2_000_000 },
  full: { runs: 5, seconds: 10, latencySeconds: 20, udpSteps: 12, thorough: true, latencyRates: [1_000, 10_000, 100_000], queryRows: 20_000_000, dashboardRows: 20_000_000 }
}

/** Groups that a mode has no time for. */
export const LEFT_OUT: Readonly<Record<Mode, readonly Group[]>> = {
  quick: ['sustained', 'spool', 'growth', 'rollups', 'aggregates', 'dashboards', 'freshness'],
  default: ['sustained', 'spool', 'growth', 'rollups', 'aggregates', 'dashboards', 'freshness'],
  full: []
}

export function planOf (options: Pick<BenchArguments, 'mode' | 'runs' | 'seconds' | 'only'> & Partial<BenchArguments>): Plan {
  const plan = PLANS[options.mode]
  const groups = options.only ?? GROUPS.filter((group) => !LEFT_OUT[options.mode].includes(group))
  return {
    ...plan,
    mode: options.mode,
    groups,
    runs: options.runs ?? plan.runs,
    seconds: options.seconds ?? plan.seconds,
    latencySeconds: options.seconds ?? plan.latencySeconds
  }
}
