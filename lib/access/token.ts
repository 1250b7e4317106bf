/**
 * Tokens and what they may do. A process knows of a token its digest alone.
 *
 *   ingest   send points
 *   read     read everything: health with its details, metrics, limits, anomalies, senders
 *   operate  change limits, and whatever else changes something that is not a point
 *   admin    all of it
 *
 * Tokens of API_TOKENS have no roles of their own: each may do everything.
 */
import { hash } from 'node:crypto'

export const ROLES = ['ingest', 'read', 'operate', 'admin'] as const
export type Role = typeof ROLES[number]

export interface Token {
  /** For the history of limits and the log. */
  readonly name: string
  /** 64 hexadecimal digits, lower case. */
  readonly sha256: string
  readonly roles: readonly Role[]
  /** Satellites whose points it may send, ids and patterns as in limits; null: all. */
  readonly satellites: readonly string[] | null
  /** Milliseconds since 1970; from then on it counts no more. Null: never. */
  readonly expiresMs: number | null
}

export function sha256Of (token: string): string {
  return hash('sha256', token)
}

/** The tokens of API_TOKENS; one that is given twice counts once. */
export function tokensOfSetting (texts: readonly string[]): Token[] {
  return [...new Set(texts)].map((text, index) => ({ name: `token-${index + 1}`, sha256: sha256Of(text), roles: ['admin'], satellites: null, expiresMs: null }))
}
