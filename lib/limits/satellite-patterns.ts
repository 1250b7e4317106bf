/** Matches satellite ids against a list of ids and patterns, written like the keys of overrides (limit-set.ts). */
import { ECHO_MAX } from '../../protocol/names.js'
import { isSatelliteId } from '../../protocol/satellites.js'
import { WILDCARD } from './limit-set.js'
import { holdsInOrder } from './resolver.js'
import { NO_PATTERN, WILDCARDS_MAX } from './validate.js'

/** Patterns are tried one by one for each point, at 50 to 400 ns each; all ids together cost one look-up. */
const PATTERNS_MAX = 16

/** The texts around the wildcards. */
interface Pattern {
  readonly start: string
  readonly middles: readonly string[]
  readonly end: string
}

export class SatellitePatterns {
  private readonly ids: ReadonlySet<string>
  private readonly patterns: readonly Pattern[]

  /** @param texts a list that problemOf accepts */
  constructor (texts: readonly string[]) {
    this.ids = new Set(texts.filter((text) => !text.includes(WILDCARD)))
    this.patterns = texts.filter((text) => text.includes(WILDCARD)).map(split)
  }

  /** The problem with a list; null: none. */
  static problemOf (texts: readonly unknown[]): string | null {
    const wrong = texts.find((text) => typeof text !== 'string' || !isSatelliteId(text))
    if (wrong !== undefined) {
      return `has ${JSON.stringify(wrong).slice(0, ECHO_MAX)}, which is ${NO_PATTERN}`
    }
    const patterns = (texts as readonly string[]).filter((text) => text.includes(WILDCARD))
    const wild = patterns.find((text) => text.split(WILDCARD).length - 1 > WILDCARDS_MAX)
    if (wild !== undefined) return `has ${JSON.stringify(wild)} with more than ${WILDCARDS_MAX} *`
    if (patterns.length <= PATTERNS_MAX) return null
    return `has ${patterns.length} patterns; at most ${PATTERNS_MAX} are allowed, besides ids`
  }

  matches (id: string): boolean {
    if (this.ids.has(id)) return true
    return this.patterns.some(({ start, middles, end }) => {
      const until = id.length - end.length
      if (start.length > until || !id.startsWith(start) || !id.endsWith(end)) return false
      return holdsInOrder(id, middles, start.length, until)
    })
  }
}

function split (text: string): Pattern {
  const pieces = text.split(WILDCARD)
  const middles = pieces.slice(1, -1).filter((piece) => piece !== '')
  return { start: pieces[0] ?? '', middles, end: pieces.at(-1) ?? '' }
}
