/**
 * Checks API tokens and their roles, before a body is read. The digest of a token is compared with all known ones, in a
 * time that reveals nothing about them.
 */
import { hash } from 'node:crypto'
import { SatellitePatterns } from '../../../limits/satellite-patterns.js'
import type { Role, Token } from '../../../access/token.js'
import type { ErrorCode } from '../../../support/errors.js'
import type { HttpRequest } from '../engines/engine.js'
import type { ClientTokens, KnownClient } from '../clients/client-bounds.js'
import { SatelliteQuota, type NewSatellite } from '../clients/satellite-quota.js'

const SCHEME = 'bearer '
/** No address begins like this. */
const CLIENT = 'token '
/** A SHA-256 has 256 bits. */
const WORDS_PER_DIGEST = 8

/** Reasons to deny a request for who sends it. */
export const DENIALS = [
  'unauthorized', 'token_expired', 'forbidden', 'satellite_forbidden', 'too_many_satellites', 'rate_limited'
] as const satisfies readonly ErrorCode[]
export type DenialCode = typeof DENIALS[number]

/** The sender of a request, identified by its token. */
export interface Caller extends KnownClient {
  readonly name: string
  /** Satellites whose points it may send; null: all. */
  readonly satellites: SatellitePatterns | null
  /** How many satellites it may send points of; null: any number. */
  readonly quota: SatelliteQuota | null
}

interface KnownToken extends Caller {
  readonly roles: ReadonlySet<Role>
  readonly expiresMs: number | null
}

export interface TokenCheckOptions {
  /** Reading needs no token. */
  readonly readOpen: boolean
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number
}

export class TokenCheck implements ClientTokens {
  private known: readonly KnownToken[] = []
  private byClient: ReadonlyMap<string, KnownToken> = new Map()
  /** All digests, in the order of `known`. */
  private digests = new Int32Array(0)
  /** Scratch space of find(). */
  private readonly given = new Int32Array(WORDS_PER_DIGEST)
  private required = false
  private readonly readOpen: boolean
  private readonly nowMs: () => number

  /** @param tokens as in replace() */
  constructor (tokens: readonly Token[] | null, { readOpen, nowMs = () => Date.now() }: TokenCheckOptions) {
    this.readOpen = readOpen
    this.nowMs = nowMs
    this.replace(tokens)
  }

  /** Takes effect with the next request. @param tokens null: none are required */
  replace (tokens: readonly Token[] | null): void {
    this.required = tokens !== null
    const before = this.byClient
    this.known = (tokens ?? []).map(({ name, roles, satellites, satellitesMax, rates, expiresMs }) => {
      const client = CLIENT + name
      return {
        name,
        client,
        roles: new Set(roles),
        satellites: satellites === null ? null : new SatellitePatterns(satellites),
        quota: quotaOf(before.get(client)?.quota ?? null, satellitesMax),
        rates,
        expiresMs
      }
    })
    this.byClient = new Map(this.known.map((token) => [token.client, token]))
    this.digests = new Int32Array(this.known.length * WORDS_PER_DIGEST)
    tokens?.forEach(({ sha256 }, index) => {
      writeWords(Buffer.from(sha256, 'hex'), this.digests, index * WORDS_PER_DIGEST)
    })
  }

  /** The caller, if the token has the role; null if none is required for it; a code if the request is denied. */
  check (request: Pick<HttpRequest, 'header'>, role: Role): Caller | DenialCode | null {
    if (!this.required || (role === 'read' && this.readOpen)) return null
    const token = this.find(request.header('authorization'))
    if (token === undefined) return 'unauthorized'
    if (token.expiresMs !== null && this.nowMs() >= token.expiresMs) return 'token_expired'
    return token.roles.has(role) || token.roles.has('admin') ? token : 'forbidden'
  }

  /** The token that is this client. */
  callerOf (client: string): Caller | undefined {
    return this.byClient.get(client)
  }

  /** Satellites counted here since the last calls, so many at most. */
  newSatellites (most: number): NewSatellite[] {
    const all: NewSatellite[] = []
    for (const { client, quota } of this.known) {
      for (const satellite of quota?.news(most - all.length) ?? []) all.push([client, satellite])
    }
    return all
  }

  /** Satellites counted by another worker. */
  learn (satellites: readonly NewSatellite[]): void {
    for (const [client, satellite] of satellites) this.byClient.get(client)?.quota?.learn(satellite)
  }

  private find (authorization: string): KnownToken | undefined {
    if (authorization.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return undefined
    const { given, digests } = this
    writeWords(hash('sha256', authorization.slice(SCHEME.length).trim(), 'buffer'), given, 0)
    let found = -1
    // Always compares every word of every digest: the time must not reveal which one matched, or how much of one.
    for (let at = 0; at < digests.length; at += WORDS_PER_DIGEST) {
      let difference = 0
      for (let word = 0; word < WORDS_PER_DIGEST; word++) {
        difference |= (digests[at + word] as number) ^ (given[word] as number)
      }
      if (difference === 0) found = at / WORDS_PER_DIGEST
    }
    return this.known[found]
  }
}

function quotaOf (before: SatelliteQuota | null, max: number | null): SatelliteQuota | null {
  if (before === null || max === null) return max === null ? null : new SatelliteQuota(max)
  before.max = max
  return before
}

function writeWords (digest: Buffer, words: Int32Array, at: number): void {
  for (let word = 0; word < WORDS_PER_DIGEST; word++) {
    words[at + word] = digest.readInt32LE(word * Int32Array.BYTES_PER_ELEMENT)
  }
}
