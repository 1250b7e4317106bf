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

  /** The origin of a page of another site that may read answers; null: it is none. */
  named (request: HttpRequest): string | null {
    if (this.allowed.size === 0) return null
    const origin = request.header('origin')
    return this.allowed.has(origin.toLowerCase()) ? origin : null
  }

  passes (request: HttpRequest): boolean {
    const named = request.header('origin')
    if (named === '') return true
    const origin = named.toLowerCase()
    // Ignores the scheme, which differs behind a TLS proxy. 'null' is a page that must not reveal its origin.
    const own = origin.slice(origin.indexOf('://') + 3) === request.header('host').toLowerCase()
    return own || this.allowed.has(origin)
  }
}
