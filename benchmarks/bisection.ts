/**
 * Finds the highest rate that holds. Steps up while rates hold; steps down, by growing factors, until one does; then
 * bisects the gap until it is narrow.
 */

export interface Trial<Outcome> {
  readonly holds: boolean
  readonly outcome: Outcome
}

export interface Search {
  readonly start: number
  /** First step up or down; each further step down squares the factor. */
  readonly factor: number
  /** Lower bound of the search. */
  readonly low: number
  readonly high: number
  /** Ends when the lowest rate that failed is at most this many times the highest that held. */
  readonly resolution: number
  /** Maximum number of trials after a rate has held. */
  readonly steps: number
}

export interface Found<Outcome> {
  readonly rate: number
  readonly outcome: Outcome
  /** The search hit its upper bound: more may hold. */
  readonly isHighest: boolean
}

/** The best trial that held, or null if none did. */
export async function bisect<Outcome> (
  search: Search,
  attempt: (rate: number) => Promise<Trial<Outcome>>
): Promise<Found<Outcome> | null> {
  const { start, low, high, resolution, steps } = search
  let best: Found<Outcome> | null = null
  let failed: number | null = null
  let factor = search.factor
  let rate = Math.min(start, high)
  for (let step = 0; best === null || step < steps; step++) {
    const { holds, outcome } = await attempt(rate)
    if (holds) best = { rate, outcome, isHighest: rate >= high }
    else failed = rate
    if (best === null) {
      if (rate <= low) return null
      rate = Math.max(low, Math.round(rate / factor))
      factor *= factor
    } else {
      if (best.isHighest || (failed !== null && failed <= best.rate * resolution)) return best
      rate = failed === null
        ? Math.min(high, Math.round(best.rate * search.factor))
        : Math.round(Math.sqrt(best.rate * failed))
    }
  }
  return best
}
