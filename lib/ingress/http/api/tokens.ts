/**
 * API tokens: who may do what. A token is compared with all that are known, by digest, in a time that tells nothing of
 * any of them, and before a body is read.
 */
import { hash } from 'node:crypto'
import { SatellitePatterns } from '../../../limits/satellite-patterns.js'
import type { Role, Token } from '../../../access/token.js'
import type { ErrorCode } from '../../../support/errors.js'
import type { HttpRequest } from '../engines/engine.js'

const SCHEME = 'bearer '
/** A SHA-256 has 256 bits. */
const WORDS_PER_DIGEST = 8

/** Why a request is refused, by its token or for want of one. */
export const DENIALS = ['unauthorized', 'token_expired', 'forbidden', 'satellite_forbidden'] as const satisfies readonly ErrorCode[]
export type DenialCode = typeof DENIALS[number]

/** Whoever sends a request: known by a token. */
export interface Caller {
  readonly name: string
  /** Whose points it may send; null: of all satellites. */
  readonly satellites: SatellitePatterns | null
}

interface KnownToken extends Caller {
  readonly roles: ReadonlySet<Role>
  readonly expiresMs: number | null
}

export interface TokenCheckOptions {
  /** Whether reading needs no token. */
  readonly readOpen: boolean
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number
}

export class TokenCheck {
  private known: readonly KnownToken[] = []
  /** One digest behind the other, in the order of `known`. */
  private digests = new Int32Array(0)
  /** Scratch of find(). */
  private readonly given = new Int32Array(WORDS_PER_DIGEST)
  private required = false
  private readonly readOpen: boolean
  private readonly nowMs: () => number

  /** @param tokens as in replace */
  constructor (tokens: readonly Token[] | null, { readOpen, nowMs = () => Date.now() }: TokenCheckOptions) {
    this.readOpen = readOpen
    this.nowMs = nowMs
    this.replace(tokens)
  }

  /** From the next request on. @param tokens null: none is asked for */
  replace (tokens: readonly Token[] | null): void {
    this.required = tokens !== null
    this.known = (tokens ?? []).map(({ name, roles, satellites, expiresMs }) => (
      { name, roles: new Set(roles), satellites: satellites === null ? null : new SatellitePatterns(satellites), expiresMs }
    ))
    this.digests = new Int32Array(this.known.length * WORDS_PER_DIGEST)
    tokens?.forEach(({ sha256 }, index) => writeWords(Buffer.from(sha256, 'hex'), this.digests, index * WORDS_PER_DIGEST))
  }

  /** Who may act in a role; null: no token is needed for that; a code: refused. */
  check (request: Pick<HttpRequest, 'header'>, role: Role): Caller | DenialCode | null {
    if (!this.required || (role === 'read' && this.readOpen)) return null
    const token = this.find(request.header('authorization'))
    if (token === undefined) return 'unauthorized'
    if (token.expiresMs !== null && this.nowMs() >= token.expiresMs) return 'token_expired'
    return token.roles.has(role) || token.roles.has('admin') ? token : 'forbidden'
  }

  private find (authorization: string): KnownToken | undefined {
    if (authorization.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return undefined
    const { given, digests } = this
    writeWords(hash('sha256', authorization.slice(SCHEME.length).trim(), 'buffer'), given, 0)
    let found = -1
    // All of them, and all of each, always: which one matched, or how far one did, must not show in the time.
    for (let at = 0; at < digests.length; at += WORDS_PER_DIGEST) {
      let difference = 0
      for (let word = 0; word < WORDS_PER_DIGEST; word++) difference |= (digests[at + word] as number) ^ (given[word] as number)
      if (difference === 0) found = at / WORDS_PER_DIGEST
    }
    return this.known[found]
  }
}

function writeWords (digest: Buffer, words: Int32Array, at: number): void {
  for (let word = 0; word < WORDS_PER_DIGEST; word++) words[at + word] = digest.readInt32LE(word * Int32Array.BYTES_PER_ELEMENT)
}
