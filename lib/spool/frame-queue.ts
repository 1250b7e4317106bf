/**
 * The durable frames that are not released yet, in order: some held in memory, others only on disk, as extents.
 *
 *   released │ taken by the drain │ held │ extent on disk │ held │ ...
 *
 * Holds at most `heldBytesMax` of payloads besides what the drain has taken; beyond that a new frame joins an extent,
 * which costs a few numbers however many frames it has. A frame whose batch waits for the commit keeps the batch
 * without its payload. No I/O here: the spool reads extents back and passes them to `unspill`.
 */
import type { ClosedBatch, FrameRun, JournalBacklog, Position } from '../journal/journal.js'
import { comparePositions } from './format/position.js'
import { FRAME_HEADER_BYTES } from './format/record.js'
import type { Segment } from './format/segment.js'
import type { Container, Extent, Frame, ReadPart } from './frame.js'

/** Heap cost of a held frame besides its payload, measured at about 250 bytes. */
const FRAME_OVERHEAD_BYTES = 256
const EMPTY = Buffer.alloc(0)

type Entry<Place extends Container> = Frame<Place> | Extent<Place>

export class FrameQueue<Place extends Container = Segment> {
  /** Changes whenever the head may have changed, other than by unspill(). */
  generation = 0
  private entries: Array<Entry<Place> | null> = []
  /** Index of the first entry. */
  private head = 0
  private taken: Array<Frame<Place>> = []
  private heldBytes = 0
  private frames = 0
  private rows = 0
  private bytes = 0

  constructor (private readonly heldBytesMax: number) {}

  /** Adds a frame that has just become durable. False: it is not held, its payload is only on disk. */
  push (frame: Frame<Place>): boolean {
    this.count(1, frame.rows, frame.payload.length)
    const tail = this.entries[this.entries.length - 1]
    const onDisk = tail !== undefined && tail !== null && !isFrame(tail)
    const cost = costOf(frame)
    // Once frames spill, they do until half the memory is free: few long extents, not many short ones.
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
  pushExtent (extent: Extent<Place>): void {
    this.count(extent.last - extent.first + 1, extent.rows, extent.bytes)
    this.entries.push(extent)
  }

  /** The head: a held frame, an extent to read back, or nothing. */
  next (): Entry<Place> | null {
    return this.entries[this.head] ?? null
  }

  /** Takes held frames of one epoch, up to bytesMax of payload but at least one. The head must be a frame. */
  take (bytesMax: number): FrameRun {
    const frames: Array<Frame<Place>> = []
    let bytes = 0
    let rows = 0
    for (let entry = this.next(); entry !== null; entry = this.next()) {
      if (!isFrame(entry)) break
      const before = frames[frames.length - 1]
      if (before !== undefined && (bytes + entry.payload.length > bytesMax || !isNext(entry, before))) break
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
      epochId: firstFrame.segment.epochId,
      firstSequence: firstFrame.sequence,
      lastSequence: lastFrame.sequence,
      payloads: frames.map((frame) => frame.payload),
      rows,
      bytes
    }
  }

  /**
   * Puts frames read from the extent at the head in front of its rest. Returns what was lost to damage: batches, and,
   * once the extent is read to its end, rows.
   */
  unspill (
    extent: Extent<Place>, { frames, passed, left }: ReadPart<Place>
  ): { batches: ClosedBatch[], lostRows: number } {
    let { rows, bytes } = passed
    this.count(0, -rows, -bytes)
    for (const frame of frames) {
      rows += frame.rows
      bytes += frame.payload.length
      this.heldBytes += costOf(frame)
      extent.waiters.delete(frame.sequence)
    }
    const sequences = left.first - extent.first
    extent.first = left.first
    extent.offset = left.offset
    extent.rows -= rows
    extent.bytes -= bytes
    extent.oldestAtMs = frames[frames.length - 1]?.appendedAtMs ?? extent.oldestAtMs
    // Sequences without a frame are lost or released; the rows of the lost ones are known only at the extent's end.
    this.count(frames.length - sequences, 0, 0)
    const rest: Array<Entry<Place>> = extent.first <= extent.last ? [extent] : []
    const lostRows = rest.length === 0 ? extent.rows : 0
    if (rest.length === 0) this.count(0, -extent.rows, -extent.bytes)
    this.entries = [...frames, ...rest, ...this.entries.slice(this.head + 1)]
    this.head = 0
    return { batches: takeWaiters(extent, { epoch: extent.epoch, sequence: left.first - 1 }), lostRows }
  }

  /** The drain's oldest frames have committed. Returns their batches. */
  release (run: FrameRun): ClosedBatch[] {
    const count = run.payloads.length
    const frames = this.taken.slice(0, count)
    const [first, last] = [frames[0], frames[count - 1]]
    if (first?.epoch !== run.epoch || first.sequence !== run.firstSequence || last?.sequence !== run.lastSequence) {
      throw new Error(`release() of frames ${run.firstSequence} to ${run.lastSequence}, which are not the oldest taken`)
    }
    this.taken = this.taken.slice(count)
    return this.forget(frames)
  }

  /** Puts taken frames back, then drops those up to `position`. Returns the batches of the dropped frames. */
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

  /** Empties the queue. Returns every batch that waits for a commit. */
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

  private spill (frame: Frame<Place>, tail: Extent<Place> | null): void {
    const end = frame.offset + FRAME_HEADER_BYTES + frame.payload.length
    let extent = tail
    if (extent?.segment === frame.segment && extent.last + 1 === frame.sequence) {
      extent.last = frame.sequence
      extent.end = end
      extent.rows += frame.rows
      extent.bytes += frame.payload.length
    } else {
      const { segment, epoch, sequence, offset, rows, payload, appendedAtMs } = frame
      const sequences = { first: sequence, last: sequence }
      const bytes = payload.length
      extent = { segment, epoch, ...sequences, offset, end, rows, bytes, oldestAtMs: appendedAtMs, waiters: new Map() }
      this.entries.push(extent)
    }
    const { batch } = frame
    if (batch !== null && batch.awaitsCommit !== false) {
      batch.payload = EMPTY
      forgetAnswered(extent)
      extent.waiters.set(frame.sequence, batch)
    }
  }

  private forget (frames: ReadonlyArray<Frame<Place>>): ClosedBatch[] {
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

/** Whether the entry is a held frame. */
export function isFrame<Place extends Container> (entry: Entry<Place>): entry is Frame<Place> {
  return 'payload' in entry
}

/** Runs have no gaps: a frame behind lost ones begins a new run. */
function isNext (frame: Frame<Container>, before: Frame<Container>): boolean {
  return frame.epoch === before.epoch && frame.sequence === before.sequence + 1
}

function costOf (frame: Frame<Container>): number {
  return frame.payload.length + FRAME_OVERHEAD_BYTES
}

/** Forgets the oldest batches that nobody waits for any more: an outage may last for days, a request does not. */
function forgetAnswered ({ waiters }: Extent<Container>): void {
  for (const [sequence, { awaitsCommit }] of waiters) {
    if (awaitsCommit !== false) break
    waiters.delete(sequence)
  }
}

/** Removes the batches up to `position` from an extent. */
function takeWaiters (extent: Extent<Container>, position: Position): ClosedBatch[] {
  const batches: ClosedBatch[] = []
  for (const [sequence, batch] of extent.waiters) {
    if (comparePositions({ epoch: extent.epoch, sequence }, position) > 0) break
    batches.push(batch)
    extent.waiters.delete(sequence)
  }
  return batches
}
