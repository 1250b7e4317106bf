/**
 * The pause between a drain's transactions. A transaction costs a millisecond of CPU time and two syncs however few
 * rows it has, so without a pause a light load would cost as much as a heavy one. There is no pause while somebody
 * waits for a commit, or if transactions take longer than the interval.
 */

/** A sender that waits for a commit is likely to be followed by another within this time. */
const HURRY_MS = 1_000

export class Pace {
  private beganMs = -Infinity
  private hurriedMs = -Infinity
  private wake: (() => void) | null = null

  constructor (private readonly intervalMs: number) {}

  /** Resolves once the interval since the start of the last transaction is over, or somebody waits. */
  async pause (): Promise<void> {
    // Timers count whole milliseconds and drop fractions: they may fire up to two milliseconds early.
    for (let restMs = this.restMs(); restMs > 0; restMs = this.restMs()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.ceil(restMs))
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.wake = null
    }
  }

  /** Milliseconds until the next transaction may begin; 0 or less: now. */
  private restMs (): number {
    const nowMs = performance.now()
    return nowMs - this.hurriedMs < HURRY_MS ? 0 : this.beganMs + this.intervalMs - nowMs
  }

  /** Call when a transaction begins. */
  begin (): void {
    this.beganMs = performance.now()
  }

  /** Call when somebody waits for a commit. */
  hurry (): void {
    this.hurriedMs = performance.now()
    this.wake?.()
  }
}
