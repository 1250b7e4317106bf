/** What GET /feed says about the fleet as a whole, and the rates of the last five minutes for the chart. */
import { Ring } from './ring.js'

export interface Rates {
  readonly http: number
  readonly udp: number
}

export interface Quantiles {
  /** Seconds; null if nothing happened. */
  readonly p50_s: number | null
  readonly p99_s: number | null
}

export interface Worker {
  readonly slot: number
  readonly kind: string
  readonly state: string
  readonly restarts: number
  readonly database: string | null
  readonly waiting: number
}

/** The event `fleet`; counts are since the start of the server. */
export interface FleetTick {
  readonly time_ms: number
  readonly rates: { readonly now: Rates | null, readonly five_minutes: Rates | null }
  readonly points: Readonly<Record<string, number>>
  readonly latency: { readonly ack: Quantiles, readonly commit: Quantiles }
  readonly spool: {
    readonly kind: 'disk' | 'log' | 'memory'
    readonly bytes: number
    readonly limit_bytes: number | null
    readonly oldest_s: number | null
  }
  readonly udp: {
    readonly packets: number
    readonly sockets: readonly unknown[]
    readonly missing: number
    readonly kernel_drops: number | null
    readonly stale: number
    readonly shed: number
    readonly duplicates: number
    readonly denied: Readonly<Record<string, number>>
    readonly malformed: Readonly<Record<string, number>>
  }
  readonly database: {
    readonly kind: string
    readonly embedded: boolean
    readonly state: string
    readonly error: string | null
  }
  readonly workers: readonly Worker[]
}

const HISTORY_S = 300
const HISTORY_STEP_MS = 500
/** Without a tick for this long nothing is known of the time between: no connection, another view, a hidden tab. */
const GAP_MS = 2_000
const HISTORY_COLUMNS = ['http', 'udp', 'ack', 'commit'] as const

export class Fleet {
  tick: FleetTick | null = null
  /** Seconds; points/s by transport, and both latencies' 99th percentiles in seconds. */
  readonly history = new Ring(HISTORY_S * 1000 / HISTORY_STEP_MS, HISTORY_COLUMNS.length)

  add (tick: FleetTick): void {
    this.tick = tick
    const { rates: { now }, latency: { ack, commit }, time_ms: timeMs } = tick
    // The server's clock was set back: otherwise nothing would be shown until it is there again.
    if (timeMs < this.history.lastTime * 1000 - GAP_MS) this.history.clear()
    const sinceMs = timeMs - this.history.lastTime * 1000
    if (now === null || sinceMs < HISTORY_STEP_MS * 0.8) return
    if (sinceMs > GAP_MS && this.history.length > 0) {
      // The lines of the chart break.
      this.history.push(this.history.lastTime + HISTORY_STEP_MS / 2000, HISTORY_COLUMNS.map(() => null))
    }
    this.history.push(timeMs / 1000, [now.http, now.udp, ack.p99_s, commit.p99_s])
  }
}

/** The chart of a page that was just opened grows from this width, in seconds. */
const WINDOW_MIN_S = 30

/** What the charts of the history show. @param times in seconds */
export function windowOf (times: readonly number[]): { readonly from: number, readonly to: number } {
  const to = times.at(-1) ?? 0
  return { from: Math.max(to - HISTORY_S, Math.min(times[0] ?? 0, to - WINDOW_MIN_S)), to }
}

export interface Loss {
  readonly cause: string
  /** Null: not known. */
  readonly count: number | null
}

/** UDP packets that were lost or refused, by cause. */
export function udpLosses ({ udp }: FleetTick): Loss[] {
  const all = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)
  return [
    { cause: 'never arrived', count: udp.missing },
    { cause: 'dropped by the kernel', count: udp.kernel_drops },
    { cause: 'denied', count: all(udp.denied) },
    { cause: 'malformed', count: all(udp.malformed) },
    { cause: 'stale', count: udp.stale },
    { cause: 'shed', count: udp.shed }
  ]
}

/** Counters of points that were not stored, with words for people. */
const NOT_STORED = [
  ['rejected', 'invalid'], ['shed', 'refused at the hard limit'], ['quarantined', 'quarantined'],
  ['failed', 'failed to spool'], ['lost', 'lost']
] as const

export function notStored ({ points }: FleetTick): Loss[] {
  return NOT_STORED.map(([name, cause]) => ({ cause, count: points[name] ?? 0 })).filter(({ count }) => count > 0)
}
