/**
 * Which entry of a set of limits counts for a satellite and metric; the order is in limit-set.ts.
 *
 * A look-up is made for every satellite that is new, and anybody may send new ones: so its cost must not grow with the
 * number of overrides. Ids stand in a Map. A pattern is found by its two ends:
 *
 *   'SAT-*-EU*-7'  →  by the length of its beginning (4), the beginning 'SAT-', the length of its end (2), the end '-7'
 *                  →  the patterns with these two ends, whose middles ('-EU') are looked for one after another
 *
 * A step is one length that is tried; to look for a middle counts as MIDDLE_STEPS. How many steps a look-up may take at
 * most follows from the set alone: stepsMax, which validate.ts bounds.
 *
 * Entries stand in the order in which they count, so that of several that match, the one of the lowest position does.
 */
import { WILDCARD, type LimitSet, type MetricLimits } from './limit-set.js'

/** Measured: a length is tried in 50 to 100 ns, the costliest middle found or not in 400. */
const MIDDLE_STEPS = 4

/** Limits by metric, as they stand in the schema; undefined: this entry says nothing of the metric. */
type Entry = ReadonlyArray<MetricLimits | undefined>

/** The override of a pattern. */
interface Pattern {
  readonly entry: number
  /** Texts between the wildcards. */
  readonly middles: readonly string[]
}

/** Texts of one length, and what stands under each. */
interface OfLength<T> {
  readonly length: number
  readonly byText: Map<string, T>
}

/** By the end. */
type Ends = Array<OfLength<Pattern[]>>

export class LimitResolver {
  /** In the order in which they count; the default is the last. */
  readonly entries: readonly Entry[]
  private readonly exact = new Map<string, number>()
  /** By the beginning, the longest first. */
  private readonly beginnings: Array<OfLength<Ends>> = []
  /** Ends of the id that is looked up, by their length: many beginnings ask for the same one, and a text is hashed once. */
  private endsOfId: Array<string | undefined> = []

  /** @param metrics names, in the order of the schema; limits of others are passed over */
  constructor (set: LimitSet, metrics: readonly string[]) {
    const keys = Object.keys(set.overrides)
    const exact = keys.filter((key) => !key.includes(WILDCARD))
    const patterns = keys.filter((key) => key.includes(WILDCARD)).map(split).sort(bySpecificity)
    this.entries = [...exact.map((key) => set.overrides[key]), ...patterns.map(({ text }) => set.overrides[text]), set.default]
      .map((limits = {}) => metrics.map((name) => Object.hasOwn(limits, name) ? limits[name] : undefined))
    exact.forEach((key, entry) => this.exact.set(key, entry))
    patterns.forEach(({ pieces }, index) => this.add(pieces, exact.length + index))
    this.beginnings.sort((a, b) => b.length - a.length)
  }

  /** Position of the default among the entries. */
  get defaultEntry (): number {
    return this.entries.length - 1
  }

  /** Whether every satellite has the default limits. */
  get uniform (): boolean {
    return this.entries.length === 1
  }

  /** Steps that the costliest look-up can take: all lengths of beginnings, and of one id's beginnings those with most to do. */
  get stepsMax (): number {
    const steps = new Map<string, number>()
    let most = 0
    for (const { length, byText } of this.beginnings.toReversed()) {
      const shorter = this.beginnings.filter((other) => other.length < length)
      for (const [text, ends] of byText) {
        // That of the longest shorter one includes all that are shorter still.
        const inherited = shorter.map((other) => steps.get(text.slice(0, other.length))).find((known) => known !== undefined) ?? 0
        const total = endSteps(ends) + inherited
        steps.set(text, total)
        most = Math.max(most, total)
      }
    }
    return this.beginnings.length + most
  }

  /** Writes for each metric the position of the entry that counts. */
  resolve (id: string, chosen: number[]): void {
    chosen.fill(this.defaultEntry)
    const exact = this.exact.get(id)
    if (exact !== undefined) this.take(exact, chosen)
    this.endsOfId = []
    for (const { length, byText } of this.beginnings) {
      if (length > id.length) continue
      // Patterns with a shorter beginning count less than all that was found.
      if (chosen.every((entry) => entry !== this.defaultEntry)) return
      const ends = byText.get(id.slice(0, length))
      if (ends !== undefined) this.match(id, length, ends, chosen)
    }
  }

  private match (id: string, from: number, ends: Ends, chosen: number[]): void {
    for (const { length, byText } of ends) {
      const until = id.length - length
      if (until < from) continue
      const end = this.endsOfId[length] ??= id.slice(until)
      for (const { entry, middles } of byText.get(end) ?? []) {
        if (holdsInOrder(id, middles, from, until)) this.take(entry, chosen)
      }
    }
  }

  /** Takes an entry for the metrics that it names, where none that counts more was taken. */
  private take (entry: number, chosen: number[]): void {
    const limits = this.entries[entry] ?? []
    for (let metric = 0; metric < chosen.length; metric++) {
      if (limits[metric] !== undefined && entry < (chosen[metric] ?? 0)) chosen[metric] = entry
    }
  }

  private add (pieces: readonly string[], entry: number): void {
    const ends = under(this.beginnings, pieces[0] ?? '', () => [])
    under(ends, pieces.at(-1) ?? '', () => []).push({ entry, middles: pieces.slice(1, -1).filter((middle) => middle !== '') })
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
  return beginning(b) - beginning(a) || b.literals - a.literals || (a.text < b.text ? -1 : 1)
}

function beginning ({ pieces }: Pieces): number {
  return pieces[0]?.length ?? 0
}

/** What stands under a text; made if nothing does. */
function under<T> (lengths: Array<OfLength<T>>, text: string, make: () => T): T {
  let ofLength = lengths.find(({ length }) => length === text.length)
  if (ofLength === undefined) {
    ofLength = { length: text.length, byText: new Map() }
    lengths.push(ofLength)
  }
  let known = ofLength.byText.get(text)
  if (known === undefined) {
    known = make()
    ofLength.byText.set(text, known)
  }
  return known
}

/** Each middle is taken at its first place behind the one before: for `*` alone that finds a match where there is one. */
export function holdsInOrder (id: string, middles: readonly string[], from: number, until: number): boolean {
  let at = from
  for (const middle of middles) {
    const found = id.indexOf(middle, at)
    if (found < 0 || found + middle.length > until) return false
    at = found + middle.length
  }
  return true
}

/** Each length, and of its texts the one with most to look for. */
function endSteps (ends: Ends): number {
  return sum(ends, ({ byText }) => 1 + Math.max(...Array.from(byText.values(), (patterns) => MIDDLE_STEPS * sum(patterns, ({ middles }) => middles.length))))
}

function sum<T> (values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
