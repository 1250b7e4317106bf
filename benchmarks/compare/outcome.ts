/** What runs of a comparison gave, as a row of the table. */
import { count, ms } from '../report/figures.js'
import type { RunRecord } from '../result.js'
import { median, spread } from '../statistics.js'

export const HEADS = ['endpoint', 'points/s', 'spread', 'sent', 'acknowledged', 'stored', 'p50 ms', 'p99 ms']

/** @param stored whether what was stored could be looked up */
export function rowOf (name: string, runs: readonly RunRecord[], stored: boolean): string[] {
  const rates = runs.map(({ rate }) => rate)
  const latency = (key: 'p50' | 'p99'): string => ms(median(runs.map((run) => run.latency?.[key] ?? NaN)))
  const sum = (key: 'sent' | 'acknowledged' | 'stored'): string => count(runs.reduce((total, run) => total + run[key], 0))
  return [name, count(median(rates)), `±${(spread(rates) * 100).toFixed(0)}%`, sum('sent'), sum('acknowledged'), stored ? sum('stored') : '', latency('p50'), latency('p99')]
}

/** What was not as it must be, of all runs; an endpoint that takes nothing is not measured. */
export function problemsOf (name: string, runs: readonly RunRecord[]): string[] {
  return runs.flatMap(({ problems, acknowledged }, run) => {
    const all = acknowledged === 0 ? [...problems, 'nothing was acknowledged'] : problems
    return all.map((problem) => `${name}, run ${run + 1}: ${problem}`)
  })
}
