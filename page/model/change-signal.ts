/** Tells whoever watches that something has changed, at most every INTERVAL_MS. */
const INTERVAL_MS = 250

export class Changes {
  private readonly watchers = new Set<() => void>()
  private timer: ReturnType<typeof setTimeout> | null = null
  private lastMs = -Infinity

  watch (watcher: () => void): () => void {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  /** Soon: what a feed brings. */
  note (): void {
    if (this.timer !== null) return
    const waitMs = Math.max(0, this.lastMs + INTERVAL_MS - performance.now())
    this.timer = setTimeout(() => this.now(), waitMs)
  }

  /** At once: what a user did. */
  now (): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.lastMs = performance.now()
    for (const watcher of this.watchers) watcher()
  }
}
