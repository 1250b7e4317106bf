/**
 * Gives out what is at the head of a queue of durable frames: waits for it, or has it read back first. Shared by the
 * journal on disk and those in the replicated log (lib/replicated/).
 */
import type { FrameRun } from '../journal/journal.js'
import type { Segment } from './format/segment.js'
import type { Container, Extent } from './frame.js'
import { isFrame, type FrameQueue } from './frame-queue.js'

export interface FrameSource<Place extends Container> {
  isClosed (): boolean
  /**
   * Called while the queue is empty: fetches more, or resolves when there may be more. False: nothing will come.
   * @param woken resolves when the wait must end
   */
  more (woken: Promise<true>): Promise<boolean>
  /** Puts frames of the extent at the head into the queue. */
  readBack (extent: Extent<Place>, bytesMax: number): Promise<void>
  /** Called with each run before it is given out. */
  took (run: FrameRun): void
}

export class Taker<Place extends Container = Segment> {
  /** Whether the ledger's position was accepted. */
  isResumed = false
  private taking = false
  private interrupted = false
  private wakeUp: () => void = () => {}

  constructor (private readonly queue: FrameQueue<Place>, private readonly source: FrameSource<Place>) {}

  /** As Journal.take says. Rejects if readBack does; it may then be called again. */
  async take (bytesMax: number): Promise<FrameRun | null> {
    if (!this.isResumed) throw new Error('take() before resume()')
    if (this.taking) throw new Error('take() during take()')
    this.taking = true
    try {
      for (;;) {
        if (this.interrupted || this.source.isClosed()) return null
        const next = this.queue.next()
        if (next === null) {
          if (!await this.source.more(this.woken())) return null
        } else if (isFrame(next)) {
          const run = this.queue.take(bytesMax)
          this.source.took(run)
          return run
        } else {
          await this.source.readBack(next, bytesMax)
        }
      }
    } finally {
      this.taking = false
      // If reading back failed, it was not seen; the next take() must wait.
      this.interrupted = false
    }
  }

  /** take() resolves with null. */
  interrupt (): void {
    if (!this.taking) return
    this.interrupted = true
    this.wake()
  }

  /** There may be something to take, or nothing more will come. */
  wake (): void {
    this.wakeUp()
  }

  private async woken (): Promise<true> {
    return await new Promise((resolve) => { this.wakeUp = () => { resolve(true) } })
  }
}
