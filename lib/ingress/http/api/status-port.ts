/** What the routes need from the rest of the program: answers that only the primary can give. */
import type { StatusAnswer } from '../engines/engine.js'

export type { StatusAnswer }

/** A page of UDP senders, ordered by name. */
export interface SenderQuery {
  readonly offset: number
  readonly limit: number
  /** Only this one; null: all. */
  readonly sender: string | null
}

export interface StatusPort {
  health (): Promise<StatusAnswer>
  metrics (): Promise<StatusAnswer>
  senders (query: SenderQuery): Promise<StatusAnswer>
}

/** Questions about data: only the primary queries the database for clients. Queries are as sent, bodies parsed. */
export type DataQuestion =
  | { readonly kind: 'limits' }
  | { readonly kind: 'limits-history', readonly query: string }
  | LimitsChange & { readonly kind: 'replace-limits' }
  | LimitsChange & { readonly kind: 'patch-limits', readonly metric: string }
  | { readonly kind: 'anomalies', readonly query: string }

export interface LimitsChange {
  /** The body, parsed. */
  readonly value: unknown
  readonly ifMatch: string
  readonly changedBy: string
}

export interface DataPort {
  /** Never rejects: errors are answers. */
  ask (question: DataQuestion): Promise<StatusAnswer>
}
