/**
 * Work whose result is shared by all callers that ask at about the same time: at most one round runs, and one waits.
 *
 * A caller gets the result of a round that begins after the call: now, or once the running round is over. Only when
 * callers ask more often than once per `ageMsMax`, and have used up a burst of BURST rounds, do they get a round that
 * began up to `ageMsMax` earlier, finished or not. With 0 a round always begins after the call.
 */
interface Round<T> {
  /** On the monotonic clock. */
  readonly begunMs: number
  readonly result: Promise<T>
}

/** Rounds that may begin back to back; replenished at one per `ageMsMax`. */
const BURST = 5

export class SharedRound<T> {
  /** Rounds that may begin at `countedMs`. */
  private allowed = BURST
  private countedMs = performance.now()
  private latest: Round<T> | null = null
  private underWay = false
  private next: Promise<T> | null = null

  constructor (private readonly work: () => Promise<T>, private readonly ageMsMax: number) {}

  /** No caller waits for a result. */
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
