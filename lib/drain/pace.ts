/**
 * Time between transactions of one drain. A transaction costs a millisecond of processor time and two syncs however few
 * rows it has, so that without a pause a light load would cost as much as a heavy one. While somebody waits for a commit
 * there is none; and transactions that take longer than the interval follow one another at once.
 */

/** So long after the last one who waited, the next is expected. */
const HURRY_MS = 1_000

export class Pace {
  private beganMs = -Infinity
  private hurriedMs = -Infinity
  private wake: (() => void) | null = null

  constructor (private readonly intervalMs: number) {}

  /** Until the interval since the last transaction began is over, or somebody waits. */
  async pause (): Promise<void> {
    // A timer counts whole milliseconds and drops fractions: it may fire up to two milliseconds early.
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

  /** Milliseconds until the next transaction may begin; 0 and less: now. */
  private restMs (): number {
    const nowMs = performance.now()
    return nowMs - this.hurriedMs < HURRY_MS ? 0 : this.beganMs + this.intervalMs - nowMs
  }

  /** A transaction begins. */
  begin (): void {
    this.beganMs = performance.now()
  }

  /** Somebody waits for a commit. */
  hurry (): void {
    this.hurriedMs = performance.now()
    this.wake?.()
  }
}
