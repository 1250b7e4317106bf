/**
 * Reads something again whenever it may have changed: at once, but one read at a time, and a second apart at least: a
 * flood of gaps must not become a flood of queries. A read that fails is repeated.
 */
import { pause } from '../net/pause.js'

const APART_MS = 1_000
const FAILED_MS = 5_000

export class Refresh {
  private isDue = false
  private isRunning = false
  private readonly ended = new AbortController()

  /** @param read resolves with whether the server answered */
  constructor (private readonly read: (signal: AbortSignal) => Promise<boolean>) {}

  /** It may have changed. */
  readonly note = (): void => {
    this.isDue = true
    if (!this.isRunning) void this.run()
  }

  /** Ends a read under way; nothing is read any more. */
  close (): void {
    this.ended.abort()
  }

  private async run (): Promise<void> {
    const { signal } = this.ended
    this.isRunning = true
    while (this.isDue && !signal.aborted) {
      this.isDue = false
      const answered = await this.read(signal)
      if (!answered) this.isDue = true
      await pause(answered ? APART_MS : FAILED_MS, signal)
    }
    this.isRunning = false
  }
}
