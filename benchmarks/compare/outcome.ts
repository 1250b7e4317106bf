/** Results of a comparison, as table rows. */
import { count, ms } from '../report/figures.js'
import type { RunRecord } from '../result.js'
import { median, spread } from '../statistics.js'

export const HEADS = ['endpoint', 'points/s', 'spread', 'sent', 'acknowledged', 'stored', 'p50 ms', 'p99 ms']

/** @param stored whether stored points were counted */
export function rowOf (name: string, runs: readonly RunRecord[], stored: boolean): string[] {
  const rates = runs.map(({ rate }) => rate)
  const latency = (key: 'p50' | 'p99'): string => ms(median(runs.map((run) => run.latency?.[key] ?? NaN)))
  const sum = (key: 'sent' | 'acknowledged' | 'stored'): string =>
    count(runs.reduce((total, run) => total + run[key], 0))
  return [
    name, count(median(rates)), `±${(spread(rates) * 100).toFixed(0)}%`, sum('sent'), sum('acknowledged'),
    stored ? sum('stored') : '', latency('p50'), latency('p99')
  ]
}

/** Compares the second with the first, run by run: rates and ratio of each pair, and the median ratio. */
export function pairsText (first: readonly RunRecord[], second: readonly RunRecord[]): string {
  const pairs = first.flatMap(({ rate }, run) => second[run] === undefined
    ? []
    : [{ first: rate, second: second[run].rate }])
  const ratios = pairs.map((pair) => pair.second / pair.first)
  const each = pairs.map((pair, run) =>
    `${count(pair.second)}/${count(pair.first)} = ${(ratios[run] ?? NaN).toFixed(2)}`)
  return `median ${median(ratios).toFixed(2)} of ${each.join(', ')}`
}

/** Problems of all runs; an endpoint that accepts nothing was not measured. */
export function problemsOf (name: string, runs: readonly RunRecord[]): string[] {
  return runs.flatMap(({ problems, acknowledged }, run) => {
    const all = acknowledged === 0 ? [...problems, 'nothing was acknowledged'] : problems
    return all.map((problem) => `${name}, run ${run + 1}: ${problem}`)
  })
}
