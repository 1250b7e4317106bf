/** Reads the query of GET /feed. */
import { isSatelliteId, SATELLITE_ID_RULE } from '../../../../protocol/satellites.js'

export const FEED_PARTS = ['fleet', 'satellites', 'anomalies'] as const
export type FeedPart = typeof FEED_PARTS[number]

/** What one client wants to see. */
export interface FeedView {
  readonly parts: ReadonlySet<FeedPart>
  /** The satellite whose newest points to send; null: none. */
  readonly satellite: string | null
  /** The metrics of these points; null: all. */
  readonly metrics: ReadonlySet<string> | null
}

interface Fault {
  readonly message: string
}

/**
 * @param query without '?'
 * @param metrics names in the catalogue
 */
export function readFeedQuery (query: string, metrics: readonly string[]): FeedView | Fault {
  const given = new Map<string, string>()
  for (const [name, text] of new URLSearchParams(query)) {
    if (given.has(name)) return { message: `${name} is given twice.` }
    if (name !== 'parts' && name !== 'satellite' && name !== 'metrics') {
      return { message: `Unknown query parameter ${JSON.stringify(name)}; use parts, satellite or metrics.` }
    }
    given.set(name, text)
  }
  const satellite = given.get('satellite') ?? null
  if (satellite !== null && !isSatelliteId(satellite)) return { message: `satellite ${SATELLITE_ID_RULE}.` }
  const parts = readList('parts', given.get('parts'), FEED_PARTS)
  if (parts !== null && 'message' in parts) return parts
  const chosen = readList('metrics', given.get('metrics'), metrics)
  if (chosen !== null && 'message' in chosen) return chosen
  if (chosen !== null && satellite === null) return { message: 'metrics needs satellite.' }
  return { parts: new Set(parts), satellite, metrics: chosen === null ? null : new Set(chosen) }
}

/** Null: not given. */
function readList<T extends string> (
  name: string, text: string | undefined, allowed: readonly T[]
): T[] | Fault | null {
  if (text === undefined) return null
  const words = text.split(',')
  const isAllowed = (word: string): word is T => (allowed as readonly string[]).includes(word)
  if (words.every(isAllowed) && new Set(words).size === words.length) return words
  const known = allowed.length > 20 ? 'names of the catalogue' : allowed.join(', ')
  return { message: `${name} must be a comma-separated list, without repetition, of: ${known}.` }
}
