/**
 * A piece of work whose result serves all who ask at about the same time: one is under way at most, and one waits.
 *
 * Who asks gets the result of a round that begins now, or when that under way is over: it has seen all that was done before. Only
 * when rounds were asked for faster than one in `ageMsMax`, and BURST in a row at that, a result counts that began at most
 * `ageMsMax` before, be it over or not. With 0 it always begins after the question.
 */
interface Round<T> {
  /** On the monotonic clock. */
  readonly begunMs: number
  readonly result: Promise<T>
}

/** Rounds in a row for a few who ask; they come back at one in `ageMsMax`. */
const BURST = 5

export class SharedRound<T> {
  /** Rounds that may begin at once, at the time `countedMs`. */
  private allowed = BURST
  private countedMs = performance.now()
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
    if (!this.mayBegin() && performance.now() - latest.begunMs < this.ageMsMax) return await latest.result
    if (!this.underWay) return await this.begin()
    this.next ??= latest.result.then(async () => await this.begin(), async () => await this.begin())
    return await this.next
  }

  private mayBegin (): boolean {
    const nowMs = performance.now()
    this.allowed = Math.min(BURST, this.allowed + (nowMs - this.countedMs) / Math.max(this.ageMsMax, 1))
    this.countedMs = nowMs
    return this.allowed >= 1
  }

  private async begin (): Promise<T> {
    this.underWay = true
    this.allowed--
    this.next = null
    const result = this.work().finally(() => { this.underWay = false })
    this.latest = { begunMs: performance.now(), result }
    return await result
  }
}
