/**
 * Finds the entry of a set of limits that applies to a satellite and metric; limit-set.ts defines the precedence.
 *
 * Every new satellite costs a look-up, and any client may send new ones, so the cost must not grow with the number of
 * overrides. Ids are in a Map. A pattern is found by its prefix and suffix:
 *
 *   'SAT-*-EU*-7'  →  length of the prefix (4), prefix 'SAT-', length of the suffix (2), suffix '-7'
 *                  →  the patterns with both, whose middles ('-EU') are searched for one after another
 *
 * Trying one length is a step; searching for a middle counts as MIDDLE_STEPS. The most steps that a look-up can take
 * follows from the set alone: stepsMax, which validate.ts limits.
 *
 * Entries are in order of precedence: if several match, the lowest index applies.
 */
import { WILDCARD, type LimitSet, type MetricLimits } from './limit-set.js'

/** Measured: trying a length takes 50 to 100 ns, searching for the costliest middle 400 ns. */
const MIDDLE_STEPS = 4

/** Limits by index of the metric, of the metrics that the entry names. */
type Entry = ReadonlyMap<number, MetricLimits>

/** An override whose key is a pattern. */
interface Pattern {
  readonly entry: number
  /** Texts between the wildcards. */
  readonly middles: readonly string[]
}

/** Values by text, for texts of one length. */
interface OfLength<T> {
  readonly length: number
  readonly byText: Map<string, T>
}

/** Patterns by suffix. */
type Suffixes = Array<OfLength<Pattern[]>>

export class LimitResolver {
  /** In order of precedence; the default is last. */
  readonly entries: readonly Entry[]
  private readonly exact = new Map<string, number>()
  /** By prefix, longest first. */
  private readonly prefixes: Array<OfLength<Suffixes>> = []
  /** Suffixes of the current id, by length: many prefixes need the same one, and a string is hashed only once. */
  private suffixesOfId: Array<string | undefined> = []

  /** @param metrics as limits name them, in schema order; limits for other metrics are ignored */
  constructor (set: LimitSet, metrics: readonly string[]) {
    const keys = Object.keys(set.overrides)
    const exact = keys.filter((key) => !key.includes(WILDCARD))
    const patterns = keys.filter((key) => key.includes(WILDCARD)).map(split).sort(bySpecificity)
    const overrides = [...exact, ...patterns.map(({ text }) => text)].map((key) => set.overrides[key])
    const indexes = new Map(metrics.map((name, index) => [name, index]))
    // Maps: of a set for many streams, each entry has few of the metrics of one.
    this.entries = [...overrides, set.default].map((limits = {}) => new Map(Object.entries(limits).flatMap(
      ([name, each]) => {
        const index = indexes.get(name)
        return index === undefined ? [] : [[index, each] as const]
      })))
    exact.forEach((key, entry) => this.exact.set(key, entry))
    patterns.forEach(({ pieces }, index) => this.add(pieces, exact.length + index))
    this.prefixes.sort((a, b) => b.length - a.length)
  }

  /** Index of the default among the entries. */
  get defaultEntry (): number {
    return this.entries.length - 1
  }

  /** Whether every satellite has the default limits. */
  get uniform (): boolean {
    return this.entries.length === 1
  }

  /** Steps of the costliest look-up: all prefix lengths, plus the costliest set of prefixes that one id can have. */
  get stepsMax (): number {
    const steps = new Map<string, number>()
    let most = 0
    for (const { length, byText } of this.prefixes.toReversed()) {
      const shorter = this.prefixes.filter((other) => other.length < length)
      for (const [text, suffixes] of byText) {
        // The steps of the longest shorter prefix include those of all prefixes that are shorter still.
        const known = shorter.map((other) => steps.get(text.slice(0, other.length)))
        const inherited = known.find((total) => total !== undefined) ?? 0
        const total = suffixSteps(suffixes) + inherited
        steps.set(text, total)
        most = Math.max(most, total)
      }
    }
    return this.prefixes.length + most
  }

  /** Writes the index of the entry that applies to each metric. */
  resolve (id: string, chosen: number[]): void {
    chosen.fill(this.defaultEntry)
    const exact = this.exact.get(id)
    if (exact !== undefined) this.take(exact, chosen)
    this.suffixesOfId = []
    for (const { length, byText } of this.prefixes) {
      if (length > id.length) continue
      // Patterns with a shorter prefix have lower precedence than everything found so far.
      if (chosen.every((entry) => entry !== this.defaultEntry)) return
      const suffixes = byText.get(id.slice(0, length))
      if (suffixes !== undefined) this.match(id, length, suffixes, chosen)
    }
  }

  private match (id: string, from: number, suffixes: Suffixes, chosen: number[]): void {
    for (const { length, byText } of suffixes) {
      const until = id.length - length
      if (until < from) continue
      const suffix = this.suffixesOfId[length] ??= id.slice(until)
      for (const { entry, middles } of byText.get(suffix) ?? []) {
        if (holdsInOrder(id, middles, from, until)) this.take(entry, chosen)
      }
    }
  }

  /** Applies an entry to the metrics that it names, unless one of higher precedence applies. */
  private take (entry: number, chosen: number[]): void {
    for (const metric of this.entries[entry]?.keys() ?? []) {
      if (entry < (chosen[metric] ?? 0)) chosen[metric] = entry
    }
  }

  private add (pieces: readonly string[], entry: number): void {
    const suffixes = getOrAdd(this.prefixes, pieces[0] ?? '', () => [])
    const patterns = getOrAdd(suffixes, pieces.at(-1) ?? '', () => [])
    patterns.push({ entry, middles: pieces.slice(1, -1).filter((middle) => middle !== '') })
  }
}

interface Pieces {
  readonly text: string
  readonly pieces: readonly string[]
  readonly literals: number
}

function split (text: string): Pieces {
  const pieces = text.split(WILDCARD)
  return { text, pieces, literals: sum(pieces, (piece) => piece.length) }
}

function bySpecificity (a: Pieces, b: Pieces): number {
  return prefixLength(b) - prefixLength(a) || b.literals - a.literals || (a.text < b.text ? -1 : 1)
}

function prefixLength ({ pieces }: Pieces): number {
  return pieces[0]?.length ?? 0
}

function getOrAdd<T> (lengths: Array<OfLength<T>>, text: string, create: () => T): T {
  let ofLength = lengths.find(({ length }) => length === text.length)
  if (ofLength === undefined) {
    ofLength = { length: text.length, byText: new Map() }
    lengths.push(ofLength)
  }
  let known = ofLength.byText.get(text)
  if (known === undefined) {
    known = create()
    ofLength.byText.set(text, known)
  }
  return known
}

/** Takes each middle's first occurrence after the one before: as `*` is the only wildcard, this finds every match. */
export function holdsInOrder (id: string, middles: readonly string[], from: number, until: number): boolean {
  let at = from
  for (const middle of middles) {
    const found = id.indexOf(middle, at)
    if (found < 0 || found + middle.length > until) return false
    at = found + middle.length
  }
  return true
}

/** All suffix lengths, plus the costliest suffix of each. */
function suffixSteps (suffixes: Suffixes): number {
  const middles = (patterns: readonly Pattern[]): number => sum(patterns, (pattern) => pattern.middles.length)
  return sum(suffixes, ({ byText }) => 1 + MIDDLE_STEPS * Math.max(...Array.from(byText.values(), middles)))
}

function sum<T> (values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
