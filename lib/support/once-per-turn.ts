/**
 * What is made of a large text, once for all who need it in the same turn of the event loop: everybody who asks the
 * same gets the same answer, at the same moment, and making something of it for each would hold up all others.
 */
export class OncePerTurn<T> {
  private latest: { readonly text: string, readonly made: T } | null = null

  constructor (private readonly make: (text: string) => T) {}

  of (text: string): T {
    // The same object, or nearly always of another length: comparing takes no time.
    if (this.latest?.text === text) return this.latest.made
    if (this.latest === null) setImmediate(() => { this.latest = null })
    const made = this.make(text)
    this.latest = { text, made }
    return made
  }
}
