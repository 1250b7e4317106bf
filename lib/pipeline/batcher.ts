/**
 * The open batch of a worker's stream, and the requests that wait for it. All batchers of a worker share its journal.
 *
 * A batch is open, closed (handed to the journal), spooled, then committed. It closes
 *
 *   - when it has batchSize rows
 *   - when the journal is idle: at the end of the current turn of the event loop, so that requests that arrived
 *     together share it, or a few milliseconds later (gathering.ts)
 *   - batchTimeoutMs after its first row at the latest
 *
 * Every request is answered once, at the stage it asked for, or at the deadline (waiters.ts).
 */
import type { PointColumns } from '../../protocol/columns.js'
import type { Stream } from '../../protocol/catalogue.js'
import type { PointSchema } from '../../protocol/schema.js'
import type { ErrorCode } from '../support/errors.js'
import type { AnomalyColumns } from '../limits/anomaly-columns.js'
import { AnomalyRowBuffer, pointAnomalyBytesMax } from './rows/anomaly-rows.js'
import { Gathering } from './gathering.js'
import type { Ack, AckLevel, OnAck } from './intake.js'
import type { ClosedBatch, Journal } from '../journal/journal.js'
import { PayloadBuffers } from './rows/payload-buffers.js'
import { PAYLOAD_HEADER_BYTES, writePayloadHeader } from './rows/payload.js'
import { RowBuffer, rowBytesMax } from './rows/rows.js'
import { WaiterRegistry, Waiters } from './waiters.js'

export interface BatcherSettings {
  readonly batchSize: number
  readonly batchTimeoutMs: number
  /** Default: ACK_DEADLINE_MS. */
  readonly ackDeadlineMs?: number
}

/** What a batcher reports. */
export interface BatchListener {
  /** A batch of so many rows was closed: for the histogram of batch sizes. */
  onClosed? (rows: number): void
  /** The journal keeps these points, as durable as it makes them. */
  onKept? (rows: number): void
  /** The journal did not keep these points. */
  onRefused? (rows: number): void
  /** A payload (payload.ts) with anomalies has become durable. Read-only, and only during the call. */
  onAnomalies? (payload: Buffer): void
}

/**
 * Limits a batch so that it fits a frame, a group and a segment of the spool, and one COPY, whatever its anomalies add
 * (lib/primary/bounds.ts). A body that needs more is split over several batches.
 */
export const BATCH_BYTES_MAX = 4 * 1024 * 1024
/** The most that one point adds to a batch. */
export const pointBytesMax = (schema: PointSchema): number => rowBytesMax(schema) + pointAnomalyBytesMax(schema)

/** Expected rows of the first batch times their typical size. */
const FIRST_BUFFER_BYTES = 64 * 1024

/** One closed batch on its way through the journal. */
class PendingBatch implements ClosedBatch {
  constructor (
    public payload: Buffer,
    readonly rows: number,
    private readonly waiters: Waiters,
    private readonly listener: BatchListener,
    /** The payload again, if it has anomalies: the journal may drop its own before onAnomalies is called. */
    private anomalous: Buffer | null
  ) {}

  get awaitsCommit (): boolean {
    return this.waiters.awaitsCommit
  }

  spooled (error: ErrorCode | null): void {
    if (error === null) this.listener.onKept?.(this.rows)
    else this.listener.onRefused?.(this.rows)
    if (error === null && this.anomalous !== null) this.listener.onAnomalies?.(this.anomalous)
    this.anomalous = null
    this.waiters.spooled(error)
  }

  committed (error: ErrorCode | null): void {
    this.waiters.committed(error)
  }
}

/** Acknowledges points that went into several batches, once all of them were; tells the truth if they differ. */
class SplitAck {
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

  /** All parts were appended. */
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
  private readonly rooms = new PayloadBuffers()
  private readonly open = new RowBuffer(FIRST_BUFFER_BYTES, PAYLOAD_HEADER_BYTES, this.rooms)
  private readonly anomalies: AnomalyRowBuffer
  private readonly pointBytesMax: number
  private readonly registry: WaiterRegistry
  private waiters: Waiters
  private readonly gathering = new Gathering()
  private timer: NodeJS.Timeout | null = null
  private closeIsDue = false

  constructor (
    private readonly journal: Journal,
    private readonly settings: BatcherSettings,
    private readonly stream: Stream,
    private readonly listener: BatchListener = {}
  ) {
    this.anomalies = new AnomalyRowBuffer(stream)
    this.pointBytesMax = pointBytesMax(stream.schema)
    journal.listeners.add({ onIdle: () => this.journalIdle(), onFreed: (payload) => this.rooms.giveBack(payload) })
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
   * Appends all points of the columns. The caller has checked the journal's pressure.
   * @param anomalies those found in the columns, null if none
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

  /** Appends as many points at a time as fit at their largest; the bytes they actually took leave space for more. */
  private appendInParts (columns: PointColumns, anomalies: AnomalyColumns | null, ack: AckLevel, onAck: OnAck): void {
    const parts = new SplitAck(onAck)
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

  /** Space left in the open batch. */
  private get freeBytes (): number {
    return BATCH_BYTES_MAX - this.open.bytes - this.anomalies.bytes
  }

  /** Hands the open batch to the journal, unless it is empty. */
  close (): void {
    if (this.open.rows === 0) return
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const { rows } = this.open
    const anomalous = this.anomalies.rows > 0
    const payload = this.takePayload()
    const { waiters } = this
    const batch = new PendingBatch(payload, rows, waiters, this.listener, anomalous ? payload : null)
    this.waiters = new Waiters(this.registry)
    this.registry.enter(waiters)
    this.gathering.closed(this.registry.underWay, performance.now())
    this.listener.onClosed?.(rows)
    this.journal.append(batch)
  }

  private takePayload (): Buffer {
    const telemetryBytes = this.open.bytes - PAYLOAD_HEADER_BYTES
    const anomalyRows = this.anomalies.rows
    const payload = this.open.take(this.anomalies.take())
    writePayloadHeader(payload, { streamId: this.stream.id, telemetryBytes, anomalyRows })
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

  /** At the end of this turn of the event loop, or when the requests expected have arrived. */
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
    const gatherMs = (): number => this.gathering.restMs(this.registry.underWay, performance.now())
    const restMs = this.journal.idle ? gatherMs() : batchTimeoutMs
    if (restMs <= 0) this.close()
    else this.timer ??= setTimeout(() => this.close(), Math.min(restMs, batchTimeoutMs))
  }

  private journalIdle (): void {
    // The batch has waited as long as the previous group took. Its timer counts from its first row.
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    // The batch of another stream was closed just now: this one joins the next group, or it might never get its turn.
    if (this.journal.idle) this.closeOrGather()
    else this.close()
  }
}
