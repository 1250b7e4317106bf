/**
 * The stored baseline: only ratios, since absolute figures belong to one machine on one day; each with how it was
 * measured.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { systemCode } from '../lib/support/errors.js'
import type { Plan } from './plan.js'
import { expectationOf } from './ratios.js'
import type { Ratio, Verdict } from './result.js'

export interface StoredRatio {
  readonly value: number
  /** See Ratio. */
  readonly spread: number
  readonly mode: string
  readonly runs: number
  readonly seconds: number
}

export interface Baseline {
  readonly storedAt: string
  /** Of the program measured last. */
  readonly version: string | null
  readonly ratios: Readonly<Record<string, StoredRatio>>
}

/** A ratio may be worse than the baseline by this share, or by its spread in the baseline if that is more. */
export const FALL_MAX = 0.1

/** Null: there is none. */
export async function readBaseline (path: URL): Promise<Baseline | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Baseline
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}

export async function writeBaseline (path: URL, baseline: Baseline): Promise<void> {
  await writeFile(path, `${JSON.stringify(baseline, null, 2)}\n`)
}

/** Measured ratios replace stored ones; the rest is kept, except for ratios that no longer exist. */
export function mergeBaseline (
  before: Baseline | null,
  version: string | null,
  plan: Plan,
  ratios: readonly Ratio[]
): Baseline {
  const kept = Object.entries(before?.ratios ?? {}).filter(([name]) => expectationOf(name, plan) !== 'unknown')
  const { mode, runs, seconds } = plan
  const measured = ratios.map(({ name, value, spread }): [string, StoredRatio] =>
    [name, { value: round(value), spread: round(spread), mode, runs, seconds }])
  return { storedAt: new Date().toISOString(), version, ratios: Object.fromEntries([...kept, ...measured]) }
}

/** A verdict for each baseline ratio that the plan covers; having nothing to compare is a failure. */
export function checkRatios (baseline: Baseline | null, plan: Plan, ratios: readonly Ratio[]): Verdict[] {
  if (baseline === null) {
    return [{ title: 'Baseline', passed: false, detail: 'there is none; create one with --update-baseline' }]
  }
  const verdicts = Object.entries(baseline.ratios).flatMap(([name, stored]): Verdict[] => {
    const expectation = expectationOf(name, plan)
    if (expectation === 'unknown') {
      return [{
        title: `Baseline: ${name}`,
        passed: false,
        detail: 'this ratio no longer exists; --update-baseline removes it'
      }]
    }
    if (expectation === 'left out') return []
    const ratio = ratios.find((measured) => measured.name === name)
    return ratio === undefined
      ? [{ title: `Baseline: ${name}`, passed: false, detail: 'was not measured' }]
      : [compareRatio(ratio, stored)]
  })
  const nothing = {
    title: 'Baseline',
    passed: false,
    detail: 'these groups have no ratio in the baseline: nothing was compared'
  }
  return verdicts.length === 0 ? [nothing] : verdicts
}

function compareRatio (
  { title, value, lower }: Ratio,
  { value: before, spread, mode, runs, seconds }: StoredRatio
): Verdict {
  const bound = Math.max(FALL_MAX, spread)
  const change = value / before - 1
  const allowed =
    `${lower ? '+' : '-'}${(bound * 100).toFixed(0)}% allowed${bound > FALL_MAX ? ', the spread of the baseline' : ''}`
  return {
    title: `Baseline: ${title}`,
    passed: (lower ? -change : change) >= -bound,
    detail: `${value.toFixed(3)} against ${before.toFixed(3)} of ${mode}, ${runs} × ${seconds} s: ` +
      `${change >= 0 ? '+' : ''}${(change * 100).toFixed(1)}%, ${allowed}`
  }
}

function round (value: number): number {
  return Number(value.toFixed(4))
}
