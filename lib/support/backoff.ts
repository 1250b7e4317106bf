/** Delays between attempts, doubling from least to most, with up to 25% jitter so that processes spread out. */
export class Backoff {
  private nextMs: number
  private timer: NodeJS.Timeout | null = null
  private wake: (() => void) | null = null

  constructor (private readonly leastMs: number, private readonly mostMs: number) {
    this.nextMs = leastMs
  }

  /** Waits for the next, longer delay. Ends early when cancel() is called. */
  async wait (): Promise<void> {
    const delayMs = this.nextMs * (0.75 + Math.random() / 4)
    this.nextMs = Math.min(this.nextMs * 2, this.mostMs)
    await new Promise<void>((resolve) => {
      this.wake = resolve
      this.timer = setTimeout(resolve, delayMs)
    })
  }

  /** Call after a success: restarts from the shortest delay. */
  reset (): void {
    this.nextMs = this.leastMs
  }

  cancel (): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.wake?.()
  }
}
