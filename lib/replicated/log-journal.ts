/**
 * The journal of a worker whose frames go to a replicated log: a lane with one writer, and its own drain. The drain is
 * fed from memory right after the log has answered; only what does not fit there is read back from the log.
 *
 *   append ─► publisher ─► log (several servers) ─► queue ─► take ─► release ─► trimmed
 *                                                     └ extents in the log ─ reader ┘
 *
 * Promises: what the spool promises, with "in the log" for "on disk". If the log loses what it had acknowledged, or
 * stops answering, nothing that this process still holds is lost: the drain stores it from memory.
 */
import type { ClosedBatch, JournalBacklog } from '../journal/journal.js'
import { pressureOf, type Pressure } from '../journal/pressure.js'
import type { Extent } from '../spool/frame.js'
import { comparePositions } from '../spool/format/position.js'
import { FRAME_HEADER_BYTES } from '../spool/format/record.js'
import type { KnownEpoch } from '../spool/recover/ledger-position.js'
import type { ErrorCode } from '../support/errors.js'
import { readFrames } from './frame-reader.js'
import { epochIdOf, faultOf } from './replicated-log.js'
import type { LaneStream, StoredFrame } from './publish/pending.js'
import { Publisher } from './publish/publisher.js'
import type { PublisherOptions } from './publish/publisher-hooks.js'
import { StreamJournal, type StreamJournalOptions } from './stream-journal.js'

export interface LogJournalOptions
  extends StreamJournalOptions, Omit<PublisherOptions, keyof StreamJournalOptions> {
  /** From sending a message to its acknowledgement. */
  readonly onAcknowledged?: (milliseconds: number) => void
}

/** How often a part of an extent is asked for again while the log does not answer. */
const READ_RETRY_MS = 500
const WATCH_INTERVAL_MS = 500
/** Messages are read at least so many bytes at a time. */
const READ_BYTES_MIN = 1024 * 1024
/** For how long nothing is appended after the log has said that it is full. */
const FULL_MS = 1_000

export class LogJournal extends StreamJournal {
  private readonly publisher: Publisher
  private readonly watch: NodeJS.Timeout
  private fullUntilMs = 0

  constructor (private readonly settings: LogJournalOptions) {
    super(settings)
    const { timing } = this
    this.publisher = new Publisher({ ...settings, timing }, {
      stored: (frame) => this.stored(frame),
      answered: ({ payload }) => { if (this.unheld.delete(payload)) this.listeners.onFreed(payload) },
      acknowledged: (milliseconds) => settings.onAcknowledged?.(milliseconds),
      full: () => { this.fullUntilMs = this.timing.nowMs() + FULL_MS },
      fault: (message) => settings.onFault(message),
      idle: () => this.idleNow(),
      isDrained: () => super.backlog().frames === 0,
      committed: (epoch) => this.released.epoch === epoch ? this.released.sequence : 0
    })
    this.watch = setInterval(() => this.checkTimeout(), WATCH_INTERVAL_MS).unref()
  }

  replicatedRows = 0
  /** Payloads of frames that are not held in memory. */
  private readonly unheld = new Set<Buffer>()

  /** How often the writer had to find out what the log has. */
  get syncs (): number {
    return this.publisher.syncs
  }

  get epoch (): number {
    return this.publisher.epoch
  }

  get idle (): boolean {
    return this.publisher.idle
  }

  /** Resolves when the first stream exists. */
  async opened (): Promise<void> {
    await this.publisher.opened()
  }

  /** Checks now, besides the check every half second, whether the log has been silent for too long. */
  checkTimeout (): void {
    this.publisher.checkTimeout()
  }

  append (batch: ClosedBatch): void {
    const refusal = this.refusalOf(FRAME_HEADER_BYTES + batch.payload.length)
    if (refusal === null) {
      this.publisher.append(batch)
      if (batch.awaitsCommit === true) this.listeners.onAwaited()
      return
    }
    // The batcher is not ready for the answer before append() returns.
    queueMicrotask(() => batch.spooled(refusal))
  }

  pressure (): Pressure {
    const { waitingBytes, away } = this.publisher
    if (away !== null || this.timing.nowMs() < this.fullUntilMs) return 'hard'
    const { maxBytes, memoryMaxBytes } = this.settings
    const [inLog, inMemory] = [
      pressureOf(this.trimmer.usedBytes + waitingBytes, maxBytes), pressureOf(waitingBytes, memoryMaxBytes)
    ]
    if (inLog === 'hard' || inMemory === 'hard') return 'hard'
    return inLog === 'soft' || inMemory === 'soft' ? 'soft' : 'none'
  }

  outage (): ErrorCode | null {
    return this.publisher.away === null ? null : 'log_unavailable'
  }

  override backlog (): JournalBacklog {
    const { frames, rows, bytes, oldestMs } = super.backlog()
    const { waitingFrames, waitingRows, waitingBytes } = this.publisher
    // A batch that was told that the outcome is unknown counts as failed, and as recovered once it is found stored.
    return { frames: frames + waitingFrames, rows: rows + waitingRows, bytes: bytes + waitingBytes, oldestMs }
  }

  /** Gives up what is not in the log. The streams stay until the table of lanes says that this one is closed. */
  override async close (): Promise<void> {
    if (this.isClosed) return
    clearInterval(this.watch)
    await this.publisher.stop('shutting_down')
    await super.close()
  }

  protected epochs (): ReadonlyMap<number, KnownEpoch> {
    const known = new Map<number, KnownEpoch>([[0, { id: null, end: 0 }]])
    for (const [epoch, end] of this.publisher.sent) {
      known.set(epoch, { id: epochIdOf({ lane: this.spoolId, epoch }), end })
    }
    return known
  }

  protected async more (woken: Promise<true>): Promise<boolean> {
    return this.ended && this.publisher.empty ? false : await woken
  }

  protected async readBack (extent: Extent<LaneStream>, bytesMax: number): Promise<void> {
    const { generation } = this.queue
    const { segment, first, last, offset, epoch, waiters } = extent
    let read
    try {
      read = await readFrames(this.settings.log, segment, offset, Math.max(bytesMax, READ_BYTES_MIN), last)
    } catch (error) {
      if (faultOf(error) !== 'missing') {
        await this.timing.pause(READ_RETRY_MS)
        return
      }
      read = { frames: [], next: offset, atEnd: true }
    }
    // resume() or close() came in between: what was read may be released, and is read again if not.
    if (generation !== this.queue.generation) return
    const gaps = []
    let expected = first
    const passed = { rows: 0, bytes: 0 }
    const frames = []
    for (const frame of read.frames.filter(({ sequence }) => sequence >= first && sequence <= last)) {
      if (frame.sequence > expected) gaps.push([expected, frame.sequence - 1])
      expected = frame.sequence + 1
      if (comparePositions(frame, this.released) > 0) {
        frames.push({ ...frame, batch: waiters.get(frame.sequence) ?? null })
      } else {
        passed.rows += frame.rows
        passed.bytes += frame.payload.length
      }
    }
    const isOver = read.atEnd || expected > last
    if (isOver && expected <= last) gaps.push([expected, last])
    const left = { first: isOver ? last + 1 : expected, offset: read.next }
    const { batches, lostRows } = this.queue.unspill(extent, { frames, passed, left, gaps: [], quarantinedBytes: 0 })
    this.releasedRows += passed.rows
    this.lostRows += lostRows
    for (const batch of batches) batch.committed('outcome_unknown')
    for (const [from, to] of gaps) {
      this.settings.onFault(`lane ${this.spoolId}: frames ${String(from)} to ${String(to)} of epoch ${epoch} are no ` +
        'longer in the log: it was purged, deleted or damaged')
    }
  }

  private refusalOf (bytes: number): ErrorCode | null {
    if (this.ended || this.isClosed) return 'shutting_down'
    if (this.publisher.away !== null) return 'log_unavailable'
    const { maxBytes, memoryMaxBytes } = this.settings
    const { waitingBytes } = this.publisher
    const isFull = this.timing.nowMs() < this.fullUntilMs || this.trimmer.usedBytes + waitingBytes + bytes > maxBytes
    return isFull || (waitingBytes > 0 && waitingBytes + bytes > memoryMaxBytes) ? 'spool_full' : null
  }

  private stored (frame: StoredFrame): void {
    const { stream, batch, payload, sequence, rows, appendedAtMs, first, last, bytes, wasAnswered } = frame
    this.replicatedRows += rows
    if (wasAnswered) this.recoveredRows += rows
    this.trimmer.add(stream, sequence, last, bytes)
    const isHeld = this.enqueue({
      segment: stream,
      offset: first,
      epoch: stream.epoch,
      sequence,
      rows,
      appendedAtMs,
      payload,
      batch: wasAnswered ? null : batch
    })
    if (!isHeld) this.unheld.add(payload)
    this.wake()
  }

  private idleNow (): void {
    if (this.ended) this.wake()
    this.listeners.onIdle()
  }
}
