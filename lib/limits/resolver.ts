/**
 * Which entry of a set of limits counts for a satellite and metric; the order is in limit-set.ts.
 *
 * Ids stand in a Map; patterns stand under their text before the first `*`, so that a satellite looks at those alone
 * whose beginning it shares: with thousands of overrides a look-up stays cheap, and it is made once per satellite.
 */
import { METRICS } from '../../protocol/metrics.js'
import { WILDCARD, type LimitSet, type MetricLimits } from './limit-set.js'

/** Limits by position in the catalogue; undefined: this entry says nothing of the metric. */
type Entry = ReadonlyArray<MetricLimits | undefined>

interface Pattern {
  readonly text: string
  /** Text between wildcards: the first is the beginning, the last the end. */
  readonly pieces: readonly string[]
  readonly entry: number
}

/** Position of the default among the entries. */
export const DEFAULT_ENTRY = 0

export class LimitResolver {
  readonly entries: readonly Entry[]
  private readonly exact = new Map<string, number>()
  /** By the text before the first wildcard, most specific first. */
  private readonly patterns = new Map<string, Pattern[]>()
  /** Lengths of those texts, longest first. */
  private readonly prefixLengths: readonly number[]

  constructor (set: LimitSet) {
    const overrides = Object.entries(set.overrides)
    this.entries = [set.default, ...overrides.map(([, limits]) => limits)]
      .map((limits) => METRICS.map((metric) => Object.hasOwn(limits, metric.name) ? limits[metric.name] : undefined))
    overrides.forEach(([key], index) => this.add(key, index + 1))
    for (const patterns of this.patterns.values()) patterns.sort(bySpecificity)
    this.prefixLengths = [...new Set([...this.patterns.keys()].map((prefix) => prefix.length))].sort((a, b) => b - a)
  }

  /** Whether every satellite has the default limits. */
  get uniform (): boolean {
    return this.entries.length === 1
  }

  /** Writes for each metric the position of the entry that counts. */
  resolve (id: string, chosen: number[]): void {
    chosen.fill(DEFAULT_ENTRY)
    let open = this.choose(this.exact.get(id), chosen, chosen.length)
    for (const length of this.prefixLengths) {
      if (open === 0) return
      if (length > id.length) continue
      for (const pattern of this.patterns.get(id.slice(0, length)) ?? []) {
        if (matches(pattern, id)) open = this.choose(pattern.entry, chosen, open)
      }
    }
  }

  /** Takes an entry for the metrics that it names and that are still open; gives how many are open then. */
  private choose (entry: number | undefined, chosen: number[], open: number): number {
    const limits = entry === undefined ? undefined : this.entries[entry]
    if (limits === undefined || entry === undefined) return open
    let left = open
    for (let metric = 0; metric < chosen.length; metric++) {
      if (limits[metric] === undefined || chosen[metric] !== DEFAULT_ENTRY) continue
      chosen[metric] = entry
      left--
    }
    return left
  }

  private add (key: string, entry: number): void {
    if (!key.includes(WILDCARD)) {
      this.exact.set(key, entry)
      return
    }
    const pieces = key.split(WILDCARD)
    const prefix = pieces[0] ?? ''
    const known = this.patterns.get(prefix)
    const pattern: Pattern = { text: key, pieces, entry }
    if (known === undefined) this.patterns.set(prefix, [pattern])
    else known.push(pattern)
  }
}

/** For patterns with the same beginning. */
function bySpecificity (a: Pattern, b: Pattern): number {
  const literals = literalLength(b) - literalLength(a)
  if (literals !== 0) return literals
  return a.text < b.text ? -1 : 1
}

function literalLength ({ pieces }: Pattern): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0)
}

/** Each piece is taken at its first place behind the one before: for `*` alone that finds a match where there is one. */
function matches ({ pieces }: Pattern, id: string): boolean {
  const first = pieces[0] ?? ''
  const last = pieces.at(-1) ?? ''
  const end = id.length - last.length
  if (end < first.length || !id.startsWith(first) || !id.endsWith(last)) return false
  let at = first.length
  for (let piece = 1; piece < pieces.length - 1; piece++) {
    const text = pieces[piece] ?? ''
    const found = id.indexOf(text, at)
    if (found < 0 || found + text.length > end) return false
    at = found + text.length
  }
  return true
}
