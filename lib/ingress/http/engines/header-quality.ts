/** Reads Accept and Accept-Encoding. */

/** Entries that count, and parameters of one: a header may have thousands, which take milliseconds. */
const ENTRIES_MAX = 64
const PARAMETERS_MAX = 8

/** What a header names, in lower case, with its quality from 0 to 1. @param header '' if absent */
export function * entriesOf (header: string): Generator<readonly [word: string, quality: number]> {
  for (const entry of header.toLowerCase().split(',', ENTRIES_MAX)) {
    const [word = '', ...parameters] = entry.split(';', 1 + PARAMETERS_MAX).map((each) => each.trim())
    const quality = Number(parameters.find((each) => each.startsWith('q='))?.slice(2) ?? 1)
    yield [word, Number.isNaN(quality) ? 0 : quality]
  }
}

/**
 * The highest quality that the header gives any of the words by name, from 0 to 1; 0: none is named.
 * @param header '' if absent
 * @param words lower case
 */
export function qualityOf (header: string, words: readonly string[]): number {
  let best = 0
  for (const [word, quality] of entriesOf(header)) if (words.includes(word)) best = Math.max(best, quality)
  return best
}
