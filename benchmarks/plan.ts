/** What is measured, how long and how often, by mode. */
import type { BenchArguments } from './arguments.js'
import type { Group } from './result.js'

export type Mode = 'quick' | 'default' | 'full'

export const GROUPS = ['ceilings', 'http', 'udp', 'latency', 'queries', 'growth'] as const satisfies readonly Group[]

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
}

const PLANS: Readonly<Record<Mode, Omit<Plan, 'mode' | 'groups'>>> = {
  quick: { runs: 1, seconds: 2, latencySeconds: 3, udpSteps: 5, thorough: false, latencyRates: [10_000], queryRows: 300_000 },
  default: { runs: 3, seconds: 1.2, latencySeconds: 2, udpSteps: 6, thorough: true, latencyRates: [1_000, 10_000, 100_000], queryRows: 1_000_000 },
  full: { runs: 5, seconds: 10, latencySeconds: 20, udpSteps: 12, thorough: true, latencyRates: [1_000, 10_000, 100_000], queryRows: 3_000_000 }
}

export function planOf (options: BenchArguments): Plan {
  const plan = PLANS[options.mode]
  const groups = options.only ?? GROUPS.filter((group) => group !== 'growth' || options.mode === 'full')
  return {
    ...plan,
    mode: options.mode,
    groups,
    runs: options.runs ?? plan.runs,
    seconds: options.seconds ?? plan.seconds,
    latencySeconds: options.seconds ?? plan.latencySeconds
  }
}
