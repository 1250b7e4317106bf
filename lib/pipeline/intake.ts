/**
 * What a listener (HTTP, UDP) sees of the pipeline: decode into `columns`, then offer them.
 * Synchronous: when offer returns, the columns may be filled again. Satellites of what is not offered, or not taken, are
 * forgotten when the next body is decoded.
 */
import type { ErrorCode } from '../support/errors.js'
import type { PointColumns } from '../../protocol/columns.js'
import type { SatelliteTable } from '../../protocol/satellites.js'
import type { DecodeRules } from '../../protocol/point.js'

/** How safe points must be before they are acknowledged: in memory, on disk, in the database. */
export const ACK_LEVELS = ['received', 'spooled', 'committed'] as const
export type AckLevel = typeof ACK_LEVELS[number]

/**
 * Null: the points are as safe as was asked for. 'on_disk': a commit was asked for, and has not come in time; the points are
 * safe on disk, and will be stored. Else why they are not safe.
 */
export type Ack = ErrorCode | 'on_disk' | null

/** Called exactly once. */
export type OnAck = (ack: Ack) => void

export interface Refusal {
  readonly code: ErrorCode
  /** Whole seconds, for Retry-After. */
  readonly retryAfterSeconds: number
}

export interface Intake {
  /** Scratch columns of this worker, filled by the decoders. */
  readonly columns: PointColumns
  readonly satellites: SatelliteTable
  readonly rules: DecodeRules
  /** Asked before a body is read. Null: points are taken now. Cheap: called for every request. */
  refusal (ack: AckLevel): Refusal | null
  /** Takes all points of `columns`, or none of them (then onAck gets the reason). */
  offer (ack: AckLevel, onAck: OnAck): void
  /** Counts points that a decoder refused. */
  reject (points: number): void
  /** Counts points that a listener dropped for want of room (a listener that cannot refuse: UDP). */
  shed (points: number): void
}
