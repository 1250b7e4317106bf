/** What the parts of the spool pass to each other: durable frames, and extents of them on disk. */
import type { ClosedBatch } from '../journal/journal.js'
import type { Segment } from './format/segment.js'
import type { Gap } from './recover/gap.js'

/** A frame that is durable. */
export interface Frame {
  readonly segment: Segment
  /** Of its header. */
  readonly offset: number
  readonly epoch: number
  readonly sequence: number
  readonly rows: number
  readonly appendedAtMs: number
  readonly payload: Buffer
  /** Null: read back from disk, and nobody waits for the commit. */
  readonly batch: ClosedBatch | null
}

/** Consecutive frames of one segment, contiguous on disk. */
export interface Extent {
  readonly segment: Segment
  readonly epoch: number
  /** Sequences of its first and last frame. */
  first: number
  last: number
  /** Offsets of the start of its first frame and the end of its last. */
  offset: number
  end: number
  rows: number
  /** Of payloads. */
  bytes: number
  /** When its first frame was appended, or the frame read last; milliseconds since 1970. */
  oldestAtMs: number
  /** Batches that wait for the commit, by sequence. */
  readonly waiters: Map<number, ClosedBatch>
}

/** A part of an extent. */
export interface ReadPart {
  readonly frames: readonly Frame[]
  /** Rows and payload bytes of frames skipped because they are released. */
  readonly passed: { readonly rows: number, readonly bytes: number }
  /** Start of the rest of the extent; first > last: nothing is left. */
  readonly left: { readonly first: number, readonly offset: number }
  readonly gaps: readonly Gap[]
  readonly quarantinedBytes: number
}
