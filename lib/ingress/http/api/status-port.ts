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

export type AnswerFormat = 'json' | 'csv' | 'ndjson'

/** A page of satellites, ordered by id. */
export interface SatellitesRequest {
  /** With `*` a pattern of whole ids, otherwise a part of them; '' for all. In any case. */
  readonly match: string
  /** Only those whose last point is older. */
  readonly staleMs: number | null
  readonly countMax: number
  /** Only ids after this one; '' for all. */
  readonly after: string
}

/** Some metrics of one satellite in a range of time. */
export interface SeriesRequest {
  readonly satellite: string
  readonly stream: string
  /** Names in the order of the catalogue. */
  readonly metrics: readonly string[]
  /** Microseconds since 1970, inclusive. Null: SERIES_RANGE before the end. */
  readonly fromMicros: number | null
  /** Exclusive. Null: now. */
  readonly toMicros: number | null
  readonly pointsMax: number
}

/** The newest values of a metric, up to and including a time. */
export interface LatestRequest {
  readonly satellite: string
  readonly stream: string
  readonly metric: string
  /** Microseconds since 1970, inclusive; null: any. */
  readonly fromMicros: number | null
  readonly toMicros: number | null
  readonly countMax: number
}

/** Metrics of one stream, by name, in the order of the catalogue. */
export interface ChosenMetrics {
  readonly stream: string
  readonly metrics: readonly string[]
}

/** Questions about telemetry. */
export type TelemetryQuestion =
  | { readonly kind: 'satellites', readonly request: SatellitesRequest, readonly format: AnswerFormat }
  | {
    readonly kind: 'satellite'
    readonly satellite: string
    readonly streams: readonly ChosenMetrics[]
    readonly format: AnswerFormat
  }
  | { readonly kind: 'series', readonly request: SeriesRequest, readonly format: AnswerFormat }
  | { readonly kind: 'latest', readonly request: LatestRequest }
  | { readonly kind: 'minmax', readonly request: SeriesRequest }

/** Questions about data: only the primary queries the database for clients. Queries are as sent, bodies parsed. */
export type DataQuestion =
  | { readonly kind: 'limits' }
  | { readonly kind: 'limits-history', readonly query: string }
  | LimitsChange & { readonly kind: 'replace-limits' }
  | LimitsChange & { readonly kind: 'patch-limits', readonly metric: string }
  | { readonly kind: 'anomalies', readonly query: string }
  | TelemetryQuestion

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
