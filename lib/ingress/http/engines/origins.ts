/**
 * Checks which web pages may send requests: those from this server, and from allowed origins. Browsers send a simple
 * POST to any site without asking first, and name the origin of the page in Origin; other clients send none.
 */
import type { HttpRequest } from './engine.js'

export class OriginCheck {
  private readonly allowed: ReadonlySet<string>

  /** @param allowed in addition to the server's own, in lower case: `https://console.example` */
  constructor (allowed: readonly string[]) {
    this.allowed = new Set(allowed)
  }

  passes (request: HttpRequest): boolean {
    const origin = request.header('origin').toLowerCase()
    if (origin === '') return true
    // Ignores the scheme, which differs behind a TLS proxy. 'null' is a page that must not reveal its origin.
    const own = origin.slice(origin.indexOf('://') + 3) === request.header('host').toLowerCase()
    return own || this.allowed.has(origin)
  }
}
