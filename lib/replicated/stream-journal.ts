/**
 * What the journal of a lane's writer (log-journal.ts) and that of a lost lane (lost-lane.ts) share: the queue of
 * frames towards the drain, the ledger's position, and freeing the space of what was committed.
 *
 * It differs from the spool in where frames lie, and in that a lane may have two drains for a while: the ledger may be
 * ahead of what this process has given out, because another one has stored the same frames.
 */
import type {
  ClosedBatch, FrameRun, Journal, JournalBacklog, LedgerFault, LedgerPosition, Position
} from '../journal/journal.js'
import { JournalListeners } from '../journal/journal.js'
import type { Pressure } from '../journal/pressure.js'
import type { Extent, Frame } from '../spool/frame.js'
import { FrameQueue } from '../spool/frame-queue.js'
import { Taker } from '../spool/taker.js'
import { comparePositions, later, POSITION_START } from '../spool/format/position.js'
import { judgePosition, type KnownEpoch } from '../spool/recover/ledger-position.js'
import type { ReplicatedLog } from './replicated-log.js'
import type { LaneStream } from './publish/pending.js'
import { realTiming, type Timing } from './timing.js'
import { Trimmer } from './trimmer.js'

export interface StreamJournalOptions {
  readonly log: ReplicatedLog
  readonly lane: string
  /** Bound on the payloads held in memory besides what the drain has taken. */
  readonly memoryMaxBytes: number
  /** Bound on this lane's share of the log. */
  readonly maxBytes: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Default: the real one. */
  readonly timing?: Timing
  /** Something that a person should know. */
  readonly onFault: (message: string) => void
}

export abstract class StreamJournal implements Journal {
  readonly spoolId: string
  releasedRows = 0
  lostRows = 0
  recoveredRows = 0
  readonly listeners = new JournalListeners()
  protected readonly queue: FrameQueue<LaneStream>
  protected released: Position = POSITION_START
  /** The log shows that frames up to here were committed. */
  protected known: Position = POSITION_START
  protected readonly trimmer: Trimmer
  protected readonly timing: Timing
  protected ended = false
  protected isClosed = false
  private entered = false
  private readonly taker: Taker<LaneStream>

  constructor (private readonly options: StreamJournalOptions) {
    this.spoolId = options.lane
    this.timing = options.timing ?? realTiming
    this.queue = new FrameQueue(options.memoryMaxBytes)
    this.taker = new Taker(this.queue, {
      isClosed: () => this.isClosed,
      more: async (woken) => await this.more(woken),
      readBack: async (extent, bytesMax) => { await this.readBack(extent, bytesMax) },
      took: () => {}
    })
    this.trimmer = new Trimmer(options.log, options.maxBytes, this.timing)
  }

  abstract readonly idle: boolean
  abstract append (batch: ClosedBatch): void
  abstract pressure (): Pressure
  /** What the ledger may show, by epoch. */
  protected abstract epochs (position: Position | null): ReadonlyMap<number, KnownEpoch>
  /** As FrameSource says. */
  protected abstract more (woken: Promise<true>): Promise<boolean>
  protected abstract readBack (extent: Extent<LaneStream>, bytesMax: number): Promise<void>

  resume (position: LedgerPosition | null): LedgerFault | null {
    const { spoolId } = this
    const released = later(this.released, this.known)
    const entered = this.entered || this.known !== POSITION_START
    const fault = judgePosition({ spoolId, released, entered, epochs: this.epochs(position) }, position, 'log')
    this.taker.isResumed = fault === null
    if (fault !== null) return fault
    if (position !== null) this.cover(position)
    const { rows } = this.queue.backlog(this.options.now())
    const batches = this.queue.rewind(this.released)
    this.releasedRows += rows - this.queue.backlog(this.options.now()).rows
    for (const batch of batches) batch.committed(null)
    this.trimmer.release(this.released)
    this.wake()
    return null
  }

  async take (bytesMax: number): Promise<FrameRun | null> {
    return await this.taker.take(bytesMax)
  }

  interrupt (): void {
    this.taker.interrupt()
  }

  release (run: FrameRun): void {
    const batches = this.queue.release(run)
    this.releasedRows += run.rows
    this.cover({ epoch: run.epoch, sequence: run.lastSequence })
    for (const batch of batches) batch.committed(null)
    for (const payload of run.payloads) this.listeners.onFreed(payload)
    this.trimmer.release(this.released)
  }

  backlog (): JournalBacklog {
    return this.queue.backlog(this.options.now())
  }

  end (): void {
    this.ended = true
    this.wake()
  }

  async close (): Promise<void> {
    this.isClosed = true
    this.wake()
    await this.trimmer.close()
    for (const batch of this.queue.abandonBatches()) batch.committed('outcome_unknown')
  }

  protected wake (): void {
    this.taker.wake()
  }

  /** Queues a frame that is in the log; drops it if the ledger covers it. False: it is not held in memory. */
  protected enqueue (frame: Frame<LaneStream>): boolean {
    if (comparePositions(frame, this.released) > 0) return this.queue.push(frame)
    this.releasedRows += frame.rows
    // It is acknowledged only after this.
    queueMicrotask(() => frame.batch?.committed(null))
    return false
  }

  private cover (position: Position): void {
    this.entered = true
    this.released = later(this.released, position)
  }
}
