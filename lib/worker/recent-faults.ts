/** Faults that are over, or whose end nobody sees: each is shown for an hour after it was last noticed. */
const SHOWN_MS = 3_600_000
const FAULTS_MAX = 8

export class RecentFaults {
  /** When each was last noticed. */
  private readonly faults = new Map<string, number>()

  note (message: string): void {
    this.faults.delete(message)
    this.faults.set(message, performance.now())
    const oldest = this.faults.keys().next()
    if (this.faults.size > FAULTS_MAX && oldest.done !== true) this.faults.delete(oldest.value)
  }

  get messages (): readonly string[] {
    const sinceMs = performance.now() - SHOWN_MS
    return [...this.faults].filter(([, atMs]) => atMs >= sinceMs).map(([message]) => message)
  }
}
