/**
 * Exports under way in all workers: each holds a lease, so that together they use a bounded number of connections, and,
 * while points come in, a bounded share of the time.
 */

/** Of one processor, what all exports together may take while points come in. */
const BESIDE_POINTS_SHARE = 1 / 4
/** Points have come in this recently. The count is looked at once a second. */
const RECENT_MS = 3_000

export class ExportLeases<Holder> {
  private readonly held = new Map<Holder, number>()
  private received = 0
  private receivedMs = -Infinity

  constructor (private readonly most: number) {}

  /** False: all are taken. */
  grant (holder: Holder): boolean {
    if (this.taken >= this.most) return false
    this.held.set(holder, (this.held.get(holder) ?? 0) + 1)
    return true
  }

  release (holder: Holder): void {
    this.held.set(holder, Math.max(0, (this.held.get(holder) ?? 0) - 1))
  }

  /** The holder has died. */
  forget (holder: Holder): void {
    this.held.delete(holder)
  }

  /** @param received points so far @param nowMs on a monotonic clock */
  observe (received: number, nowMs: number): void {
    if (received !== this.received) this.receivedMs = nowMs
    this.received = received
  }

  /** Of its time, what each export may take; 1: no points come in. */
  share (nowMs: number): number {
    return nowMs - this.receivedMs > RECENT_MS ? 1 : BESIDE_POINTS_SHARE / Math.max(this.taken, 1)
  }

  /** Those that have exports under way. */
  get holders (): Holder[] {
    return [...this.held].filter(([, count]) => count > 0).map(([holder]) => holder)
  }

  private get taken (): number {
    return [...this.held.values()].reduce((sum, count) => sum + count, 0)
  }
}
