/** What the routes ask of the rest of the program: answers that only the primary can give. */
import type { Headers } from '../engines/engine.js'

export interface StatusAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Headers
}

/** A page of UDP senders, by name. */
export interface SenderQuery {
  readonly offset: number
  readonly limit: number
  /** This one alone; null: all. */
  readonly sender: string | null
}

export interface StatusPort {
  health (): Promise<StatusAnswer>
  metrics (): Promise<StatusAnswer>
  senders (query: SenderQuery): Promise<StatusAnswer>
}

/** What is asked of the primary beside its status: it alone queries the database for clients. Queries as sent, bodies parsed. */
export type DataQuestion =
  | { readonly kind: 'limits' }
  | { readonly kind: 'limits-history', readonly query: string }
  | { readonly kind: 'replace-limits', readonly value: unknown, readonly ifMatch: string, readonly changedBy: string }
  | { readonly kind: 'patch-limits', readonly metric: string, readonly value: unknown, readonly ifMatch: string, readonly changedBy: string }
  | { readonly kind: 'anomalies', readonly query: string }

export interface DataPort {
  /** Always resolves; errors are answers too. */
  ask (question: DataQuestion): Promise<StatusAnswer>
}
