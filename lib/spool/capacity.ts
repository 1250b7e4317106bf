/**
 * How much more the spool may take: its share of the disk, the reserve of the file system, and a disk that has said no.
 * Asks the file system at intervals, never per append; in between it counts what is written. Gets over a full disk by
 * itself: each look that finds more than the reserve lets appends try again.
 */
import type { Files } from './files.js'

/** 'soft': slow the senders down. 'hard': take nothing. */
export type Pressure = 'none' | 'soft' | 'hard'

/** The part of a bound at which pressure becomes soft. */
const SOFT_PART = 0.8

export interface RoomOptions {
  readonly files: Files
  readonly directory: string
  /** Share of the disk. */
  readonly maxBytes: number
  /** Of batches that wait to be written. */
  readonly memoryMaxBytes: number
  readonly reserveBytes: number
}

export class Room {
  freeBytes = Number.POSITIVE_INFINITY
  private full = false
  private timer: NodeJS.Timeout | null = null
  private checking: Promise<void> | null = null

  /** @param onLooked called after each look: what is released may make way, what waits may go on */
  constructor (private readonly options: RoomOptions, private readonly onLooked: () => void) {}

  /** Looks at intervals until stop(). */
  start (intervalMs: number): void {
    this.timer = setInterval(() => this.checkSoon(), intervalMs).unref()
  }

  stop (): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }

  /** Asks the file system. A file system that cannot tell is not taken for a full one. */
  async check (): Promise<void> {
    this.checking ??= this.ask()
    await this.checking
  }

  /** As check(), for those who do not wait for it. */
  checkSoon (): void {
    this.check().catch(throwLater)
  }

  noteWritten (bytes: number): void {
    this.freeBytes -= bytes
  }

  /** The disk refused a write, or a batch found no room: nothing is taken until the next look. */
  noteFull (): void {
    this.full = true
  }

  /** @param bytes of a frame that is to be taken */
  takes (bytes: number, diskBytes: number, waitingBytes: number): boolean {
    const { maxBytes, memoryMaxBytes, reserveBytes } = this.options
    return !this.full && diskBytes + waitingBytes + bytes <= maxBytes && this.freeBytes - waitingBytes - bytes >= reserveBytes &&
      (waitingBytes === 0 || waitingBytes + bytes <= memoryMaxBytes)
  }

  pressure (diskBytes: number, waitingBytes: number): Pressure {
    const { maxBytes, memoryMaxBytes, reserveBytes } = this.options
    const free = this.freeBytes - waitingBytes
    if (this.full || free <= reserveBytes) return 'hard'
    const part = Math.max((diskBytes + waitingBytes) / maxBytes, waitingBytes / memoryMaxBytes, reserveBytes / free)
    return part >= 1 ? 'hard' : part >= SOFT_PART ? 'soft' : 'none'
  }

  /** Never rejects, unless onLooked throws. */
  private async ask (): Promise<void> {
    this.freeBytes = await this.options.files.freeBytes(this.options.directory).catch(() => Number.POSITIVE_INFINITY)
    this.checking = null
    if (this.freeBytes > this.options.reserveBytes) this.full = false
    this.onLooked()
  }
}

/** A programmer's error must not end in a promise that nobody looks at. */
function throwLater (error: unknown): void {
  setImmediate(() => { throw error })
}
