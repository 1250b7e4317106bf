/** Sums of the counters of all UDP workers, past and present: the `udp` of /health. */
import { MALFORMED_REASONS } from '../../../protocol/packet/packet.js'
import { DENIED_REASONS } from '../../ingress/udp/key-ring.js'
import type { UdpCounters } from '../../ingress/udp/dgram-listener.js'
import type { UdpReport } from '../../messages/messages.js'

type Numbers = { -readonly [K in Exclude<keyof UdpCounters, 'denied' | 'malformed' | 'kernelDrops'>]: number }

const NAMES = [
  'packets', 'bytes', 'taken', 'heartbeats', 'points', 'authenticated', 'rejectedPoints', 'duplicates',
  'duplicatePoints', 'stale', 'stalePoints', 'shed', 'shedPoints', 'gaps', 'late', 'restarts', 'strays', 'evicted'
] as const satisfies ReadonlyArray<keyof Numbers>

/** All sums by name, and the sockets. */
export interface UdpView {
  readonly points: number
  readonly missing: number
  readonly denied: UdpCounters['denied']
  readonly malformed: UdpCounters['malformed']
  readonly kernel_drops: number | null
  readonly sockets: readonly object[]
}

export class UdpTotals {
  private readonly numbers: Numbers
  private readonly denied: UdpCounters['denied']
  private readonly malformed: UdpCounters['malformed']
  /** Null: no kernel has reported it. */
  private kernelDrops: number | null = null
  private readonly sockets: object[] = []

  constructor () {
    this.numbers = Object.fromEntries(NAMES.map((name) => [name, 0])) as Numbers
    this.denied = Object.fromEntries(DENIED_REASONS.map((reason) => [reason, 0])) as UdpCounters['denied']
    this.malformed = Object.fromEntries(MALFORMED_REASONS.map((reason) => [reason, 0])) as UdpCounters['malformed']
  }

  add (counters: Readonly<UdpCounters>): void {
    for (const name of NAMES) this.numbers[name] += counters[name]
    for (const reason of DENIED_REASONS) this.denied[reason] += counters.denied[reason]
    for (const reason of MALFORMED_REASONS) this.malformed[reason] += counters.malformed[reason]
    if (counters.kernelDrops !== null) this.kernelDrops = (this.kernelDrops ?? 0) + counters.kernelDrops
  }

  /** The sums including running workers, as /health shows them. */
  view (reports: readonly UdpReport[]): UdpView {
    const sum = new UdpTotals()
    sum.add(this.counters())
    for (const { port, receiveBufferBytes, counters } of reports) {
      sum.add(counters)
      sum.sockets.push({ port, receive_buffer_bytes: receiveBufferBytes })
    }
    return sum.show()
  }

  private counters (): UdpCounters {
    const { numbers, denied, malformed, kernelDrops } = this
    return { ...numbers, denied, malformed, kernelDrops }
  }

  private show (): UdpView {
    const numbers = Object.fromEntries(NAMES.map((name) => [snakeCase(name), this.numbers[name]]))
    return {
      ...numbers,
      points: this.numbers.points,
      missing: this.numbers.gaps - this.numbers.late,
      denied: this.denied,
      malformed: this.malformed,
      kernel_drops: this.kernelDrops,
      sockets: this.sockets
    }
  }
}

function snakeCase (name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
