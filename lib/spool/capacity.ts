/**
 * How much more the spool may accept: its share of the disk, the reserve of the file system, and whether a write found
 * the disk full. Asks the file system at intervals, never per append, and counts what is written in between. Recovers
 * from a full disk by itself: each check that finds more than the reserve lets appends try again.
 */
import { pressureOf, type Pressure } from '../journal/pressure.js'
import type { Files } from './file-system.js'

export interface CapacityOptions {
  readonly files: Files
  readonly directory: string
  /** This spool's share of the disk. */
  readonly maxBytes: number
  /** Bound on batches waiting to be written. */
  readonly memoryMaxBytes: number
  readonly reserveBytes: number
}

export class Capacity {
  freeBytes = Number.POSITIVE_INFINITY
  private full = false
  private timer: NodeJS.Timeout | null = null
  private checking: Promise<void> | null = null

  /** @param onLooked called after each check: released segments may be removed, waiting batches written */
  constructor (private readonly options: CapacityOptions, private readonly onLooked: () => void) {}

  /** Checks at intervals until stop(). */
  start (intervalMs: number): void {
    this.timer = setInterval(() => this.checkSoon(), intervalMs).unref()
  }

  stop (): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }

  /** Asks the file system. If that fails, it is not taken to be full. */
  async check (): Promise<void> {
    this.checking ??= this.ask()
    await this.checking
  }

  /** As check(), without waiting for it. */
  checkSoon (): void {
    this.check().catch(throwLater)
  }

  noteWritten (bytes: number): void {
    this.freeBytes -= bytes
  }

  /** A write or a batch did not fit: everything is refused until the next check. */
  noteFull (): void {
    this.full = true
  }

  /** @param bytes of the new frame */
  takes (bytes: number, diskBytes: number, waitingBytes: number): boolean {
    const { maxBytes, memoryMaxBytes, reserveBytes } = this.options
    if (this.full || diskBytes + waitingBytes + bytes > maxBytes) return false
    if (this.freeBytes - waitingBytes - bytes < reserveBytes) return false
    return waitingBytes === 0 || waitingBytes + bytes <= memoryMaxBytes
  }

  pressure (diskBytes: number, waitingBytes: number): Pressure {
    const { maxBytes, memoryMaxBytes, reserveBytes } = this.options
    const free = this.freeBytes - waitingBytes
    if (this.full || free <= reserveBytes) return 'hard'
    const part = Math.max((diskBytes + waitingBytes) / maxBytes, waitingBytes / memoryMaxBytes, reserveBytes / free)
    return pressureOf(part, 1)
  }

  /** Never rejects, unless onLooked throws. */
  private async ask (): Promise<void> {
    this.freeBytes = await this.options.files.freeBytes(this.options.directory).catch(() => Number.POSITIVE_INFINITY)
    this.checking = null
    if (this.freeBytes > this.options.reserveBytes) this.full = false
    this.onLooked()
  }
}

/** A programming error must not vanish in an unobserved promise. */
function throwLater (error: unknown): void {
  setImmediate(() => { throw error })
}
