/** Reads the query of GET /feed. */
import { listNames } from '../../../../protocol/names.js'
import { isSatelliteId, SATELLITE_ID_RULE } from '../../../../protocol/satellites.js'
import { Parameters, type Read } from '../api/parameters.js'

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

/**
 * @param query without '?'
 * @param metrics names in the catalogue
 */
export function readFeedQuery (query: string, metrics: readonly string[]): Read<FeedView> {
  const parameters = new Parameters(query, ['parts', 'satellite', 'metrics'])
  if (parameters.has('metrics') && !parameters.has('satellite')) parameters.problems.push('metrics needs satellite')
  return parameters.result({
    satellite: parameters.get('satellite', null, (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE),
    parts: getSet(parameters, 'parts', FEED_PARTS) ?? new Set(),
    metrics: getSet(parameters, 'metrics', metrics)
  })
}

/** Null: not given. */
function getSet<T extends string> (parameters: Parameters, name: string, allowed: readonly T[]): Set<T> | null {
  return parameters.get(name, null, (text) => {
    // A catalogue may have 8,000 metrics, and a query as many words.
    const all: ReadonlySet<string> = new Set(allowed)
    const isAllowed = (word: string): word is T => all.has(word)
    const words = text.split(',')
    return words.every(isAllowed) && new Set(words).size === words.length ? new Set(words) : null
  }, `must be a comma-separated list, without repetition, of: ${listNames(allowed)}`)
}
