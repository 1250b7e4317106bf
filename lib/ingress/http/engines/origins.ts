/**
 * Pages that may send: those of this server, and those that were allowed. Browsers send a simple POST to any site without
 * asking first, and name the page's site in Origin; other clients send none.
 */
import type { HttpRequest } from './engine.js'

export class OriginCheck {
  private readonly allowed: ReadonlySet<string>

  /** @param allowed beside the server's own, in lower case: `https://console.example` */
  constructor (allowed: readonly string[]) {
    this.allowed = new Set(allowed)
  }

  passes (request: HttpRequest): boolean {
    const origin = request.header('origin').toLowerCase()
    if (origin === '') return true
    // Without the scheme: in front of a proxy it may be another one. 'null' is a page that must not say where it comes from.
    const own = origin.slice(origin.indexOf('://') + 3) === request.header('host').toLowerCase()
    return own || this.allowed.has(origin)
  }
}
