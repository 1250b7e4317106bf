/** Ids of satellites and patterns of them, as the keys of overrides are (limit-set.ts): does any of them stand for a satellite? */
import { isSatelliteId } from '../../protocol/satellites.js'
import { WILDCARD } from './limit-set.js'
import { holdsInOrder } from './resolver.js'
import { NO_PATTERN, WILDCARDS_MAX } from './validate.js'

/** Patterns are tried one after another for each point, in 50 to 400 ns each; ids cost one look together, however many. */
const PATTERNS_MAX = 16
/** Longest text that a message repeats. */
const ECHO_MAX = 64

/** The texts around the wildcards: at the beginning, in the middle, at the end. */
interface Pattern {
  readonly start: string
  readonly middles: readonly string[]
  readonly end: string
}

export class SatellitePatterns {
  private readonly ids: ReadonlySet<string>
  private readonly patterns: readonly Pattern[]

  /** @param texts as problemOf takes them */
  constructor (texts: readonly string[]) {
    this.ids = new Set(texts.filter((text) => !text.includes(WILDCARD)))
    this.patterns = texts.filter((text) => text.includes(WILDCARD)).map(split)
  }

  /** What is wrong with a list; null if nothing is. */
  static problemOf (texts: readonly unknown[]): string | null {
    const wrong = texts.find((text) => typeof text !== 'string' || !isSatelliteId(text))
    if (wrong !== undefined) {
      return `has ${JSON.stringify(wrong).slice(0, ECHO_MAX)}, which is ${NO_PATTERN}`
    }
    const patterns = (texts as readonly string[]).filter((text) => text.includes(WILDCARD))
    const wild = patterns.find((text) => text.split(WILDCARD).length - 1 > WILDCARDS_MAX)
    if (wild !== undefined) return `has ${JSON.stringify(wild)} with more than ${WILDCARDS_MAX} *`
    return patterns.length <= PATTERNS_MAX ? null : `has ${patterns.length} patterns; at most ${PATTERNS_MAX} are possible beside ids`
  }

  matches (id: string): boolean {
    if (this.ids.has(id)) return true
    return this.patterns.some(({ start, middles, end }) => {
      const until = id.length - end.length
      return start.length <= until && id.startsWith(start) && id.endsWith(end) && holdsInOrder(id, middles, start.length, until)
    })
  }
}

function split (text: string): Pattern {
  const pieces = text.split(WILDCARD)
  return { start: pieces[0] ?? '', middles: pieces.slice(1, -1).filter((piece) => piece !== ''), end: pieces.at(-1) ?? '' }
}
