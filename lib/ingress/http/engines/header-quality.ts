/** Reads Accept and Accept-Encoding. */

/**
 * The highest quality that the header gives any of the words by name, from 0 to 1; 0: none is named.
 * @param header '' if absent
 * @param words lower case
 */
export function qualityOf (header: string, words: readonly string[]): number {
  let best = 0
  for (const part of header.toLowerCase().split(',')) {
    const [word = '', ...parameters] = part.split(';').map((each) => each.trim())
    if (!words.includes(word)) continue
    const quality = Number(parameters.find((each) => each.startsWith('q='))?.slice(2) ?? 1)
    best = Math.max(best, Number.isNaN(quality) ? 0 : quality)
  }
  return best
}
