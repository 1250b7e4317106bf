/** Exports under way in all workers: each holds a lease, so that together they use a bounded number of connections. */
export class ExportLeases<Holder> {
  private readonly held = new Map<Holder, number>()

  constructor (private readonly most: number) {}

  /** False: all are taken. */
  grant (holder: Holder): boolean {
    const taken = [...this.held.values()].reduce((sum, count) => sum + count, 0)
    if (taken >= this.most) return false
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
}
