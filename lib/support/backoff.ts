/** Waiting times between tries: doubled from least to most, with up to a quarter of chance so that processes spread out. */
export class Backoff {
  private nextMs: number
  private timer: NodeJS.Timeout | null = null
  private wake: (() => void) | null = null

  constructor (private readonly leastMs: number, private readonly mostMs: number) {
    this.nextMs = leastMs
  }

  /** Waits for the next, longer time. Ends early when cancel() is called. */
  async wait (): Promise<void> {
    const delayMs = this.nextMs * (0.75 + Math.random() / 4)
    this.nextMs = Math.min(this.nextMs * 2, this.mostMs)
    await new Promise<void>((resolve) => {
      this.wake = resolve
      this.timer = setTimeout(resolve, delayMs)
    })
  }

  /** All is well again: begin with the least time. */
  reset (): void {
    this.nextMs = this.leastMs
  }

  cancel (): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.wake?.()
  }
}
