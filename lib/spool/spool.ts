/**
 * The spool: a journal on disk. Connects the writer (group commit), the queue of waiting frames, the reader of frames
 * that are only on disk, and the segments that hold them.
 *
 *   append ─► writer ─► segment (fdatasync) ─► queue ─► take ─► release ─► segment removed
 *                                                └ extents on disk ─ reader ┘
 *
 * Promises: a batch that got spooled(null) is returned by take(), in this process or after any crash, until the ledger
 * covers it. Frames are returned in order of epoch and sequence, and none that the ledger covers. Frames lost to disk
 * damage are reported as a gap. There is no local read pointer: the ledger's position says where to continue.
 *
 * States
 *
 *   open ──► ended ──► closing ──► closed
 *     └───────────────────┘
 *
 * - open: append() and take() work. While the writer has failed (writer.ts) appends are refused; durable frames are
 *   still returned.
 * - ended: appends are refused; take() returns null once the spool is empty.
 * - closing: the current group is finished, take() returns null, files are closed.
 * - closed: another spool may open the directory.
 *
 * Independently of that, take() requires that the last resume() found no fault.
 */
import type { ErrorCode } from '../support/errors.js'
import { JournalListeners } from '../journal/journal.js'
import type {
  ClosedBatch, FrameRun, Journal, JournalBacklog, LedgerFault, LedgerPosition
} from '../journal/journal.js'
import type { Pressure } from '../journal/pressure.js'
import { isSpaceError, type Files } from './file-system.js'
import type { Extent, Frame } from './frame.js'
import { FrameQueue } from './frame-queue.js'
import { Taker } from './taker.js'
import type { Gap } from './recover/gap.js'
import { judgePosition } from './recover/ledger-position.js'
import { planResolution, type ResolutionOptions } from './operate/resolution.js'
import { ExtentReader } from './extent-reader.js'
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from './format/record.js'
import type { RecoveredSpool } from './recover/recovery.js'
import { Capacity } from './capacity.js'
import { StateMachine } from '../support/state-machine.js'
import { SegmentLog } from './segment-log.js'
import { Writer } from './writer.js'

export interface SpoolOptions {
  readonly files: Files
  /** Of this slot, see slotDirectory(). */
  readonly directory: string
  /** Format of the payloads, 1 to 255. A spool with frames of another format does not open. */
  readonly rowFormat: number
  readonly segmentBytes?: number
  /** Bound on the payloads held in memory besides what the drain has taken, and on batches waiting to be written. */
  readonly memoryMaxBytes?: number
  /** This spool's share of the disk. */
  readonly maxBytes: number
  /** Bytes to leave free on the file system. */
  readonly reserveBytes?: number
  readonly roomIntervalMs?: number
  /** Milliseconds since 1970. */
  readonly now?: () => number
  /** Once: nothing can be written any more. The worker reports not ready, drains what it can, and exits non-zero. */
  readonly onFatal: (error: Error) => void
  /** Frames lost to damage after the start; those found at the start are in the recovery. */
  readonly onGap: (gap: Gap) => void
  /** After each fdatasync of a group. */
  readonly onSync?: (milliseconds: number) => void
}

/** Totals since the start, for metrics. */
export interface SpoolCounters {
  framesAppended: number
  rowsAppended: number
  /** Payload bytes. */
  bytesAppended: number
  syncs: number
  /** Batches refused with spool_full or spool_failed. */
  batchesRefused: number
  /** rowsAppended + recoveredRows = rowsReleased + rowsLost + backlog rows; rowsLost lags while an extent is read. */
  rowsReleased: number
  /** To damage after the start. */
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

type SpoolState = 'open' | 'ended' | 'closing' | 'closed'

const TRANSITIONS: Readonly<Record<SpoolState, readonly SpoolState[]>> = {
  open: ['ended', 'closing'],
  ended: ['closing'],
  closing: ['closed'],
  closed: []
}

export class Spool implements Journal {
  readonly spoolId: string
  readonly counters: SpoolCounters
  readonly listeners = new JournalListeners()
  private readonly log: SegmentLog
  private readonly writer: Writer
  private readonly queue: FrameQueue
  private readonly taker: Taker
  private readonly reader: ExtentReader
  private readonly room: Capacity
  private readonly now: () => number
  private readonly state = new StateMachine<SpoolState>('spool', 'open', TRANSITIONS)
  /** Payloads of the last group that are not held: batches may still read them until all of the group are answered. */
  private spilled: Buffer[] = []
  private closed: Promise<void> | null = null

  /** For openSpool (open-spool.ts) only. */
  constructor (
    private readonly options: SpoolOptions & { readonly now: () => number },
    recovered: RecoveredSpool,
    private readonly forgetDirectory: () => void
  ) {
    const { files, directory, maxBytes } = options
    const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    const memoryMaxBytes = options.memoryMaxBytes ?? MEMORY_MAX_BYTES
    this.now = options.now
    this.spoolId = recovered.evidence.spoolId
    this.log = new SegmentLog({ files, directory, ...recovered, onRemoved: () => this.room.checkSoon() })
    this.queue = new FrameQueue(memoryMaxBytes)
    this.taker = new Taker(this.queue, {
      isClosed: () => this.state.is('closing', 'closed'),
      more: async (woken) => this.state.is('ended') && this.writer.idle ? false : await woken,
      readBack: async (extent, bytesMax) => { await this.readBack(extent, bytesMax) },
      took: (run) => { this.log.give(run) }
    })
    for (const extent of recovered.extents) this.queue.pushExtent(extent)
    this.reader = new ExtentReader(files, directory)
    const reserveBytes = options.reserveBytes ?? RESERVE_BYTES
    this.room = new Capacity({ files, directory, maxBytes, memoryMaxBytes, reserveBytes }, () => this.writer.wake())
    const recycleBytes = Math.min(segmentBytes, maxBytes) / 4
    this.writer = new Writer(this.log, { rowFormat: options.rowFormat, segmentBytes, recycleBytes, now: this.now }, {
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

  /** For openSpool only: begins the new epoch. A spool on a full disk can still be drained. */
  async start (): Promise<void> {
    try {
      await this.log.begin()
    } catch (error) {
      if (!isSpaceError(error)) throw error
      this.room.noteFull()
    }
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

  /** Of all frames appended since the spool was opened. */
  get epoch (): number {
    return this.log.epoch
  }

  get epochId (): string {
    return this.log.epochId
  }

  /** Bytes of all segments on disk. */
  get diskBytes (): number {
    return this.log.bytes
  }

  get segments (): number {
    return this.log.count
  }

  /** Free bytes of the file system at the last check, less what was written since. */
  get freeBytes (): number {
    return this.room.freeBytes
  }

  /** Asked before a request body is read. */
  pressure (): Pressure {
    return this.writer.failed ? 'hard' : this.room.pressure(this.log.bytes, this.writer.waitingBytes)
  }

  /** Checks the free space now, besides the check every roomIntervalMs. */
  async checkRoom (): Promise<void> {
    await this.room.check()
  }

  append (batch: ClosedBatch): void {
    const bytes = FRAME_HEADER_BYTES + batch.payload.length
    if (batch.payload.length > FRAME_PAYLOAD_BYTES_MAX) {
      throw new RangeError(`a batch of ${batch.payload.length} bytes exceeds the ${FRAME_PAYLOAD_BYTES_MAX} of a frame`)
    }
    const refusal = this.refusal(bytes)
    if (refusal === null) {
      this.writer.append(batch)
      if (batch.awaitsCommit === true) this.listeners.onAwaited()
    } else {
      this.counters.batchesRefused++
      // Frees the space of released frames now, not at the next check.
      if (refusal === 'spool_full') this.room.noteFull()
      this.writer.wake()
      // The batcher is not ready for the answer before append() returns.
      queueMicrotask(() => batch.spooled(refusal))
    }
  }

  resume (position: LedgerPosition | null): LedgerFault | null {
    const fault = judgePosition(this.log, position)
    this.taker.isResumed = fault === null
    if (fault !== null) {
      this.log.distrust()
      return fault
    }
    if (position !== null) this.log.release(position)
    const { rows } = this.queue.backlog(this.now())
    const batches = this.queue.rewind(this.log.released)
    this.counters.rowsReleased += rows - this.queue.backlog(this.now()).rows
    this.afterRelease(batches)
    this.taker.wake()
    return null
  }

  /**
   * After ledger_behind: whether every frame after the position is on disk, and the database has none of their rows, as
   * far as it was looked up. Then the position is right, and the next process to open this directory continues from it.
   */
  async isRightBehind (position: LedgerPosition, find: ResolutionOptions['find']): Promise<boolean> {
    const { spoolId, options: { files, directory, rowFormat } } = this
    let hasRows = false
    const look: ResolutionOptions['find'] = async (parts) => {
      const found = await find(parts)
      hasRows = found.rowsBehind > 0
      return found
    }
    const plan = await planResolution({ files, directory, spoolId, rowFormat, find: look }, position)
    return plan === null && !hasRows
  }

  /**
   * As the contract says. Rejects with the system's error if a segment cannot be opened to be read back; it may then
   * be called again.
   */
  async take (bytesMax: number): Promise<FrameRun | null> {
    return await this.taker.take(bytesMax)
  }

  interrupt (): void {
    this.taker.interrupt()
  }

  release (run: FrameRun): void {
    const batches = this.queue.release(run)
    this.counters.rowsReleased += run.rows
    this.log.release({ epoch: run.epoch, sequence: run.lastSequence })
    this.afterRelease(batches)
    for (const payload of run.payloads) this.listeners.onFreed(payload)
  }

  backlog (): JournalBacklog {
    const { frames, rows, bytes, oldestMs } = this.queue.backlog(this.now())
    const { waitingFrames, waitingRows, waitingBytes } = this.writer
    return { frames: frames + waitingFrames, rows: rows + waitingRows, bytes: bytes + waitingBytes, oldestMs }
  }

  end (): void {
    if (this.state.is('open')) this.state.to('ended')
    this.taker.wake()
  }

  async close (): Promise<void> {
    this.closed ??= this.closeNow()
    await this.closed
  }

  private async closeNow (): Promise<void> {
    this.state.to('closing')
    this.room.stop()
    await this.writer.stop('shutting_down')
    this.taker.wake()
    // They will be stored after the next start, when nobody waits for them any more.
    for (const batch of this.queue.abandonBatches()) batch.committed('outcome_unknown')
    await this.reader.close()
    await this.log.close()
    this.forgetDirectory()
    this.state.to('closed')
  }

  private refusal (bytes: number): ErrorCode | null {
    if (!this.state.is('open')) return 'shutting_down'
    if (this.writer.failed) return 'spool_failed'
    return this.room.takes(bytes, this.log.bytes, this.writer.waitingBytes) ? null : 'spool_full'
  }

  private durable (frames: readonly Frame[]): void {
    // All batches of the previous group have been answered.
    for (const payload of this.spilled) this.listeners.onFreed(payload)
    this.spilled = []
    for (const frame of frames) {
      this.counters.framesAppended++
      this.counters.rowsAppended += frame.rows
      this.counters.bytesAppended += frame.payload.length
      this.room.noteWritten(FRAME_HEADER_BYTES + frame.payload.length)
      if (!this.queue.push(frame)) this.spilled.push(frame.payload)
    }
    this.taker.wake()
  }

  private synced (milliseconds: number): void {
    this.counters.syncs++
    this.options.onSync?.(milliseconds)
  }

  private idleNow (): void {
    if (this.state.is('ended')) this.taker.wake()
    this.listeners.onIdle()
  }

  private afterRelease (batches: readonly ClosedBatch[]): void {
    for (const batch of batches) batch.committed(null)
    this.writer.wake()
  }

  private async readBack (extent: Extent, bytesMax: number): Promise<void> {
    const { generation } = this.queue
    const part = await this.reader.read(extent, bytesMax, this.log.released)
    // resume() or close() came in between: what was read may be released, and is read again if not.
    if (generation !== this.queue.generation) return
    this.counters.framesReadBack += part.frames.length
    this.counters.gaps += part.gaps.length
    this.counters.quarantinedBytes += part.quarantinedBytes
    const { batches, lostRows } = this.queue.unspill(extent, part)
    this.counters.rowsReleased += part.passed.rows
    this.counters.rowsLost += lostRows
    for (const batch of batches) batch.committed('spool_failed')
    for (const gap of part.gaps) this.options.onGap(gap)
  }
}
