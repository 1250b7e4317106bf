/**
 * What the parts of a journal pass to each other: durable frames, and extents of them that are not in memory. They
 * lie in segments on disk or in streams of a replicated log (lib/replicated/).
 */
import type { ClosedBatch } from '../journal/journal.js'
import type { Segment } from './format/segment.js'
import type { Gap } from './recover/gap.js'

/** What frames lie in. */
export interface Container {
  /** As in LedgerPosition. */
  readonly epochId: string | null
}

/** A frame that is durable. */
export interface Frame<Place extends Container = Segment> {
  readonly segment: Place
  /** Of its header in the segment; in a stream the number of its first message. */
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
export interface Extent<Place extends Container = Segment> {
  readonly segment: Place
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
export interface ReadPart<Place extends Container = Segment> {
  readonly frames: ReadonlyArray<Frame<Place>>
  /** Rows and payload bytes of frames skipped because they are released. */
  readonly passed: { readonly rows: number, readonly bytes: number }
  /** Start of the rest of the extent; first > last: nothing is left. */
  readonly left: { readonly first: number, readonly offset: number }
  readonly gaps: readonly Gap[]
  readonly quarantinedBytes: number
}
