/** The stored baseline: ratios only, since figures are those of one machine on one day. */
import { readFile, writeFile } from 'node:fs/promises'
import type { Ratio, Verdict } from './result.js'

export interface Baseline {
  readonly storedAt: string
  readonly version: string
  readonly ratios: Readonly<Record<string, number>>
}

/** A ratio may be lower than the baseline's by this share. */
export const FALL_MAX = 0.1

/** Null: there is none. */
export async function readBaseline (path: URL): Promise<Baseline | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Baseline
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

export async function writeBaseline (path: URL, version: string, ratios: readonly Ratio[]): Promise<void> {
  const rounded = Object.fromEntries(ratios.map(({ name, value }) => [name, Number(value.toFixed(4))]))
  const baseline: Baseline = { storedAt: new Date().toISOString(), version, ratios: rounded }
  await writeFile(path, `${JSON.stringify(baseline, null, 2)}\n`)
}

/** A verdict for each ratio that the baseline has; one that was not measured now says nothing. */
export function checkRatios (baseline: Baseline | null, ratios: readonly Ratio[]): Verdict[] {
  if (baseline === null) return [{ title: 'Baseline', passed: false, detail: 'there is none; make one with --update-baseline' }]
  return ratios.flatMap(({ name, title, value }) => {
    const before = baseline.ratios[name]
    if (before === undefined) return []
    const change = value / before - 1
    return [{ title: `Baseline: ${title}`, passed: change >= -FALL_MAX, detail: `${value.toFixed(3)} against ${before.toFixed(3)} (${change >= 0 ? '+' : ''}${(change * 100).toFixed(1)}%)` }]
  })
}
