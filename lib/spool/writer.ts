/**
 * Group commit: one write and one fdatasync for all batches that arrived during the previous group.
 *
 *   waiting ──► group ──► number, write, fdatasync ──► durable(frames)
 *                           │ no space                ──► cut back and synced, the group is not on disk: spool_full
 *                           │ any other failure       ──► segment abandoned, the group is written again to a new one
 *                           └ second failure          ──► fatal: spool_failed, nothing is written any more
 *
 * A batch is answered exactly once. spool_full means that the batch is not on disk and never will be; spool_failed
 * that it may be. After a failed fdatasync the same file is never synced again: the second call would report success
 * although the data is gone. The frames of the group keep their numbers in the new segment, whose base voids the copies
 * that the abandoned one may hold (see segment.ts).
 *
 * States
 *
 *   idle ⇄ writing ──► failed
 *    │        ├──────► stopping ──► stopped
 *    │        │           └───────► failed
 *    └────────────────────────────► stopped
 *
 * - idle: nothing waits.
 * - writing: a group, or a new segment, is being written; batches that arrive wait for the next group.
 * - failed: two segments in a row could not be written. Final.
 * - stopping: stop() was called; the current group is finished, what waited was refused.
 * - stopped: nothing is written any more. Final.
 */
import type { ErrorCode } from '../support/errors.js'
import type { ClosedBatch } from '../journal/journal.js'
import { StateMachine } from '../support/state-machine.js'
import { isSpaceError } from './file-system.js'
import { FRAME_HEADER_BYTES, encodeFrameHeader } from './format/record.js'
import { GROUP_FRAMES_MAX, SEGMENT_HEADER_BYTES } from './format/segment.js'
import type { Frame } from './frame.js'
import type { ActiveSegment, SegmentLog } from './segment-log.js'

/** Bounds the memory of a group, and how long its senders wait. */
export const GROUP_BYTES_MAX = 16 * 1024 * 1024
/** The active segment, then a new one. */
const ATTEMPTS_MAX = 2

export interface WriterHooks {
  /** In order, before the batches are answered. */
  durable (frames: readonly Frame[]): void
  /** After each successful fdatasync of a group. */
  synced (milliseconds: number): void
  refused (batches: number): void
  /** The disk is full: append nothing until there is space. */
  full (): void
  /** Once. Nothing is written any more. */
  fatal (error: Error): void
  /** Whether space is short: then the space of released frames is freed at once. */
  short (): boolean
  /** The last write has ended. */
  idle (): void
}

export interface WriterOptions {
  readonly rowFormat: number
  readonly segmentBytes: number
  /** An active segment larger than this is replaced once all its frames are released, to free its space. */
  readonly recycleBytes: number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

type Outcome =
  | { readonly done: true, readonly frames: readonly Frame[] }
  /** `clean`: nothing of the group is on disk. `space`: the disk is full. */
  | { readonly done: false, readonly clean: boolean, readonly space: boolean, readonly error: unknown }

type WriterState = 'idle' | 'writing' | 'failed' | 'stopping' | 'stopped'

const TRANSITIONS: Readonly<Record<WriterState, readonly WriterState[]>> = {
  idle: ['writing', 'stopped'],
  writing: ['idle', 'failed', 'stopping'],
  failed: [],
  stopping: ['failed', 'stopped'],
  stopped: []
}

export class Writer {
  /** Of the batches that wait and of the current group. */
  waitingBytes = 0
  waitingFrames = 0
  waitingRows = 0
  private readonly state = new StateMachine<WriterState>('spool writer', 'idle', TRANSITIONS)
  private waiting: ClosedBatch[] = []
  private running: Promise<void> = Promise.resolve()

  constructor (
    private readonly log: SegmentLog, private readonly options: WriterOptions, private readonly hooks: WriterHooks
  ) {}

  get idle (): boolean {
    return !this.state.is('writing', 'stopping')
  }

  get failed (): boolean {
    return this.state.is('failed')
  }

  /** Adds a batch to the next group. The caller has checked that there is capacity. */
  append (batch: ClosedBatch): void {
    this.waiting.push(batch)
    this.countWaiting([batch], 1)
    this.wake()
  }

  /** Starts writing if there is anything to write: groups, or a new segment. */
  wake (): void {
    if (!this.state.is('idle')) return
    if (this.waiting.length === 0 && !this.wantsNewSegment()) return
    this.state.to('writing')
    this.running = this.run()
  }

  /** Refuses the batches that wait; resolves when the current group has ended. Once. */
  async stop (code: ErrorCode): Promise<void> {
    this.refuse(this.waiting, code)
    this.waiting = []
    if (this.state.is('idle')) this.state.to('stopped')
    if (this.state.is('writing')) this.state.to('stopping')
    await this.running
  }

  private async run (): Promise<void> {
    while (this.waiting.length > 0) await this.commit(this.nextGroup())
    if (this.state.is('writing') && this.wantsNewSegment()) await this.begin().catch(() => this.hooks.full())
    if (this.state.is('writing')) this.state.to('idle')
    if (this.state.is('stopping')) this.state.to('stopped')
    // Batches may have arrived during the last await.
    if (this.waiting.length > 0) this.wake()
    else this.hooks.idle()
  }

  /** Although the active one is not full: it does not record yet that the ledger has a row, or its space is needed. */
  private wantsNewSegment (): boolean {
    if (this.log.entryUnrecorded) return true
    const bytes = this.log.active?.segment.bytes ?? 0
    if (bytes <= SEGMENT_HEADER_BYTES || !this.log.allReleased) return false
    return bytes > this.options.recycleBytes || this.hooks.short()
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

  /** Makes a group durable, or refuses it. */
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
        this.refuseForSpace(group, clean ? 'spool_full' : 'spool_failed')
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
    if (written !== bytes) return await this.cutBack(active, new Error(`wrote ${written} of ${bytes} bytes`))
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

  /** Numbers the group's frames and lists their buffers; payloads are not copied. */
  private encode (
    active: ActiveSegment, group: readonly ClosedBatch[]
  ): { buffers: Buffer[], frames: Frame[], crc: number } {
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
      const { rowFormat } = this.options
      const encoded = encodeFrameHeader({ rowFormat, rows, epoch, sequence, appendedAtMs, previousCrc: crc }, payload)
      crc = encoded.crc
      buffers.push(encoded.header, payload)
      frames.push({ segment, offset, epoch, sequence, rows, appendedAtMs, payload, batch })
      offset += FRAME_HEADER_BYTES + payload.length
    }
    return { buffers, frames, crc }
  }

  /** Removes a partly written group. Only once the cut is durable is the group known not to be on disk. */
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

  /** Begins a segment. If not even its header fits, the space of released frames is freed first. */
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

  private refuseForSpace (group: readonly ClosedBatch[], code: ErrorCode): void {
    this.hooks.full()
    const waiting = this.waiting
    this.waiting = []
    this.refuse(group, code)
    this.refuse(waiting, 'spool_full')
  }

  private fail (group: readonly ClosedBatch[], cause: unknown): void {
    this.state.to('failed')
    const waiting = this.waiting
    this.waiting = []
    this.refuse(group, 'spool_failed')
    this.refuse(waiting, 'spool_failed')
    this.hooks.fatal(new Error('the spool cannot be written: two segments failed in a row', { cause }))
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
