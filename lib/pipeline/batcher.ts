/**
 * The open batch of a worker, and who waits for it.
 *
 * States of a batch: open → closed (handed to the journal) → spooled → committed. It closes when it
 * has batchSize rows, when the journal is idle (at the end of the turn of the event loop, so that
 * requests that arrived together share it, or a few milliseconds later: gathering.ts), or batchTimeoutMs after its first
 * row at the latest.
 * Everyone who offered points is told once, at the stage that they asked for, or at the deadline (waiters.ts).
 */
import type { PointColumns } from '../../protocol/columns.js'
import type { PointSchema } from '../../protocol/schema.js'
import type { ErrorCode } from '../support/errors.js'
import type { AnomalyColumns } from '../limits/anomaly-columns.js'
import { AnomalyRowBuffer, pointAnomalyBytesMax } from './rows/anomaly-rows.js'
import { Gathering } from './gathering.js'
import type { Ack, AckLevel, OnAck } from './intake.js'
import type { ClosedBatch, Journal } from '../journal/journal.js'
import { PayloadRooms } from './rows/payload-buffers.js'
import { PAYLOAD_HEADER_BYTES, writePayloadHeader } from './rows/payload.js'
import { RowBuffer, rowBytesMax } from './rows/rows.js'
import { WaiterRegistry, Waiters } from './waiters.js'

export interface BatcherSettings {
  readonly batchSize: number
  readonly batchTimeoutMs: number
  /** Instead of ACK_DEADLINE_MS. */
  readonly ackDeadlineMs?: number
}

/**
 * Bytes of a batch at most, so that it fits a frame, a group and a segment of the spool, and one COPY, whatever a
 * body becomes with its anomalies (lib/primary/bounds.ts). A body that needs more goes into several batches.
 */
export const BATCH_BYTES_MAX = 4 * 1024 * 1024
/** What one point adds to a batch at most. */
export const pointBytesMax = (schema: PointSchema): number => rowBytesMax(schema) + pointAnomalyBytesMax(schema)

/** Rows expected in a first batch times their typical size. */
const FIRST_BUFFER_BYTES = 64 * 1024

/** One closed batch on its way through the journal. */
class PendingBatch implements ClosedBatch {
  constructor (
    public payload: Buffer,
    readonly rows: number,
    private readonly waiters: Waiters,
    private readonly batcher: Batcher,
    /** The payload once more if it holds anomalies: the journal may let go of its own before it is told of. */
    private anomalous: Buffer | null
  ) {}

  get awaitsCommit (): boolean {
    return this.waiters.awaitsCommit
  }

  spooled (error: ErrorCode | null): void {
    if (error !== null) this.batcher.onRefused(this.rows)
    else if (this.anomalous !== null) this.batcher.onAnomalies(this.anomalous)
    this.anomalous = null
    this.waiters.spooled(error)
  }

  committed (error: ErrorCode | null): void {
    this.waiters.committed(error)
  }
}

/** The answer to points that went into several batches: when the last has one, and honest if they differ. */
class PartedAck {
  private open = 0
  private kept = 0
  private onDisk = false
  private error: ErrorCode | null = null
  private sealed = false

  constructor (private readonly onAck: OnAck) {}

  next (): OnAck {
    this.open++
    return (ack) => {
      this.open--
      if (ack === null || ack === 'on_disk') this.kept++
      else this.error ??= ack
      if (ack === 'on_disk') this.onDisk = true
      this.settle()
    }
  }

  /** All parts are handed over. */
  seal (): void {
    this.sealed = true
    this.settle()
  }

  private settle (): void {
    if (!this.sealed || this.open > 0) return
    this.onAck(this.answer())
  }

  private answer (): Ack {
    if (this.error !== null) return this.kept > 0 ? 'outcome_unknown' : this.error
    return this.onDisk ? 'on_disk' : null
  }
}

export class Batcher {
  /** Rows of closed batches, for the histogram of batch sizes. */
  onClosed: (rows: number) => void = () => {}
  /** Points that the journal did not keep. */
  onRefused: (rows: number) => void = () => {}
  /** Payloads (payload.ts) that hold anomalies, as they become durable; only to be read. */
  onAnomalies: (payload: Buffer) => void = () => {}
  private readonly rooms = new PayloadRooms()
  private readonly open = new RowBuffer(FIRST_BUFFER_BYTES, PAYLOAD_HEADER_BYTES, this.rooms)
  private readonly anomalies: AnomalyRowBuffer
  private readonly pointBytesMax: number
  private readonly registry: WaiterRegistry
  private waiters: Waiters
  private readonly gathering = new Gathering()
  private timer: NodeJS.Timeout | null = null
  private closeIsDue = false

  constructor (private readonly journal: Journal, private readonly settings: BatcherSettings, schema: PointSchema) {
    this.anomalies = new AnomalyRowBuffer(schema)
    this.pointBytesMax = pointBytesMax(schema)
    journal.onIdle = () => this.journalIdle()
    journal.onFreed = (payload) => this.rooms.giveBack(payload)
    this.registry = new WaiterRegistry(settings.ackDeadlineMs)
    this.waiters = new Waiters(this.registry)
  }

  /** Requests that wait for a commit. */
  get committing (): number {
    return this.registry.committing
  }

  /** Points in the open batch. */
  get rows (): number {
    return this.open.rows
  }

  /**
   * Appends all points of the columns; the caller has asked for room before.
   * @param anomalies what was found in these columns; null: nothing
   */
  append (columns: PointColumns, anomalies: AnomalyColumns | null, ack: AckLevel, onAck: OnAck): void {
    if (this.freeBytes < columns.count * this.pointBytesMax) {
      this.appendInParts(columns, anomalies, ack, onAck)
      return
    }
    this.open.append(columns)
    if (anomalies !== null) this.anomalies.append(columns, anomalies)
    this.waiters.add(ack, onAck)
    this.gathering.appended(this.registry.underWay)
    this.schedule()
  }

  /** As many points at a time as fit whatever they are: what they really took shows how many more do. */
  private appendInParts (columns: PointColumns, anomalies: AnomalyColumns | null, ack: AckLevel, onAck: OnAck): void {
    const parts = new PartedAck(onAck)
    let anomaly = 0
    if (this.freeBytes < this.pointBytesMax) this.close()
    for (let first = 0; first < columns.count;) {
      const end = Math.min(columns.count, first + Math.floor(this.freeBytes / this.pointBytesMax))
      this.open.append(columns, first, end)
      if (anomalies !== null) anomaly = this.anomalies.append(columns, anomalies, anomaly, end)
      first = end
      if (first < columns.count && this.freeBytes >= this.pointBytesMax) continue
      this.waiters.add(ack, parts.next())
      if (first < columns.count) this.close()
      else this.schedule()
    }
    parts.seal()
    this.gathering.appended(this.registry.underWay)
  }

  /** What the open batch can still take. */
  private get freeBytes (): number {
    return BATCH_BYTES_MAX - this.open.bytes - this.anomalies.bytes
  }

  /** Hands the open batch over, if it holds anything. */
  close (): void {
    if (this.open.rows === 0) return
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const { rows } = this.open
    const anomalous = this.anomalies.rows > 0
    const payload = this.takePayload()
    const { waiters } = this
    const batch = new PendingBatch(payload, rows, waiters, this, anomalous ? payload : null)
    this.waiters = new Waiters(this.registry)
    this.registry.enter(waiters)
    this.gathering.closed(this.registry.underWay, performance.now())
    this.onClosed(rows)
    this.journal.append(batch)
  }

  private takePayload (): Buffer {
    const telemetryBytes = this.open.bytes - PAYLOAD_HEADER_BYTES
    const anomalyRows = this.anomalies.rows
    const payload = this.open.take(this.anomalies.take())
    writePayloadHeader(payload, telemetryBytes, anomalyRows)
    return payload
  }

  private schedule (): void {
    if (this.open.rows >= this.settings.batchSize) {
      this.close()
    } else if (!this.journal.idle) {
      this.timer ??= setTimeout(() => this.close(), this.settings.batchTimeoutMs)
    } else if (this.timer === null || this.gathering.isComplete(this.registry.underWay)) {
      this.closeSoon()
    }
  }

  /** At the end of this turn of the event loop, or when those who are expected have come. */
  private closeSoon (): void {
    if (this.closeIsDue) return
    this.closeIsDue = true
    setImmediate(() => {
      this.closeIsDue = false
      this.closeOrGather()
    })
  }

  private closeOrGather (): void {
    if (this.open.rows === 0) return
    const { batchTimeoutMs } = this.settings
    const restMs = this.journal.idle ? this.gathering.restMs(this.registry.underWay, performance.now()) : batchTimeoutMs
    if (restMs <= 0) this.close()
    else this.timer ??= setTimeout(() => this.close(), Math.min(restMs, batchTimeoutMs))
  }

  private journalIdle (): void {
    // The batch has waited as long as the group before took: its timer counts from its first row.
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.closeOrGather()
  }
}
