/**
 * Shows how a run goes: on a terminal one line that is written over each second, elsewhere a plain line each ten.
 *
 * It owns the latencies of the whole run: those of the transport are moved into them at each line, so that a line
 * shows the quantiles since the line before.
 */
import { Histogram } from './histogram.js'
import { count, milliseconds } from './summary.js'
import type { TransportStats } from './send/transport.js'

const TERMINAL_INTERVAL_MS = 1_000
const PLAIN_INTERVAL_MS = 10_000
const CLEAR_LINE = '\r\u001b[K'

/** What is needed of standard error. */
export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write (text: string): unknown
}

export interface ProgressSource {
  readonly stats: TransportStats
  elapsedMs (): number
  skippedPoints (): number
}

export class Progress {
  /** Of the whole run; complete after stop(). */
  readonly latencies = new Histogram()
  private readonly stream: ProgressStream
  private readonly source: ProgressSource
  private readonly timer: NodeJS.Timeout
  private lastSent = 0
  private lastMs = 0

  constructor (stream: ProgressStream, source: ProgressSource) {
    this.stream = stream
    this.source = source
    this.timer = setInterval(() => this.show(), stream.isTTY === true ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)
  }

  /** Ends the display and takes the last latencies. */
  stop (): void {
    clearInterval(this.timer)
    this.latencies.absorb(this.source.stats.latencies)
    if (this.stream.isTTY === true) this.stream.write(CLEAR_LINE)
  }

  private show (): void {
    const line = this.line()
    this.latencies.absorb(this.source.stats.latencies)
    if (this.stream.isTTY === true) this.stream.write(CLEAR_LINE + line.slice(0, (this.stream.columns ?? 80) - 1))
    else this.stream.write(line + '\n')
  }

  private line (): string {
    const { stats } = this.source
    const elapsedMs = this.source.elapsedMs()
    const rate = (stats.sentPoints - this.lastSent) / Math.max(elapsedMs - this.lastMs, 1) * 1000
    this.lastSent = stats.sentPoints
    this.lastMs = elapsedMs
    const quantile = (share: number): string => milliseconds(stats.latencies.quantile(share) / 1000)
    const skipped = this.source.skippedPoints()
    return [
      `${(elapsedMs / 1000).toFixed(0)} s`,
      `${count(Math.round(rate))} points/s`,
      ...(stats.answered ? [`p50 ${quantile(0.5)}`, `p99 ${quantile(0.99)}`] : []),
      `sent ${count(stats.sentPoints)}`,
      ...(stats.answered ? [`accepted ${count(stats.acceptedPoints)}`] : []),
      `failed ${count(stats.failedPoints)}`,
      ...(skipped === 0 ? [] : [`skipped ${count(skipped)}`])
    ].join('  ')
  }
}
