/**
 * Group commit: one write and one fdatasync for all batches that arrived while the group before was under way.
 *
 *   waiting ──► group ──► number, write, fdatasync ──► durable(frames)
 *                           │ no room                 ──► cut back, synced: nothing of the group is on disk: spool_full
 *                           │ any other failure       ──► segment abandoned, the group written once more to a new one
 *                           └ that fails too          ──► fatal: spool_failed, nothing is written any more
 *
 * A batch is answered exactly once. spool_full means that the batch is not on disk and never will be; spool_failed
 * that it may be. After a failed fdatasync the same file is never synced again: the second call reports success though
 * the data are gone. The frames of the group keep their numbers in the new segment, whose base makes the copies that
 * the abandoned one may hold count for nothing (see segment.ts).
 */
import type { ErrorCode } from '../support/errors.js'
import type { ClosedBatch } from '../journal/journal.js'
import { isSpaceError } from './files.js'
import { FRAME_HEADER_BYTES, encodeFrameHeader } from './format/record.js'
import { SEGMENT_HEADER_BYTES, type Segment } from './format/segment.js'
import type { ActiveSegment, SegmentLog } from './segment-log.js'

/** A group is one buffer list in memory and one stretch of an unanswered wait: both stay small. */
export const GROUP_BYTES_MAX = 16 * 1024 * 1024
const GROUP_FRAMES_MAX = 4096
/** The segment at hand, and a new one. */
const ATTEMPTS_MAX = 2

/** A frame that is durable. */
export interface Frame {
  readonly segment: Segment
  /** Where its header stands. */
  readonly offset: number
  readonly epoch: number
  readonly sequence: number
  readonly rows: number
  readonly appendedAtMs: number
  readonly payload: Buffer
  /** Null: read back after a start or after its payload was dropped with nobody waiting for the commit. */
  readonly batch: ClosedBatch | null
}

export interface WriterHooks {
  /** In order; called before the batches are told. */
  durable (frames: readonly Frame[]): void
  /** Each group's fdatasync that succeeded. */
  synced (milliseconds: number): void
  refused (batches: number): void
  /** No room on the disk: the writer takes nothing until there is room. */
  full (): void
  /** Once. Nothing is written any more. */
  fatal (error: Error): void
  /** Whether room is short: then released frames make way at once. */
  short (): boolean
  /** No write is under way any more. */
  idle (): void
}

export interface WriterOptions {
  readonly rowFormat: number
  readonly segmentBytes: number
  /** An active segment of which nothing is needed any more is replaced beyond this size, to give its space back. */
  readonly recycleBytes: number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

type Outcome =
  | { readonly done: true, readonly frames: readonly Frame[] }
  /** `clean`: nothing of the group is on disk. `space`: for lack of room. */
  | { readonly done: false, readonly clean: boolean, readonly space: boolean, readonly error: unknown }

export class Writer {
  /** Bytes of batches that wait for a group, and of the group under way. */
  waitingBytes = 0
  waitingFrames = 0
  waitingRows = 0
  failed = false
  private waiting: ClosedBatch[] = []
  private running: Promise<void> | null = null
  private stopped = false

  constructor (private readonly log: SegmentLog, private readonly options: WriterOptions, private readonly hooks: WriterHooks) {}

  get idle (): boolean {
    return this.running === null
  }

  /** Takes a batch into the next group. The caller has checked that there is room. */
  append (batch: ClosedBatch): void {
    this.waiting.push(batch)
    this.countWaiting([batch], 1)
    this.wake()
  }

  /** Starts what there is to do: groups, or recycling. */
  wake (): void {
    if (this.running !== null || this.stopped || this.failed) return
    if (this.waiting.length === 0 && !this.wantsRecycling()) return
    this.running = this.run()
  }

  /** Refuses what waits; resolves when the group under way has ended. */
  async stop (code: ErrorCode): Promise<void> {
    this.stopped = true
    this.refuse(this.waiting, code)
    this.waiting = []
    await this.running
  }

  private async run (): Promise<void> {
    while (this.waiting.length > 0) await this.commit(this.nextGroup())
    if (!this.stopped && !this.failed && this.wantsRecycling()) await this.begin().catch(() => this.hooks.full())
    this.running = null
    // What came in during the last await is not left behind.
    if (this.waiting.length > 0) this.wake()
    else this.hooks.idle()
  }

  private wantsRecycling (): boolean {
    const bytes = this.log.active?.segment.bytes ?? 0
    return bytes > SEGMENT_HEADER_BYTES && this.log.allReleased && (bytes > this.options.recycleBytes || this.hooks.short())
  }

  private nextGroup (): ClosedBatch[] {
    const bytesMax = Math.min(GROUP_BYTES_MAX, this.options.segmentBytes - SEGMENT_HEADER_BYTES)
    let bytes = 0
    let count = 0
    for (const batch of this.waiting) {
      bytes += FRAME_HEADER_BYTES + batch.payload.length
      if (count > 0 && (bytes > bytesMax || count === GROUP_FRAMES_MAX)) break
      count++
    }
    return this.waiting.splice(0, count)
  }

  /** Brings a group to its end: durable, or refused. */
  private async commit (group: readonly ClosedBatch[]): Promise<void> {
    let clean = true
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const outcome = await this.attempt(group)
      if (outcome.done) {
        this.settle(group, outcome.frames)
        return
      }
      clean &&= outcome.clean
      if (outcome.space && (outcome.clean || attempt === ATTEMPTS_MAX)) {
        this.giveWayToFullDisk(group, clean ? 'spool_full' : 'spool_failed')
        return
      }
      if (attempt === ATTEMPTS_MAX) this.fail(group, outcome.error)
    }
  }

  private async attempt (group: readonly ClosedBatch[]): Promise<Outcome> {
    const bytes = bytesOf(group)
    const room = this.options.segmentBytes - (this.log.active?.segment.bytes ?? this.options.segmentBytes)
    const used = (this.log.active?.segment.bytes ?? 0) > SEGMENT_HEADER_BYTES
    if (this.log.active === null || (used && bytes > room)) {
      try {
        await this.begin()
      } catch (error) {
        return { done: false, clean: true, space: isSpaceError(error), error }
      }
    }
    return await this.write(this.log.active as unknown as ActiveSegment, group, bytes)
  }

  private async write (active: ActiveSegment, group: readonly ClosedBatch[], bytes: number): Promise<Outcome> {
    const encoded = this.encode(active, group)
    let written = 0
    try {
      written = await active.file.write(encoded.buffers, active.segment.bytes)
    } catch (error) {
      if (isSpaceError(error)) return await this.cutBack(active, error)
      await this.log.abandon()
      return { done: false, clean: false, space: false, error }
    }
    if (written !== bytes) return await this.cutBack(active, new Error(`the disk took ${written} of ${bytes} bytes`))
    const startMs = performance.now()
    try {
      await active.file.sync()
    } catch (error) {
      await this.log.abandon()
      return { done: false, clean: false, space: isSpaceError(error), error }
    }
    this.hooks.synced(performance.now() - startMs)
    active.segment.bytes += bytes
    active.previousCrc = encoded.crc
    return { done: true, frames: encoded.frames }
  }

  /** The group's frames in the numbers that follow, as one list of buffers; payloads are not copied. */
  private encode (active: ActiveSegment, group: readonly ClosedBatch[]): { buffers: Buffer[], frames: Frame[], crc: number } {
    const { segment } = active
    const { epoch, nextSequence } = this.log
    const appendedAtMs = this.options.now()
    const buffers: Buffer[] = []
    const frames: Frame[] = []
    let crc = active.previousCrc
    let offset = segment.bytes
    for (const [index, batch] of group.entries()) {
      const { payload, rows } = batch
      const sequence = nextSequence + index
      const encoded = encodeFrameHeader({ rowFormat: this.options.rowFormat, rows, epoch, sequence, appendedAtMs, previousCrc: crc }, payload)
      crc = encoded.crc
      buffers.push(encoded.header, payload)
      frames.push({ segment, offset, epoch, sequence, rows, appendedAtMs, payload, batch })
      offset += FRAME_HEADER_BYTES + payload.length
    }
    return { buffers, frames, crc }
  }

  /** Takes a part of a group off the disk again. Only when the cut is durable is the group known to be nothing. */
  private async cutBack (active: ActiveSegment, error: unknown): Promise<Outcome> {
    try {
      await active.file.truncate(active.segment.bytes)
      await active.file.sync()
      return { done: false, clean: true, space: true, error }
    } catch {
      await this.log.abandon()
      return { done: false, clean: false, space: true, error }
    }
  }

  /** A new segment. If even its header finds no room, segments that hold nothing any more make way first. */
  private async begin (): Promise<void> {
    try {
      await this.log.begin()
    } catch (error) {
      if (!isSpaceError(error) || !this.log.allReleased) throw error
      await this.log.empty()
      await this.log.begin()
    }
  }

  private settle (group: readonly ClosedBatch[], frames: readonly Frame[]): void {
    const last = frames[frames.length - 1]
    if (last !== undefined) this.log.last = { epoch: last.epoch, sequence: last.sequence }
    this.countWaiting(group, -1)
    this.hooks.durable(frames)
    for (const batch of group) batch.spooled(null)
  }

  private giveWayToFullDisk (group: readonly ClosedBatch[], code: ErrorCode): void {
    this.hooks.full()
    const waiting = this.waiting
    this.waiting = []
    this.refuse(group, code)
    this.refuse(waiting, 'spool_full')
  }

  private fail (group: readonly ClosedBatch[], cause: unknown): void {
    this.failed = true
    const waiting = this.waiting
    this.waiting = []
    this.refuse(group, 'spool_failed')
    this.refuse(waiting, 'spool_failed')
    this.hooks.fatal(new Error('the spool cannot write: two segments failed one after the other', { cause }))
  }

  private countWaiting (batches: readonly ClosedBatch[], sign: 1 | -1): void {
    this.waitingBytes += sign * bytesOf(batches)
    this.waitingFrames += sign * batches.length
    for (const batch of batches) this.waitingRows += sign * batch.rows
  }

  private refuse (batches: readonly ClosedBatch[], code: ErrorCode): void {
    this.countWaiting(batches, -1)
    this.hooks.refused(batches.length)
    for (const batch of batches) batch.spooled(code)
  }
}

function bytesOf (batches: readonly ClosedBatch[]): number {
  let bytes = 0
  for (const batch of batches) bytes += FRAME_HEADER_BYTES + batch.payload.length
  return bytes
}
