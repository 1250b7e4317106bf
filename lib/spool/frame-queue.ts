/**
 * The frames that are durable and not yet released, in order: some held in memory, the others as stretches on disk.
 *
 *   released │ taken by the drain │ held │ stretch on disk │ held │ ...
 *
 * Holds at most `heldBytesMax` of payloads beside what the drain has taken; beyond that a frame that arrives joins a
 * stretch, which costs a few numbers for any count of frames. Frames whose batch waits for the commit keep that batch,
 * without its payload. No I/O here: the spool reads stretches back and hands them to `unspill`.
 */
import type { ClosedBatch, FrameRun, JournalBacklog, Position } from '../journal/journal.js'
import { comparePositions } from './format/position.js'
import { FRAME_HEADER_BYTES } from './format/record.js'
import type { ReadPart } from './reader.js'
import type { Segment } from './format/segment.js'
import type { Frame } from './writer.js'

/** What a held frame costs beside its payload: its objects in the heap, measured at about 250 bytes. */
const FRAME_OVERHEAD_BYTES = 256
const EMPTY = Buffer.alloc(0)

/** Consecutive frames of one segment that stand on disk without a break. */
export interface Stretch {
  readonly segment: Segment
  readonly epoch: number
  /** Sequences of its first and last frame. */
  first: number
  last: number
  /** Where its first frame begins, and its last one ends. */
  offset: number
  end: number
  rows: number
  /** Of payloads. */
  bytes: number
  /** Age of its first frame, milliseconds since 1970; after a part was read, of the frame read last. */
  oldestAtMs: number
  /** Batches that wait for the commit, by sequence. */
  readonly waiters: Map<number, ClosedBatch>
}

type Entry = Frame | Stretch

export class FrameQueue {
  /** Changes whenever the head may have become another one, other than by unspill. */
  generation = 0
  private entries: Array<Entry | null> = []
  /** Entries before it are gone. */
  private head = 0
  private taken: Frame[] = []
  private heldBytes = 0
  private frames = 0
  private rows = 0
  private bytes = 0

  constructor (private readonly heldBytesMax: number) {}

  /** A frame that has just become durable. False: it is not held, and its payload stands on disk alone. */
  push (frame: Frame): boolean {
    this.count(1, frame.rows, frame.payload.length)
    const tail = this.entries[this.entries.length - 1]
    const onDisk = tail !== undefined && tail !== null && !isFrame(tail)
    const cost = costOf(frame)
    // Once a backlog has gone to disk it stays there until half the memory is free: few long stretches, not many short.
    const isHeld = this.heldBytes + cost <= (onDisk ? this.heldBytesMax / 2 : this.heldBytesMax)
    if (isHeld) {
      this.heldBytes += cost
      this.entries.push(frame)
    } else {
      this.spill(frame, onDisk ? tail : null)
    }
    return isHeld
  }

  /** Frames that recovery found. */
  pushStretch (stretch: Stretch): void {
    this.count(stretch.last - stretch.first + 1, stretch.rows, stretch.bytes)
    this.entries.push(stretch)
  }

  /** What comes next: a held frame, a stretch to read back, or nothing. */
  next (): Entry | null {
    return this.entries[this.head] ?? null
  }

  /** Held frames of one epoch from the head on, up to bytesMax of payload (at least one); they count as taken. The head must be a frame. */
  take (bytesMax: number): FrameRun {
    const frames: Frame[] = []
    let bytes = 0
    let rows = 0
    for (let entry = this.next(); entry !== null; entry = this.next()) {
      if (!isFrame(entry)) break
      const before = frames[frames.length - 1]
      // A run has no hole: sequences that damage has cost begin a new one.
      if (before !== undefined && (bytes + entry.payload.length > bytesMax || entry.epoch !== before.epoch || entry.sequence !== before.sequence + 1)) break
      frames.push(entry)
      bytes += entry.payload.length
      rows += entry.rows
      this.dropHead()
    }
    const firstFrame = frames[0]
    const lastFrame = frames[frames.length - 1]
    if (firstFrame === undefined || lastFrame === undefined) throw new Error('take() without a held frame at the head')
    for (const frame of frames) {
      this.heldBytes -= costOf(frame)
      this.taken.push(frame)
    }
    return {
      epoch: firstFrame.epoch,
      firstSequence: firstFrame.sequence,
      lastSequence: lastFrame.sequence,
      payloads: frames.map((frame) => frame.payload),
      rows,
      bytes
    }
  }

  /** Puts frames that were read from the stretch at the head before what is left of it. Gives what damage has cost: batches, and rows once the stretch is read to its end. */
  unspill (stretch: Stretch, { frames, passed, left }: ReadPart): { batches: ClosedBatch[], lostRows: number } {
    let { rows, bytes } = passed
    this.count(0, -rows, -bytes)
    for (const frame of frames) {
      rows += frame.rows
      bytes += frame.payload.length
      this.heldBytes += costOf(frame)
      stretch.waiters.delete(frame.sequence)
    }
    const sequences = left.first - stretch.first
    stretch.first = left.first
    stretch.offset = left.offset
    stretch.rows -= rows
    stretch.bytes -= bytes
    stretch.oldestAtMs = frames[frames.length - 1]?.appendedAtMs ?? stretch.oldestAtMs
    // Sequences without a frame are lost or released; the rows of the lost are known only at the stretch's end.
    this.count(frames.length - sequences, 0, 0)
    const rest: Entry[] = stretch.first <= stretch.last ? [stretch] : []
    const lostRows = rest.length === 0 ? stretch.rows : 0
    if (rest.length === 0) this.count(0, -stretch.rows, -stretch.bytes)
    this.entries = [...frames, ...rest, ...this.entries.slice(this.head + 1)]
    this.head = 0
    return { batches: takeWaiters(stretch, { epoch: stretch.epoch, sequence: left.first - 1 }), lostRows }
  }

  /** The drain's oldest frames have committed. Gives their batches. */
  release (run: FrameRun): ClosedBatch[] {
    const count = run.payloads.length
    const frames = this.taken.slice(0, count)
    if (frames[0]?.epoch !== run.epoch || frames[0].sequence !== run.firstSequence || frames[count - 1]?.sequence !== run.lastSequence) {
      throw new Error(`release() of frames ${run.firstSequence} to ${run.lastSequence}, which are not the oldest that were taken`)
    }
    this.taken = this.taken.slice(count)
    return this.forget(frames)
  }

  /** Puts what was taken back to the head, then drops what stands at `position` or before. Gives the batches of what was dropped. */
  rewind (position: Position): ClosedBatch[] {
    this.generation++
    for (const frame of this.taken) this.heldBytes += costOf(frame)
    this.entries = [...this.taken, ...this.entries.slice(this.head)]
    this.head = 0
    this.taken = []
    const batches: ClosedBatch[] = []
    for (let entry = this.next(); entry !== null; entry = this.next()) {
      if (isFrame(entry)) {
        if (comparePositions(entry, position) > 0) break
        this.heldBytes -= costOf(entry)
        batches.push(...this.forget([entry]))
      } else {
        batches.push(...takeWaiters(entry, position))
        if (comparePositions({ epoch: entry.epoch, sequence: entry.last }, position) > 0) break
        this.count(-(entry.last - entry.first + 1), -entry.rows, -entry.bytes)
      }
      this.dropHead()
    }
    return batches
  }

  /** Every batch that waits for a commit; the queue forgets them. */
  abandonBatches (): ClosedBatch[] {
    const batches: ClosedBatch[] = []
    for (const entry of [...this.taken, ...this.entries]) {
      if (entry === null) continue
      if (!isFrame(entry)) batches.push(...entry.waiters.values())
      else if (entry.batch !== null) batches.push(entry.batch)
    }
    this.entries = []
    this.taken = []
    this.head = 0
    this.generation++
    return batches
  }

  backlog (nowMs: number): JournalBacklog {
    const oldest = this.taken[0] ?? this.next()
    const oldestAtMs = oldest === null ? nowMs : isFrame(oldest) ? oldest.appendedAtMs : oldest.oldestAtMs
    return { frames: this.frames, rows: this.rows, bytes: this.bytes, oldestMs: Math.max(0, nowMs - oldestAtMs) }
  }

  private spill (frame: Frame, tail: Stretch | null): void {
    const end = frame.offset + FRAME_HEADER_BYTES + frame.payload.length
    let stretch = tail
    if (stretch?.segment === frame.segment && stretch.last + 1 === frame.sequence) {
      stretch.last = frame.sequence
      stretch.end = end
      stretch.rows += frame.rows
      stretch.bytes += frame.payload.length
    } else {
      const { segment, epoch, sequence, offset, rows, payload, appendedAtMs } = frame
      stretch = { segment, epoch, first: sequence, last: sequence, offset, end, rows, bytes: payload.length, oldestAtMs: appendedAtMs, waiters: new Map() }
      this.entries.push(stretch)
    }
    const { batch } = frame
    if (batch !== null && batch.awaitsCommit !== false) {
      batch.payload = EMPTY
      stretch.waiters.set(frame.sequence, batch)
    }
  }

  private forget (frames: readonly Frame[]): ClosedBatch[] {
    const batches: ClosedBatch[] = []
    for (const frame of frames) {
      this.count(-1, -frame.rows, -frame.payload.length)
      if (frame.batch !== null) batches.push(frame.batch)
    }
    return batches
  }

  private count (frames: number, rows: number, bytes: number): void {
    this.frames += frames
    this.rows += rows
    this.bytes += bytes
  }

  private dropHead (): void {
    this.entries[this.head++] = null
    if (this.head > 1024 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head)
      this.head = 0
    }
  }
}

/** Whether an entry is a frame held in memory. */
export function isFrame (entry: Entry): entry is Frame {
  return 'payload' in entry
}

function costOf (frame: Frame): number {
  return frame.payload.length + FRAME_OVERHEAD_BYTES
}

/** Takes the batches at `position` or before out of a stretch. */
function takeWaiters (stretch: Stretch, position: Position): ClosedBatch[] {
  const batches: ClosedBatch[] = []
  for (const [sequence, batch] of stretch.waiters) {
    if (comparePositions({ epoch: stretch.epoch, sequence }, position) > 0) break
    batches.push(batch)
    stretch.waiters.delete(sequence)
  }
  return batches
}
