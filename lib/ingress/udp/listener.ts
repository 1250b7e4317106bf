/**
 * The UDP listener: datagrams in, points offered to the pipeline, everything else counted with its cause.
 *
 *   datagram → decode → place in the sender's sequence → room? → offer
 *                │              │                          │
 *            malformed   duplicate, stale                shed
 *
 * Nothing is ever answered. Every packet ends in exactly one counter:
 *
 *   packets = taken + malformed (all reasons) + duplicates + stale + shed
 *
 * The hot path makes no object per packet beyond those of dgram.
 */
import type { Socket } from 'node:dgram'
import type { ErrorCode } from '../../support/errors.js'
import type { Ack, Intake } from '../../pipeline/intake.js'
import { MALFORMED_REASONS, decodePacket, type MalformedPacket, type MalformedReason } from '../../../protocol/packet/packet.js'
import { bindUdp } from './bind.js'
import { KernelDrops } from './kernel-drops.js'
import { SenderTable, type SenderPage, type SequenceTotals, type Verdict } from './senders.js'

/** How often the kernel is asked what it dropped. */
const KERNEL_DROPS_INTERVAL_MS = 1_000
/** Longest time that is spent on what the kernel holds when the listener is about to close. */
const CATCH_UP_MS = 500

export interface UdpSettings {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Asked of the kernel, which may give less: see receiveBufferBytes of the listener. */
  readonly receiveBufferBytes: number
  /** Senders accounted for at once. */
  readonly sendersMax?: number
}

/** Where warnings go; a pino logger is one. */
export interface UdpLog {
  warn (message: string): void
}

/** Plain numbers that only grow, in packets unless the name says points or bytes. */
export interface UdpCounters extends SequenceTotals {
  packets: number
  bytes: number
  /** Packets whose points the pipeline took; heartbeats too. */
  taken: number
  heartbeats: number
  /** Points that the pipeline took. */
  points: number
  malformed: Record<MalformedReason, number>
  /** Points of malformed packets, as far as they could be counted. */
  rejectedPoints: number
  duplicatePoints: number
  stalePoints: number
  /** Dropped for want of room. */
  shed: number
  shedPoints: number
  /** Dropped by the kernel before they could be read; null if it does not say. */
  kernelDrops: number | null
}

export interface UdpListener {
  readonly port: number
  /** What the kernel gave, without its own doubling. */
  readonly receiveBufferBytes: number
  counters (): UdpCounters
  /** Asks the kernel now, for counters that are fresh; without it they are up to a second old. */
  refreshKernelDrops (): Promise<void>
  /** A page of senders, by name; with a name, that sender alone. */
  listSenders (offset: number, limit: number, name?: string | null): SenderPage
  /** Takes what the kernel has received already, for a moment at most: nobody sends it again. */
  catchUp (): Promise<void>
  /** Stops receiving; resolves when the socket is closed. */
  close (): Promise<void>
}

/**
 * Opens the socket. Rejects with a sentence for people if the address cannot be had (the system's error is its cause).
 */
export async function listenUdp (settings: UdpSettings, intake: Intake, log: UdpLog): Promise<UdpListener> {
  return new DgramListener(await bindUdp(settings.host, settings.port), settings, intake, log)
}

/** Asks for a receive buffer and says what the kernel gave; warns if that is less. */
function setReceiveBuffer (socket: Socket, wantedBytes: number, log: UdpLog): number {
  try {
    socket.setRecvBufferSize(wantedBytes)
  } catch {
    // Some systems refuse instead of giving less; what there is now is read back below.
  }
  // Linux doubles what it gives, for its own bookkeeping (socket(7)), and reports the double.
  const givenBytes = socket.getRecvBufferSize() / (process.platform === 'linux' ? 2 : 1)
  if (givenBytes < wantedBytes) {
    log.warn(`The kernel gives the UDP socket a receive buffer of ${givenBytes} bytes instead of ${wantedBytes}; ` +
      `packets are lost sooner when many come at once. To raise it: sudo sysctl -w net.core.rmem_max=${wantedBytes}`)
  }
  return givenBytes
}

class DgramListener implements UdpListener {
  readonly port: number
  readonly receiveBufferBytes: number
  private readonly count = {
    packets: 0,
    bytes: 0,
    taken: 0,
    heartbeats: 0,
    points: 0,
    malformed: Object.fromEntries(MALFORMED_REASONS.map(reason => [reason, 0])) as Record<MalformedReason, number>,
    rejectedPoints: 0,
    duplicatePoints: 0,
    stalePoints: 0,
    shed: 0,
    shedPoints: 0,
    kernelDrops: null as number | null
  }

  private readonly senders: SenderTable
  private readonly kernelDrops: KernelDrops
  private readonly timer: NodeJS.Timeout
  private offerError: Ack = null
  private closing: Promise<void> | null = null

  constructor (private readonly socket: Socket, settings: UdpSettings, private readonly intake: Intake, log: UdpLog) {
    this.port = socket.address().port
    this.receiveBufferBytes = setReceiveBuffer(socket, settings.receiveBufferBytes, log)
    this.senders = new SenderTable(settings.sendersMax)
    this.kernelDrops = new KernelDrops(this.port)
    // It does not reject: where the kernel says nothing the count stays null.
    this.timer = setInterval(() => { this.refreshKernelDrops().catch(() => {}) }, KERNEL_DROPS_INTERVAL_MS)
    this.timer.unref()
    socket.on('message', (bytes, { address }) => { this.receive(bytes, address) })
    // A receive that failed; the socket stays open, and an error without a listener would end the process.
    socket.on('error', error => { log.warn(`Receiving on UDP port ${this.port} failed: ${error.message}`) })
  }

  counters (): UdpCounters {
    return { ...this.count, malformed: { ...this.count.malformed }, ...this.senders.totals }
  }

  async refreshKernelDrops (): Promise<void> {
    const drops = await this.kernelDrops.read()
    // Two reads may end in the wrong order, and the last one may come after the socket has gone.
    if (drops !== null) this.count.kernelDrops = Math.max(drops, this.count.kernelDrops ?? 0)
  }

  listSenders (offset: number, limit: number, name: string | null = null): SenderPage {
    return this.senders.list(offset, limit, name)
  }

  async catchUp (): Promise<void> {
    const untilMs = performance.now() + CATCH_UP_MS
    let before = -1
    // A turn of the event loop reads what is there, up to a bound; one that brings nothing was the last.
    while (this.count.packets !== before && performance.now() < untilMs) {
      before = this.count.packets
      // The first may come before this turn has read anything, the second comes after the next one has.
      for (let turn = 0; turn < 2; turn++) await new Promise(resolve => setImmediate(resolve))
    }
  }

  close (): Promise<void> {
    this.closing ??= this.shut()
    return this.closing
  }

  private async shut (): Promise<void> {
    clearInterval(this.timer)
    this.socket.removeAllListeners('message')
    await this.refreshKernelDrops()
    await new Promise<void>(resolve => { this.socket.close(resolve) })
  }

  private receive (bytes: Buffer, address: string): void {
    const { count, intake } = this
    const nowMs = Date.now()
    count.packets++
    count.bytes += bytes.length
    const result = decodePacket(bytes, nowMs * 1000, intake.rules, intake.satellites, intake.columns)
    const points = intake.columns.count
    switch (result.kind) {
      case 'plain':
        this.offer(points)
        break
      case 'frame':
        if (!this.isNew(this.senders.observe(result.sender, result.epoch, result.seq, address, nowMs), points)) return
        if (points > 0) {
          this.offer(points)
        } else {
          count.heartbeats++
          count.taken++
        }
        break
      case 'malformed':
        this.reject(result, address, nowMs)
    }
  }

  /** Whether a packet of this verdict is to be taken; what is dropped is counted. */
  private isNew (verdict: Verdict, points: number): boolean {
    if (verdict === 'duplicate') this.count.duplicatePoints += points
    else if (verdict === 'stale') this.count.stalePoints += points
    else return true
    return false
  }

  /** Why there is no room. The soft bound asks senders to slow down, which UDP cannot say: only the hard one sheds. */
  private noRoom (): ErrorCode | null {
    const code = this.intake.refusal('received')?.code ?? null
    return code === 'too_busy' ? null : code
  }

  private offer (points: number): void {
    const { count, intake } = this
    this.offerError = this.noRoom()
    if (this.offerError !== null) intake.shed(points)
    // 'received' is told before offer() returns, so one callback serves all packets; a refusal is counted there.
    else intake.offer('received', this.onAck)
    if (this.offerError === null) {
      count.taken++
      count.points += points
    } else {
      count.shed++
      count.shedPoints += points
    }
  }

  private readonly onAck = (ack: Ack): void => { this.offerError = ack }

  private reject ({ header, reason, fault }: MalformedPacket, address: string, nowMs: number): void {
    // Its points are at fault, not the way: it has arrived, and must not count as missing.
    if (header !== null && !this.isNew(this.senders.observe(header.sender, header.epoch, header.seq, address, nowMs), fault.points)) return
    this.count.malformed[reason]++
    this.count.rejectedPoints += fault.points
    this.intake.reject(fault.points)
  }
}
