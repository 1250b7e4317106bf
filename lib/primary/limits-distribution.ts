/**
 * Limits from the primary to its workers. Each worker confirms; a worker that starts gets the current limits with its
 * settings, so none ever serves without, and one that died while a change was under way needs no word of it.
 */
import type { NumberedLimits } from '../limits/limit-set.js'
import type { Slot, Slots } from './slots.js'

/** A worker that does not confirm within this time is shown with the version that it has. */
const CONFIRM_TIMEOUT_MS = 1_000
/** Time for which workers may differ before that is worth a mention on /health. */
const DIFFERENCE_MENTIONED_MS = 5_000

export interface WorkerVersion {
  readonly slot: number
  /** 0: the worker has none, since it is only starting. */
  readonly version: number
}

export class LimitsDistribution {
  private readonly waiters = new Set<() => void>()
  private differsSinceMs: number | null = null

  /** @param version of the limits that workers start with */
  constructor (private readonly slots: Slots, public version: number) {}

  send (limits: NumberedLimits): void {
    this.version = limits.version
    const { version, set } = limits
    for (const slot of this.slots.all) this.slots.send(slot, { type: 'limits', limits: { version, set } })
  }

  /** A worker confirmed, came or went. */
  changed (): void {
    for (const wake of [...this.waiters]) wake()
  }

  /** Resolves when every worker that serves judges by the current version, or after a second. */
  async confirmed (): Promise<WorkerVersion[]> {
    if (!this.agrees()) {
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          clearTimeout(timer)
          this.waiters.delete(wake)
          resolve()
        }
        const wake = (): void => { if (this.agrees()) settle() }
        const timer = setTimeout(settle, CONFIRM_TIMEOUT_MS)
        this.waiters.add(wake)
      })
    }
    return this.versions()
  }

  versions (): WorkerVersion[] {
    return this.slots.all.map(({ number, limitsVersion }) => ({ slot: number, version: limitsVersion }))
  }

  /** What is wrong, for /health; null if nothing is. Asked regularly: it is how the time of a difference is known. */
  complaint (): string | null {
    if (this.agrees()) {
      this.differsSinceMs = null
      return null
    }
    this.differsSinceMs ??= performance.now()
    if (performance.now() - this.differsSinceMs < DIFFERENCE_MENTIONED_MS) return null
    const late = this.serving().filter(({ limitsVersion }) => limitsVersion !== this.version).map(({ number }) => number)
    return `worker ${late.join(', ')} does not judge by the current limits (version ${this.version})`
  }

  private agrees (): boolean {
    return this.serving().every(({ limitsVersion }) => limitsVersion === this.version)
  }

  private serving (): Slot[] {
    return this.slots.all.filter(({ state }) => state === 'ready')
  }
}
