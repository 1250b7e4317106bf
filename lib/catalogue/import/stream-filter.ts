/** Which streams of a file somebody wants: the others are not read, so that there are no remarks about them. */
import { ImportError } from './imported.js'
import { wordsOf } from './derived-names.js'

/** Streams listed in a message. */
const LISTED_MAX = 20

export class StreamFilter {
  private readonly wanted: ReadonlyMap<string, string>
  private readonly met = new Set<string>()
  private readonly listed: string[] = []

  /** @param names of streams, in either case and with any punctuation; empty: all */
  constructor (names: readonly string[] = []) {
    this.wanted = new Map(names.map((name) => [keyOf(name), name]))
  }

  /** @param names of one stream: the first is shown in messages */
  wants (...names: readonly [string, ...string[]]): boolean {
    if (this.wanted.size === 0) return true
    if (this.listed.length <= LISTED_MAX && !this.listed.includes(names[0])) this.listed.push(names[0])
    const keys = names.map(keyOf)
    for (const key of keys) this.met.add(key)
    return keys.some((key) => this.wanted.has(key))
  }

  /** @throws {ImportError} a stream was wanted, but none of those that there are has the name */
  check (): void {
    const missing = [...this.wanted].find(([key]) => !this.met.has(key))
    if (missing === undefined || this.listed.length === 0) return
    const more = this.listed.length > LISTED_MAX ? ' and more' : ''
    throw new ImportError(
      null, `has no stream ${missing[1]}; it has ${this.listed.slice(0, LISTED_MAX).join(', ')}${more}`)
  }
}

/** In full: long names often differ at their ends only. A name of no Latin letters has no words. */
function keyOf (name: string): string {
  const words = wordsOf(name)
  return words.length === 0 ? name.trim().toLowerCase() : words.join('_')
}
