/** The highest rate that holds: steps up while rates hold and down while none does, then halves the gap. */

export interface Trial<Outcome> {
  readonly holds: boolean
  readonly outcome: Outcome
}

export interface Search {
  readonly start: number
  /** Step up or down until the answer lies between two rates that were tried. */
  readonly factor: number
  readonly high: number
  /** Trials at most. */
  readonly steps: number
}

/** The best trial that held, or null if none did. */
export async function bisect<Outcome> (search: Search, attempt: (rate: number) => Promise<Trial<Outcome>>): Promise<{ rate: number, outcome: Outcome } | null> {
  let best: { rate: number, outcome: Outcome } | null = null
  let failed: number | null = null
  let rate = Math.min(search.start, search.high)
  for (let step = 0; step < search.steps; step++) {
    const { holds, outcome } = await attempt(rate)
    if (holds) best = { rate, outcome }
    else failed = rate
    if (best !== null && best.rate >= search.high) break
    rate = nextRate(best?.rate ?? null, failed, search)
  }
  return best
}

function nextRate (held: number | null, failed: number | null, { factor, high }: Search): number {
  if (held === null) return Math.round((failed ?? high) / factor)
  return Math.round(failed === null ? Math.min(high, held * factor) : Math.sqrt(held * failed))
}
