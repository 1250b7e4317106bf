/**
 * The spool: a journal on disk. Joins the writer (group commit), the queue of frames that wait, the reader of those
 * that are on disk alone, and the segments that they are in.
 *
 *   append ─► writer ─► segment (fdatasync) ─► queue ─► take ─► release ─► segment removed
 *                                                └ stretches on disk ─ reader ┘
 *
 * Promises: a batch that got spooled(null) is given out by take(), in this process or after any crash, until the ledger
 * covers it; frames come out in order of epoch and sequence, and none twice beyond what the ledger covers. What damage
 * of the disk costs is reported as a gap. There is no local read pointer: the ledger's position says where to go on.
 *
 * States: open (append, take) → ended (take until empty) → closed. Failed: two segments in a row could not be written;
 * appends are refused, what is durable is still given out.
 */
import { resolve } from 'node:path'
import type { ErrorCode } from '../support/errors.js'
import type { ClosedBatch, FrameRun, Journal, JournalBacklog, LedgerFault, Position } from '../journal/journal.js'
import { isSpaceError, type Files } from './files.js'
import { FrameQueue, isFrame, type Stretch } from './frame-queue.js'
import type { Gap } from './recover/gap.js'
import { judgePosition } from './recover/ledger-position.js'
import { StretchReader } from './reader.js'
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from './format/record.js'
import { recover, tidy, type RecoveredSpool, type Recovery } from './recover/recovery.js'
import { Room, type Pressure } from './capacity.js'
import { SegmentLog } from './segment-log.js'
import { Writer, type Frame } from './writer.js'

export interface SpoolOptions {
  readonly files: Files
  /** Of this slot: see slotDirectory(). */
  readonly directory: string
  /** Says how payloads are to be read; frames of another format are refused at the start. 1 to 255. */
  readonly rowFormat: number
  readonly segmentBytes?: number
  /** Payloads held in memory beside what the drain has taken, and batches that wait to be written: each at most this. */
  readonly memoryMaxBytes?: number
  /** This spool's share of the disk. */
  readonly maxBytes: number
  /** What the file system keeps free. */
  readonly reserveBytes?: number
  readonly roomIntervalMs?: number
  /** Milliseconds since 1970. */
  readonly now?: () => number
  /** Once: nothing can be written any more. The worker says not ready, drains what it can, and exits non-zero. */
  readonly onFatal: (error: Error) => void
  /** Frames that were lost to damage after the start; those of the start are in the recovery. */
  readonly onGap: (gap: Gap) => void
  /** Each fdatasync of a group. */
  readonly onSync?: (milliseconds: number) => void
}

/** Totals since the start, for metrics. */
export interface SpoolCounters {
  framesAppended: number
  rowsAppended: number
  /** Payload bytes. */
  bytesAppended: number
  syncs: number
  /** Batches that were refused with spool_full, or spool_failed. */
  batchesRefused: number
  /** rowsAppended + recoveredRows = rowsReleased + rowsLost + rows of the backlog; rowsLost lags while a stretch is read. */
  rowsReleased: number
  /** To damage that came after the start. */
  rowsLost: number
  framesReadBack: number
  gaps: number
  quarantinedBytes: number
  readonly recoveredFrames: number
  readonly recoveredRows: number
}

export const SEGMENT_BYTES = 64 * 1024 * 1024
const MEMORY_MAX_BYTES = 16 * 1024 * 1024
const RESERVE_BYTES = 256 * 1024 * 1024
const ROOM_INTERVAL_MS = 1000

/** Directories that are open in this process: a second spool on one would number its frames a second time. */
const openDirectories = new WeakMap<Files, Set<string>>()

/**
 * Opens the spool of one slot, after recovery.
 * @throws {OperatingError} spool_failed: a newer format, or no telling whose frames these are
 */
export async function openSpool (options: SpoolOptions): Promise<{ spool: Spool, recovery: Recovery }> {
  const directory = resolve(options.directory)
  const directories = openDirectories.get(options.files) ?? new Set()
  openDirectories.set(options.files, directories)
  if (directories.has(directory)) throw new Error(`the spool ${directory} is open in this process already`)
  directories.add(directory)
  let spool: Spool | null = null
  try {
    const now = options.now ?? Date.now
    const recovered = await recover(options.files, directory, options.rowFormat, now())
    spool = new Spool({ ...options, directory, now }, recovered, () => directories.delete(directory))
    await spool.start()
    await tidy(options.files, recovered)
    return { spool, recovery: recovered.report }
  } catch (error) {
    // What start() has opened stays open otherwise; why it failed is worth more than what closing says.
    await spool?.close().catch(() => {})
    directories.delete(directory)
    throw error
  }
}

export class Spool implements Journal {
  readonly spoolId: string
  readonly counters: SpoolCounters
  onIdle: () => void = () => {}
  onFreed: (payload: Buffer) => void = () => {}
  onAwaited: () => void = () => {}
  private readonly log: SegmentLog
  private readonly writer: Writer
  private readonly queue: FrameQueue
  private readonly reader: StretchReader
  private readonly room: Room
  private readonly now: () => number
  /** Payloads that stand on disk alone since their group became durable: their batches may still look at them. */
  private spilled: Buffer[] = []
  private resumed = false
  private taking = false
  private interrupted = false
  private ended = false
  private closing: Promise<void> | null = null
  private wakeTaker: () => void = () => {}

  /** For openSpool alone. */
  constructor (private readonly options: SpoolOptions & { readonly now: () => number }, recovered: RecoveredSpool, private readonly forgetDirectory: () => void) {
    const { files, directory, maxBytes } = options
    const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    const memoryMaxBytes = options.memoryMaxBytes ?? MEMORY_MAX_BYTES
    this.now = options.now
    this.spoolId = recovered.spoolId
    this.log = new SegmentLog({ files, directory, ...recovered, onRemoved: () => this.room.checkSoon() })
    this.queue = new FrameQueue(memoryMaxBytes)
    for (const stretch of recovered.stretches) this.queue.pushStretch(stretch)
    this.reader = new StretchReader(files, directory)
    this.room = new Room({ files, directory, maxBytes, memoryMaxBytes, reserveBytes: options.reserveBytes ?? RESERVE_BYTES }, () => this.writer.wake())
    this.writer = new Writer(this.log, { rowFormat: options.rowFormat, segmentBytes, recycleBytes: Math.min(segmentBytes, maxBytes) / 4, now: this.now }, {
      durable: (frames) => this.durable(frames),
      synced: (milliseconds) => this.synced(milliseconds),
      refused: (batches) => { this.counters.batchesRefused += batches },
      full: () => this.room.noteFull(),
      fatal: (error) => options.onFatal(error),
      short: () => this.pressure() !== 'none',
      idle: () => this.idleNow()
    })
    const { frames, rows, gaps, quarantinedBytes } = recovered.report
    this.counters = {
      framesAppended: 0,
      rowsAppended: 0,
      bytesAppended: 0,
      syncs: 0,
      batchesRefused: 0,
      rowsReleased: 0,
      rowsLost: 0,
      framesReadBack: 0,
      gaps: gaps.length,
      quarantinedBytes,
      recoveredFrames: frames,
      recoveredRows: rows
    }
  }

  /** For openSpool alone: begins the new epoch. A full disk does not keep the spool from being drained. */
  async start (): Promise<void> {
    try {
      await this.log.begin()
    } catch (error) {
      if (!isSpaceError(error)) throw error
      this.room.noteFull()
    }
    await this.log.noteFile.open()
    await this.room.check()
    this.room.start(this.options.roomIntervalMs ?? ROOM_INTERVAL_MS)
  }

  get releasedRows (): number {
    return this.counters.rowsReleased
  }

  get lostRows (): number {
    return this.counters.rowsLost
  }

  get recoveredRows (): number {
    return this.counters.recoveredRows
  }

  get idle (): boolean {
    return this.writer.idle
  }

  /** Of this opening; all that is appended now carries it. */
  get epoch (): number {
    return this.log.epoch
  }

  /** Bytes of all segments on disk. */
  get diskBytes (): number {
    return this.log.bytes
  }

  get segments (): number {
    return this.log.count
  }

  /** Free bytes of the file system when it was asked last, less what was written since. */
  get freeBytes (): number {
    return this.room.freeBytes
  }

  /** Whether more can be taken: asked before a body is read. */
  pressure (): Pressure {
    return this.writer.failed ? 'hard' : this.room.pressure(this.log.bytes, this.writer.waitingBytes)
  }

  /** Looks at the free space now; beside this it is looked at every roomIntervalMs. */
  async checkRoom (): Promise<void> {
    await this.room.check()
  }

  append (batch: ClosedBatch): void {
    const bytes = FRAME_HEADER_BYTES + batch.payload.length
    if (batch.payload.length > FRAME_PAYLOAD_BYTES_MAX) throw new RangeError(`a batch of ${batch.payload.length} bytes; a frame takes at most ${FRAME_PAYLOAD_BYTES_MAX}`)
    const refusal = this.refusal(bytes)
    if (refusal === null) {
      this.writer.append(batch)
      if (batch.awaitsCommit === true) this.onAwaited()
    } else {
      this.counters.batchesRefused++
      // Frames that are released make way now, not at the next look.
      if (refusal === 'spool_full') this.room.noteFull()
      this.writer.wake()
      // Never answered inside of append(): the batcher is in the midst of handing over.
      queueMicrotask(() => batch.spooled(refusal))
    }
  }

  resume (position: Position | null): LedgerFault | null {
    const fault = judgePosition(this.log, position)
    this.resumed = fault === null
    if (fault !== null) return fault
    if (position !== null) {
      this.log.release(position)
      void this.log.noteFile.believe(position)
    }
    const { rows } = this.queue.backlog(this.now())
    const batches = this.queue.rewind(this.log.released)
    this.counters.rowsReleased += rows - this.queue.backlog(this.now()).rows
    this.afterRelease(batches)
    this.wakeTaker()
    return null
  }

  /**
   * As the contract says. Rejects with the system's error if a segment cannot be opened to be read back: it may be
   * called again.
   */
  async take (bytesMax: number): Promise<FrameRun | null> {
    if (!this.resumed) throw new Error('take() before resume() has said where the ledger stands')
    if (this.taking) throw new Error('take() while another take() waits')
    this.taking = true
    try {
      for (;;) {
        if (this.givesNone()) {
          this.interrupted = false
          return null
        }
        const next = this.queue.next()
        if (next === null) {
          if (this.ended && this.writer.idle) return null
          await new Promise<void>((resolve) => { this.wakeTaker = resolve })
        } else if (isFrame(next)) {
          const run = this.queue.take(bytesMax)
          if (await this.announce(run)) return run
        } else {
          await this.readBack(next, bytesMax)
        }
      }
    } finally {
      this.taking = false
    }
  }

  interrupt (): void {
    if (!this.taking) return
    this.interrupted = true
    this.wakeTaker()
  }

  release (run: FrameRun): void {
    const batches = this.queue.release(run)
    this.counters.rowsReleased += run.rows
    this.log.release({ epoch: run.epoch, sequence: run.lastSequence })
    this.log.noteFile.commit(run)
    this.afterRelease(batches)
    for (const payload of run.payloads) this.onFreed(payload)
  }

  backlog (): JournalBacklog {
    const { frames, rows, bytes, oldestMs } = this.queue.backlog(this.now())
    const { waitingFrames, waitingRows, waitingBytes } = this.writer
    return { frames: frames + waitingFrames, rows: rows + waitingRows, bytes: bytes + waitingBytes, oldestMs }
  }

  end (): void {
    this.ended = true
    this.wakeTaker()
  }

  async close (): Promise<void> {
    this.closing ??= this.closeNow()
    await this.closing
  }

  private givesNone (): boolean {
    return this.closing !== null || this.interrupted
  }

  /** Notes that the run is given out. False: it is not, since resume() has put it back meanwhile, or interrupt() or close() came. */
  private async announce (run: FrameRun): Promise<boolean> {
    const { generation } = this.queue
    // A frame of an earlier opening may never have reached the disk: its sync failed, and the page cache still shows it.
    await this.log.noteFile.send(run, run.epoch !== this.epoch)
    return generation === this.queue.generation && !this.givesNone()
  }

  private async closeNow (): Promise<void> {
    this.ended = true
    this.room.stop()
    await this.writer.stop('shutting_down')
    this.wakeTaker()
    // On disk they will be stored at the next start, but nobody can be told any more.
    for (const batch of this.queue.abandonBatches()) batch.committed('outcome_unknown')
    await this.reader.close()
    await this.log.close()
    this.forgetDirectory()
  }

  private refusal (bytes: number): ErrorCode | null {
    if (this.ended) return 'shutting_down'
    if (this.writer.failed) return 'spool_failed'
    return this.room.takes(bytes, this.log.bytes, this.writer.waitingBytes) ? null : 'spool_full'
  }

  private durable (frames: readonly Frame[]): void {
    // Everyone who was told of the group before has looked.
    for (const payload of this.spilled) this.onFreed(payload)
    this.spilled = []
    for (const frame of frames) {
      this.counters.framesAppended++
      this.counters.rowsAppended += frame.rows
      this.counters.bytesAppended += frame.payload.length
      this.room.noteWritten(FRAME_HEADER_BYTES + frame.payload.length)
      if (!this.queue.push(frame)) this.spilled.push(frame.payload)
    }
    this.wakeTaker()
  }

  private synced (milliseconds: number): void {
    this.counters.syncs++
    this.options.onSync?.(milliseconds)
  }

  private idleNow (): void {
    if (this.ended) this.wakeTaker()
    this.onIdle()
  }

  private afterRelease (batches: readonly ClosedBatch[]): void {
    for (const batch of batches) batch.committed(null)
    this.writer.wake()
  }

  private async readBack (stretch: Stretch, bytesMax: number): Promise<void> {
    const { generation } = this.queue
    const part = await this.reader.read(stretch, bytesMax, this.log.released)
    // resume() or close() came in between: what was read may be released already, and is read again if not.
    if (generation !== this.queue.generation) return
    this.counters.framesReadBack += part.frames.length
    this.counters.gaps += part.gaps.length
    this.counters.quarantinedBytes += part.quarantinedBytes
    const { batches, lostRows } = this.queue.unspill(stretch, part)
    this.counters.rowsReleased += part.passed.rows
    this.counters.rowsLost += lostRows
    for (const batch of batches) batch.committed('spool_failed')
    for (const gap of part.gaps) this.options.onGap(gap)
  }
}
