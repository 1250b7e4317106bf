/**
 * A piece of work whose result serves all who ask at about the same time: one is under way at most, and one waits.
 *
 * Who asks gets the result of a round that began at most `ageMsMax` before, be it over or not; else of the next one, which
 * begins when that under way is over. With 0 it always began after the question, so it has seen all that was done before.
 */
interface Round<T> {
  /** On the monotonic clock. */
  readonly begunMs: number
  readonly result: Promise<T>
}

export class SharedRound<T> {
  private latest: Round<T> | null = null
  private underWay = false
  private next: Promise<T> | null = null

  constructor (private readonly work: () => Promise<T>, private readonly ageMsMax: number) {}

  /** Nobody waits for a result. */
  get idle (): boolean {
    return !this.underWay && this.next === null
  }

  async get (): Promise<T> {
    const { latest } = this
    if (latest === null) return await this.begin()
    if (performance.now() - latest.begunMs < this.ageMsMax) return await latest.result
    if (!this.underWay) return await this.begin()
    this.next ??= latest.result.then(async () => await this.begin(), async () => await this.begin())
    return await this.next
  }

  private async begin (): Promise<T> {
    this.underWay = true
    this.next = null
    const result = this.work().finally(() => { this.underWay = false })
    this.latest = { begunMs: performance.now(), result }
    return await result
  }
}
