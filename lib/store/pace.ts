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
    const nowMs = performance.now()
    const restMs = this.beganMs + this.intervalMs - nowMs
    if (restMs <= 0 || nowMs - this.hurriedMs < HURRY_MS) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, restMs)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.wake = null
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
