/** API tokens: who may send. Compared by digest in constant time, so that an answer's time tells nothing of a token. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { HttpRequest } from './engine.js'

const SCHEME = 'bearer '

export class TokenCheck {
  private readonly digests: readonly Buffer[]

  /** @param tokens empty: every request passes */
  constructor (tokens: readonly string[]) {
    this.digests = tokens.map(digest)
  }

  passes (request: HttpRequest): boolean {
    if (this.digests.length === 0) return true
    const authorization = request.header('authorization')
    if (authorization.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return false
    const given = digest(authorization.slice(SCHEME.length).trim())
    let found = false
    // All of them, always: which one matched must not show in the time.
    for (const known of this.digests) found = timingSafeEqual(known, given) || found
    return found
  }
}

function digest (token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
