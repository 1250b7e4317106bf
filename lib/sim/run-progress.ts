/**
 * Shows the progress of a run: on a terminal one line, rewritten every second; elsewhere a plain line every ten.
 *
 * Owns what the run is judged by, which begins after its warm-up. Each line moves the latencies of the transport there,
 * so that a line shows the percentiles since the previous one.
 */
import { createLatencies } from './histogram.js'
import { milliseconds, type Counted } from './summary.js'
import { formatCount } from '../config/setting-types.js'
import type { TransportStats } from './send/transport.js'

const TERMINAL_INTERVAL_MS = 1_000
const PLAIN_INTERVAL_MS = 10_000
const CLEAR_LINE = '\r\u001b[K'

/** The part of standard error that is used. */
export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write (text: string): unknown
}

export interface ProgressSource {
  readonly stats: TransportStats
  /** See pacer.ts. */
  readonly warmUpMs: number
  elapsedMs (): number
  skippedPoints (): number
}

export class Progress {
  /** What the run is judged by. */
  readonly counted: Counted = { latencies: createLatencies(), fromMs: 0, pointsBefore: 0 }
  private readonly stream: ProgressStream
  private readonly source: ProgressSource
  private readonly timer: NodeJS.Timeout
  private readonly warmUpTimer: NodeJS.Timeout | null
  private lastSent = 0
  private lastMs = 0

  constructor (stream: ProgressStream, source: ProgressSource) {
    this.stream = stream
    this.source = source
    this.timer = setInterval(() => this.show(), stream.isTTY === true ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)
    this.warmUpTimer = source.warmUpMs === 0 ? null : setTimeout(() => this.count(), source.warmUpMs)
  }

  /** Sending was stopped: if the warm-up is not over, it counts. */
  stopped (): void {
    if (this.warmUpTimer !== null) clearTimeout(this.warmUpTimer)
  }

  /** Ends the display and takes the last latencies. */
  stop (): void {
    clearInterval(this.timer)
    this.stopped()
    this.takeLatencies()
    if (this.stream.isTTY === true) this.stream.write(CLEAR_LINE)
  }

  private count (): void {
    const { counted, source } = this
    counted.fromMs = source.elapsedMs()
    counted.pointsBefore = source.stats.sentPoints
    counted.latencies.reset()
    source.stats.latencies.reset()
  }

  private show (): void {
    const line = this.line()
    this.takeLatencies()
    if (this.stream.isTTY === true) this.stream.write(CLEAR_LINE + line.slice(0, (this.stream.columns ?? 80) - 1))
    else this.stream.write(line + '\n')
  }

  private takeLatencies (): void {
    const { latencies } = this.source.stats
    this.counted.latencies.add(latencies)
    latencies.reset()
  }

  private line (): string {
    const { stats } = this.source
    const elapsedMs = this.source.elapsedMs()
    const rate = (stats.sentPoints - this.lastSent) / Math.max(elapsedMs - this.lastMs, 1) * 1000
    this.lastSent = stats.sentPoints
    this.lastMs = elapsedMs
    const percentile = (percent: number): string => milliseconds(stats.latencies.percentile(percent) / 1000)
    const skipped = this.source.skippedPoints()
    return [
      `${(elapsedMs / 1000).toFixed(0)} s`,
      `${formatCount(Math.round(rate))} points/s`,
      ...(stats.answered ? [`p50 ${percentile(50)}`, `p99 ${percentile(99)}`] : []),
      `sent ${formatCount(stats.sentPoints)}`,
      ...(stats.answered ? [`accepted ${formatCount(stats.acceptedPoints)}`] : []),
      `failed ${formatCount(stats.failedPoints)}`,
      ...(skipped === 0 ? [] : [`skipped ${formatCount(skipped)}`])
    ].join('  ')
  }
}
