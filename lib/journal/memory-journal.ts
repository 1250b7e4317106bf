/**
 * The journal without a disk: frames stay in memory until they are committed.
 *
 * "Spooled" is reported together with "committed", so a 202 still means that the points are on disk, the database's.
 * Idle only while empty, so batches grow while a transaction is under way.
 */
import { randomBytes } from 'node:crypto'
import type { ErrorCode } from '../support/errors.js'
import { JournalListeners } from './journal.js'
import type {
  ClosedBatch, FrameRun, Journal, JournalBacklog, LedgerFault, LedgerPosition, Position
} from './journal.js'
import { pressureOf, type Pressure } from './pressure.js'

interface MemoryFrame {
  readonly batch: ClosedBatch
  readonly appendedAtMs: number
}

export interface MemoryJournalSettings {
  readonly spoolId: string
  /** Must be higher than any earlier epoch of this slot. */
  readonly epoch: number
  readonly bytesMax: number
}

export class MemoryJournal implements Journal {
  readonly spoolId: string
  readonly recoveredRows = 0
  readonly lostRows = 0
  releasedRows = 0
  readonly listeners = new JournalListeners()
  private readonly epochId = randomBytes(16).toString('hex')
  private readonly frames: MemoryFrame[] = []
  /** Sequence of frames[0]. */
  private firstSequence = 1
  /** Frames at the head that were handed out and not yet released. */
  private takenCount = 0
  private bytes = 0
  private rows = 0
  private ended = false
  private interrupted = false
  private wakeTaker: (() => void) | null = null

  constructor (private readonly settings: MemoryJournalSettings) {
    this.spoolId = settings.spoolId
  }

  get idle (): boolean {
    return this.frames.length === 0
  }

  append (batch: ClosedBatch): void {
    if (this.ended) {
      batch.spooled('shutting_down')
      return
    }
    this.frames.push({ batch, appendedAtMs: performance.now() })
    this.bytes += batch.payload.length
    this.rows += batch.rows
    // Only the commit makes it safe.
    this.listeners.onAwaited()
    this.wakeTaker?.()
  }

  pressure (): Pressure {
    return pressureOf(this.bytes, this.settings.bytesMax)
  }

  resume (position: LedgerPosition | null): LedgerFault | null {
    this.takenCount = 0
    const { epoch } = this.settings
    const isOwnEpoch = position?.epoch === epoch
    const isForeign = isOwnEpoch && position.epochId !== null && position.epochId !== this.epochId
    const released = this.firstSequence - 1
    const shown = isOwnEpoch ? position.sequence : 0
    if (isForeign || (position?.epoch ?? 0) > epoch || shown > released + this.frames.length) {
      return this.fault('ledger_ahead', position, 'which this process never wrote',
        'Another process uses the same DATA_DIR with this database. Stop one of them.')
    }
    if (shown < released) {
      return this.fault(position === null ? 'ledger_missing' : 'ledger_behind', position,
        `though frame ${released} was committed`,
        'The database was restored or replaced. Check DATABASE_URL; a restart continues with new points.')
    }
    this.releaseThrough(shown)
    return null
  }

  async take (bytesMax: number): Promise<FrameRun | null> {
    while (this.takenCount >= this.frames.length) {
      if (this.ended || this.interrupted) {
        this.interrupted = false
        return null
      }
      await new Promise<void>((resolve) => { this.wakeTaker = resolve })
      this.wakeTaker = null
    }
    // It may have come in the same moment as a frame; the next take() must wait.
    this.interrupted = false
    return this.takeRun(bytesMax)
  }

  interrupt (): void {
    if (this.wakeTaker === null) return
    this.interrupted = true
    this.wakeTaker()
  }

  release (run: FrameRun): void {
    this.releaseThrough(run.lastSequence)
  }

  backlog (): JournalBacklog {
    const oldest = this.frames[0]
    return {
      frames: this.frames.length,
      rows: this.rows,
      bytes: this.bytes,
      oldestMs: oldest === undefined ? 0 : performance.now() - oldest.appendedAtMs
    }
  }

  end (): void {
    this.ended = true
    this.wakeTaker?.()
  }

  async close (): Promise<void> {
    this.end()
    await Promise.resolve()
    this.settleHead(this.frames.length, 'outcome_unknown')
    this.takenCount = 0
  }

  private fault (
    kind: LedgerFault['kind'], position: Position | null, finding: string, advice: string
  ): LedgerFault {
    const shown = position === null ? 'has no row' : `shows epoch ${position.epoch}, frame ${position.sequence}`
    const found = `The ledger ${shown} for ${this.spoolId}, ${finding}.`
    return { kind, found, message: `${found} ${advice}` }
  }

  private takeRun (bytesMax: number): FrameRun {
    const first = this.takenCount
    const payloads: Buffer[] = []
    let rows = 0
    let bytes = 0
    for (let next = this.frames[first]; next !== undefined; next = this.frames[first + payloads.length]) {
      if (payloads.length > 0 && bytes + next.batch.payload.length > bytesMax) break
      payloads.push(next.batch.payload)
      bytes += next.batch.payload.length
      rows += next.batch.rows
    }
    this.takenCount = first + payloads.length
    const firstSequence = this.firstSequence + first
    const { epochId, settings: { epoch } } = this
    const lastSequence = firstSequence + payloads.length - 1
    return { epoch, epochId, firstSequence, lastSequence, payloads, rows, bytes }
  }

  private releaseThrough (sequence: number): void {
    const count = sequence - this.firstSequence + 1
    if (count <= 0) return
    this.takenCount = Math.max(0, this.takenCount - count)
    this.settleHead(count, null)
    this.firstSequence += count
    if (this.frames.length === 0 && !this.ended) this.listeners.onIdle()
  }

  private settleHead (count: number, error: ErrorCode | null): void {
    for (const { batch } of this.frames.splice(0, count)) {
      this.bytes -= batch.payload.length
      this.rows -= batch.rows
      if (error === null) this.releasedRows += batch.rows
      batch.spooled(error)
      // After giving up, a drain may still be reading the payload.
      if (error !== null) continue
      batch.committed(null)
      this.listeners.onFreed(batch.payload)
    }
  }
}
