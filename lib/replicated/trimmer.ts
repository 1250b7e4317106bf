/**
 * Frees the space of frames that the ledger covers, at most once a second. The last message of a stream always stays:
 * its writer compares it with what it sent.
 */
import type { Position } from '../journal/journal.js'
import type { ReplicatedLog, StreamName } from './replicated-log.js'
import type { Timing } from './timing.js'

/** A frame's end in its stream. */
interface Milestone {
  readonly stream: StreamName
  readonly sequence: number
  /** Of its last message. */
  readonly position: number
  /** Of all messages of this lane so far. */
  readonly bytes: number
}

const TRIM_INTERVAL_MS = 1_000
/** Milestones for a full log: a few hundred kilobytes of memory. */
const MILESTONES_MAX = 4_096

export class Trimmer {
  private readonly milestones: Milestone[] = []
  private readonly strideBytes: number
  private addedBytes = 0
  private trimmedBytes = 0
  /** The newest frame. */
  private last: Milestone | null = null
  private released: Position = { epoch: 0, sequence: 0 }
  private isDue = false
  private isClosed = false
  private running: Promise<void> = Promise.resolve()

  constructor (private readonly log: ReplicatedLog, maxBytes: number, private readonly timing: Timing) {
    this.strideBytes = maxBytes / MILESTONES_MAX
  }

  /** Bytes in the log that were not freed yet. */
  get usedBytes (): number {
    return this.addedBytes - this.trimmedBytes
  }

  /** A frame is in the log. In order. */
  add (stream: StreamName, sequence: number, position: number, bytes: number): void {
    this.addedBytes += bytes
    const milestone = { stream, sequence, position, bytes: this.addedBytes }
    const before = this.milestones.at(-1)
    const isFar = this.addedBytes - (before?.bytes ?? 0) >= this.strideBytes
    if (isFar || before?.stream.epoch !== stream.epoch) this.milestones.push(milestone)
    this.last = milestone
  }

  /** The ledger covers frames up to here. */
  release (position: Position): void {
    this.released = position
    if (this.isDue) return
    this.isDue = true
    void this.timing.pause(TRIM_INTERVAL_MS).then(() => {
      this.isDue = false
      if (!this.isClosed) this.running = this.trim()
    })
  }

  async close (): Promise<void> {
    this.isClosed = true
    await this.running
  }

  /** Never rejects: what was not freed is freed with what comes later. */
  private async trim (): Promise<void> {
    const { epoch, sequence } = this.released
    const covers = (at: Milestone): boolean =>
      at.stream.epoch < epoch || (at.stream.epoch === epoch && at.sequence <= sequence)
    const covered = this.milestones.filter(covers)
    this.milestones.splice(0, covered.length)
    const target = this.last !== null && covers(this.last) ? this.last : covered.at(-1)
    if (target === undefined) return
    for (const old of new Set(covered.map(({ stream }) => stream))) {
      if (old.epoch < target.stream.epoch) await this.log.remove(old).catch(() => {})
    }
    // A position less: the last message stays.
    const through = target === this.last ? target.position - 1 : target.position
    if (through > 0) await this.log.trim(target.stream, through).catch(() => {})
    this.trimmedBytes = Math.max(this.trimmedBytes, target.bytes)
  }
}
