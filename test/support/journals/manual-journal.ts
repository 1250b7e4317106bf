/** A journal driven step by step by the test: it keeps what is appended, and is idle when told to be. */
import { JournalListeners } from '../../../lib/journal/journal.js'
import type { ClosedBatch, FrameRun, Journal, JournalBacklog } from '../../../lib/journal/journal.js'
import type { Pressure } from '../../../lib/journal/pressure.js'

export class ManualJournal implements Journal {
  readonly spoolId = 'test/0'
  readonly releasedRows = 0
  readonly recoveredRows = 0
  readonly lostRows = 0
  idle = true
  readonly listeners = new JournalListeners()
  readonly batches: ClosedBatch[] = []
  pressureNow: Pressure = 'none'
  private wake: (() => void) | null = null

  interrupt (): void {
    this.wake?.()
  }

  append (batch: ClosedBatch): void {
    this.batches.push(batch)
    this.wake?.()
    this.wake = null
  }

  /** Resolves when `count` batches have been appended. */
  async holding (count: number): Promise<void> {
    while (this.batches.length < count) await new Promise<void>((resolve) => { this.wake = resolve })
  }

  becomeIdle (): void {
    this.idle = true
    this.listeners.onIdle()
  }

  pressure (): Pressure {
    return this.pressureNow
  }

  resume (): null {
    return null
  }

  take (): Promise<FrameRun | null> {
    return Promise.resolve(null)
  }

  release (): void {}

  backlog (): JournalBacklog {
    const rows = this.batches.reduce((sum, batch) => sum + batch.rows, 0)
    return { frames: this.batches.length, rows, bytes: 0, oldestMs: 0 }
  }

  end (): void {}

  close (): Promise<void> {
    return Promise.resolve()
  }
}
