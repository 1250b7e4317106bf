/**
 * The pipeline as listeners (HTTP, UDP) see it: decode into `columns`, then offer them.
 *
 * Synchronous: once offer() returns, the columns may be refilled. Satellites of points that are not offered, or not
 * accepted, are forgotten when the next body is decoded.
 */
import type { ErrorCode } from '../support/errors.js'
import type { PointColumns } from '../../protocol/columns.js'
import type { SatelliteTable } from '../../protocol/satellites.js'
import type { DecodeRules } from '../../protocol/point.js'

/** Where points must be before they are acknowledged: in memory, on disk, in the database. */
export const ACK_LEVELS = ['received', 'spooled', 'committed'] as const
export type AckLevel = typeof ACK_LEVELS[number]

/**
 * Null: the points are as safe as requested. 'on_disk': a commit was requested and did not happen in time; the points
 * are safe on disk, and will be stored. Otherwise the reason why they are not safe.
 */
export type Ack = ErrorCode | 'on_disk' | null

/** Called exactly once. */
export type OnAck = (ack: Ack) => void

export interface Refusal {
  readonly code: ErrorCode
  /** Whole seconds, for Retry-After. */
  readonly retryAfterSeconds: number
}

/** The intakes of all streams of a worker, which share satellites. */
export interface Intakes {
  readonly telemetry: Intake
  /** Null: there is no such stream. */
  named (stream: string): Intake | null
}

export interface Intake {
  /** This worker's scratch columns, filled by the decoders. */
  readonly columns: PointColumns
  readonly satellites: SatelliteTable
  readonly rules: DecodeRules
  /** Why points would be refused now; null: accepted. Cheap: called for every request, before its body is read. */
  refusal (ack: AckLevel): Refusal | null
  /** Accepts all points of `columns`, or none; then onAck gets the reason. */
  offer (ack: AckLevel, onAck: OnAck): void
  /** Counts points that a decoder rejected. */
  reject (points: number): void
  /** Counts points that a listener dropped because it cannot refuse them (UDP). */
  shed (points: number): void
}
