/**
 * The open batch of a worker, and who waits for it.
 *
 * States of a batch: open → closed (handed to the journal) → spooled → committed. It closes when it
 * has batchSize rows, when the journal is idle (at the end of the turn of the event loop, so that
 * requests that arrived together share it), or batchTimeoutMs after its first row at the latest.
 * Everyone who offered points is told once, at the stage that they asked for.
 */
import type { PointColumns } from '../../protocol/columns.js'
import type { ErrorCode } from '../errors.js'
import type { AckLevel, OnAck } from './intake.js'
import type { ClosedBatch, Journal } from './journal.js'
import { RowBuffer } from './rows.js'

export interface BatcherSettings {
  readonly batchSize: number
  readonly batchTimeoutMs: number
}

/** Rows expected in a first batch times their typical size. */
const FIRST_BUFFER_BYTES = 64 * 1024

/** One closed batch on its way through the journal. */
class PendingBatch implements ClosedBatch {
  constructor (
    public payload: Buffer,
    readonly rows: number,
    private readonly spooledWaiters: readonly OnAck[],
    private readonly committedWaiters: readonly OnAck[],
    private readonly onRefused: (rows: number) => void
  ) {}

  get awaitsCommit (): boolean {
    return this.committedWaiters.length > 0
  }

  spooled (error: ErrorCode | null): void {
    if (error !== null) this.onRefused(this.rows)
    for (const onAck of this.spooledWaiters) onAck(error)
    if (error !== null) this.committed(error)
  }

  committed (error: ErrorCode | null): void {
    for (const onAck of this.committedWaiters) onAck(error)
  }
}

export class Batcher {
  /** Rows of closed batches, for the histogram of batch sizes. */
  onClosed: (rows: number) => void = () => {}
  /** Points that the journal did not keep. */
  onRefused: (rows: number) => void = () => {}
  private readonly open: RowBuffer
  private spooledWaiters: OnAck[] = []
  private committedWaiters: OnAck[] = []
  private timer: NodeJS.Timeout | null = null
  private closeIsDue = false

  constructor (private readonly journal: Journal, private readonly settings: BatcherSettings) {
    this.open = new RowBuffer(FIRST_BUFFER_BYTES)
    journal.onIdle = () => this.close()
  }

  /** Points in the open batch. */
  get rows (): number {
    return this.open.rows
  }

  /** Appends all points of the columns; the caller has asked for room before. */
  append (columns: PointColumns, ack: AckLevel, onAck: OnAck): void {
    this.open.append(columns)
    if (ack === 'spooled') this.spooledWaiters.push(onAck)
    else if (ack === 'committed') this.committedWaiters.push(onAck)
    else onAck(null)
    this.schedule()
  }

  /** Hands the open batch over, if it holds anything. */
  close (): void {
    if (this.open.rows === 0) return
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const rows = this.open.rows
    const batch = new PendingBatch(this.open.take(), rows, this.spooledWaiters, this.committedWaiters, this.onRefused)
    this.spooledWaiters = []
    this.committedWaiters = []
    this.onClosed(rows)
    this.journal.append(batch)
  }

  private schedule (): void {
    if (this.open.rows >= this.settings.batchSize) {
      this.close()
    } else if (this.journal.idle) {
      if (this.closeIsDue) return
      this.closeIsDue = true
      setImmediate(() => {
        this.closeIsDue = false
        this.close()
      })
    } else {
      this.timer ??= setTimeout(() => this.close(), this.settings.batchTimeoutMs)
    }
  }
}
