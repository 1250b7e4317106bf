/**
 * The server's clock, as its feed reports it, continued by the browser's monotonic clock: this machine's own clock may
 * be wrong, or be set.
 */

/** A larger jump means that the server's clock was set. */
const STEP_MS = 2_000

export class ServerClock {
  private timeMs = Date.now()
  private setMs: number
  private lastMs = -Infinity

  /** @param monotonicMs replaced in tests */
  constructor (private readonly monotonicMs: () => number = () => performance.now()) {
    this.setMs = monotonicMs()
  }

  get nowMs (): number {
    return this.timeMs + this.monotonicMs() - this.setMs
  }

  /** What the server says at the beginning of a feed. */
  set (timeMs: number): void {
    this.timeMs = timeMs
    this.setMs = this.monotonicMs()
    this.lastMs = timeMs
  }

  /** What it says later. Events may come late, but never early, and each is later than the one before. */
  hear (timeMs: number): void {
    const wasSet = timeMs > this.nowMs + STEP_MS || timeMs < this.lastMs - STEP_MS
    if (wasSet) this.set(timeMs)
    this.lastMs = timeMs
  }
}
