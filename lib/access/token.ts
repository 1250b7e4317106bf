/**
 * Tokens and their roles. Processes know only the digest of a token.
 *
 *   ingest   send points
 *   read     read everything: health with its details, metrics, limits, anomalies, senders
 *   operate  change limits, and anything else apart from points
 *   admin    everything
 *
 * Tokens in API_TOKENS have the role admin.
 */
import { hash } from 'node:crypto'

export const ROLES = ['ingest', 'read', 'operate', 'admin'] as const
export type Role = typeof ROLES[number]

/** What one client may send per second; null: no bound. */
export interface Rates {
  readonly requests: number | null
  readonly points: number | null
}

export interface Token {
  /** Shown in the history of limits and the log. */
  readonly name: string
  /** 64 hexadecimal digits, lower case. */
  readonly sha256: string
  readonly roles: readonly Role[]
  /** Satellites whose points it may send, as ids and patterns like in limits; null: all. */
  readonly satellites: readonly string[] | null
  /** How many satellites it may send points of; null: any number. */
  readonly satellitesMax: number | null
  /** In place of those for all clients; null: none. */
  readonly rates: Rates | null
  /** Milliseconds since 1970 when it expires; null: never. */
  readonly expiresMs: number | null
}

export function sha256Of (token: string): string {
  return hash('sha256', token)
}

/** The tokens in API_TOKENS, without duplicates. */
export function tokensFromSetting (texts: readonly string[]): Token[] {
  return [...new Set(texts)].map((text, index) => (
    {
      name: `token-${index + 1}`,
      sha256: sha256Of(text),
      roles: ['admin'],
      satellites: null,
      satellitesMax: null,
      rates: null,
      expiresMs: null
    }
  ))
}
