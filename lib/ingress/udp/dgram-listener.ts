/**
 * The UDP listener: offers the points of datagrams to the pipeline, and counts everything else by cause.
 *
 *   datagram → key? → stream, points → place in the sender's sequence → journal full? → offer
 *               │           │                      │                          │
 *            denied     malformed           duplicate, stale                shed
 *
 * A listener that takes over from another process reads the same socket while that one still does. It holds what it
 * reads until it gets the table of senders, so that sequences go on as if one process had read everything.
 *
 * Nothing is ever answered. Every packet ends up in exactly one counter:
 *
 *   packets = taken + denied + malformed (each all reasons) + duplicates + stale + shed
 *
 * The hot path allocates no object per packet beyond those of dgram, and those of an HMAC if there are keys.
 */
import type { Socket } from 'node:dgram'
import type { ErrorCode } from '../../support/errors.js'
import type { Ack, Intake, Intakes } from '../../pipeline/intake.js'
import type { UdpKey } from '../../access/udp-key.js'
import {
  MALFORMED_REASONS, decodePacket, type FrameHeader, type MalformedPacket, type MalformedReason
} from '../../../protocol/packet/packet.js'
import { CODE_ELEMENT_BYTES } from '../../../protocol/packet/packet-key.js'
import { Lifecycle } from '../../support/lifecycle.js'
import { bindUdp } from './bind.js'
import { KernelDrops } from './kernel-drops.js'
import {
  DENIED_REASONS, KeyRing, hasOthers, type DeniedReason, type RingKey, type RingMarks, type SavedKeyRing
} from './key-ring.js'
import { SenderList } from './sender-list.js'
import { SenderTable, type SavedSenders, type SenderPage, type SequenceTotals } from './senders.js'

/** How often the kernel's drop count is read. */
const KERNEL_DROPS_INTERVAL_MS = 1_000
/** Time limit for reading what is still in the receive buffer before closing. */
const CATCH_UP_MS = 500
/** Bounds on what is held for the table of senders; beyond them, or if the other process died, it starts empty. */
const HELD_MS_MAX = 5_000
export const HELD_BYTES_MAX = 16 * 1024 * 1024
/** Memory of a held datagram besides its bytes. */
export const HELD_OVERHEAD_BYTES = 300

export interface UdpSettings {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Requested size; the kernel may grant less, see UdpListener.receiveBufferBytes. */
  readonly receiveBufferBytes: number
  /** Senders tracked at once. */
  readonly sendersMax?: number
  /** Another process has the socket, and hands over its table of senders. */
  readonly takesOver?: boolean
  /** Keys to start with; null or without: none are required. */
  readonly keys?: readonly UdpKey[] | null
  /** Packets without a key are accepted even if there are keys. */
  readonly isOpen?: boolean
  /** What an earlier process knew of senders with keys. */
  readonly marks?: RingMarks
}

/** What a process that takes over needs to know. */
export interface HandedSenders {
  readonly unkeyed: SavedSenders
  readonly keyed: SavedKeyRing
}

interface HeldPacket {
  readonly bytes: Buffer
  readonly address: string
  readonly nowMs: number
}

/** Receives warnings; a pino logger will do. */
export interface UdpLog {
  warn (message: string): void
}

/** Cumulative counts of packets, unless the name says points or bytes. */
export interface UdpCounters extends SequenceTotals {
  packets: number
  bytes: number
  /** Packets whose points the pipeline accepted, and heartbeats. */
  taken: number
  heartbeats: number
  /** Points the pipeline accepted. */
  points: number
  /** Packets with a key that were authentic, whatever became of them. */
  authenticated: number
  denied: Record<DeniedReason, number>
  malformed: Record<MalformedReason, number>
  /** Points of malformed packets, and of those denied after decoding, as far as they could be counted. */
  rejectedPoints: number
  duplicatePoints: number
  stalePoints: number
  /** Dropped because the journal was full. */
  shed: number
  shedPoints: number
  /** Dropped by the kernel before they could be read; null if unknown. */
  kernelDrops: number | null
}

export interface UdpListener {
  readonly port: number
  /** Size the kernel granted, without its own doubling. */
  readonly receiveBufferBytes: number
  counters (): UdpCounters
  /** Reads the kernel's drop count now; otherwise it is up to a second old. */
  refreshKernelDrops (): Promise<void>
  /** A page of senders ordered by name; with a name, only that sender. */
  listSenders (offset: number, limit: number, name?: string | null): SenderPage
  /** Reads what the kernel has already received, since nobody resends it. Takes CATCH_UP_MS at most. */
  catchUp (): Promise<void>
  /** Puts keys into force. @param keys null: none are required */
  useKeys (keys: readonly UdpKey[] | null): void
  /** What must outlive this process, so that captured packets are not accepted again. */
  marks (): RingMarks
  /** The table of the process that had the socket before. Ignored if it comes too late. */
  takeOver (senders: HandedSenders): void
  /** Stops reading at once, so that whatever comes is left to the process that takes over; returns what it needs. */
  leave (): Promise<HandedSenders>
  /** Stops receiving; resolves when the socket is closed. */
  close (): Promise<void>
}

/** Rejects as bindUdp does. */
export async function listenUdp (settings: UdpSettings, intakes: Intakes, log: UdpLog): Promise<UdpListener> {
  const listener = new DgramListener(await bindUdp(settings.host, settings.port, true), settings, intakes, log)
  // What the kernel dropped before is in the counts of the other process.
  if (settings.takesOver === true) await listener.refreshKernelDrops()
  return listener
}

/** Requests a receive buffer and returns the size granted; warns if that is less. */
function setReceiveBuffer (socket: Socket, wantedBytes: number, log: UdpLog): number {
  try {
    socket.setRecvBufferSize(wantedBytes)
  } catch {
    // Some systems refuse instead of granting less; the actual size is read back below.
  }
  // Linux doubles the size for its own bookkeeping (socket(7)), and reports the doubled value.
  const givenBytes = socket.getRecvBufferSize() / (process.platform === 'linux' ? 2 : 1)
  if (givenBytes < wantedBytes) {
    log.warn(`The kernel limits the UDP receive buffer to ${givenBytes} bytes instead of ${wantedBytes}; ` +
      `bursts of packets are more likely to be dropped. To raise it: sudo sysctl -w net.core.rmem_max=${wantedBytes}`)
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
    authenticated: 0,
    denied: Object.fromEntries(DENIED_REASONS.map(reason => [reason, 0])) as Record<DeniedReason, number>,
    malformed: Object.fromEntries(MALFORMED_REASONS.map(reason => [reason, 0])) as Record<MalformedReason, number>,
    rejectedPoints: 0,
    duplicatePoints: 0,
    stalePoints: 0,
    shed: 0,
    shedPoints: 0,
    kernelDrops: null as number | null
  }

  private readonly senders: SenderTable
  private readonly keys: KeyRing
  private readonly list: SenderList
  private readonly kernelDrops: KernelDrops
  private readonly lifecycle = new Lifecycle()
  /** Null: none are held, or no longer. */
  private held: HeldPacket[] | null = null
  private heldBytes = 0
  private closed: Promise<void> | null = null
  private offerError: Ack = null
  /** Of the stream of the packet at hand. */
  private intake: Intake

  constructor (private readonly socket: Socket, settings: UdpSettings, private readonly intakes: Intakes, log: UdpLog) {
    this.intake = intakes.telemetry
    this.port = socket.address().port
    this.receiveBufferBytes = setReceiveBuffer(socket, settings.receiveBufferBytes, log)
    this.senders = new SenderTable(settings.sendersMax)
    this.keys = new KeyRing(this.port, settings.isOpen ?? false, this.senders.totals)
    this.keys.replace(settings.keys ?? null)
    this.keys.restore(settings.marks ?? [])
    this.list = new SenderList(this.senders, this.keys)
    this.kernelDrops = new KernelDrops(this.port, settings.takesOver)
    this.open(log)
    if (settings.takesOver === true) this.hold(log)
  }

  private open (log: UdpLog): void {
    const { socket, lifecycle } = this
    lifecycle.push('the UDP socket', () => this.closeSocket())
    // Not an unhandled error, which would end the process: a failed receive leaves the socket open.
    socket.on('error', error => { log.warn(`Receiving on UDP port ${this.port} failed: ${error.message}`) })
    lifecycle.push('the kernel drop count', () => this.refreshKernelDrops())
    // Never rejects: an unknown count stays null.
    const timer = setInterval(() => { void this.refreshKernelDrops() }, KERNEL_DROPS_INTERVAL_MS).unref()
    lifecycle.push('the kernel drop timer', () => { clearInterval(timer) })
    socket.on('message', (bytes, { address }) => {
      const nowMs = Date.now()
      const { held } = this
      // What is denied needs no table, and must not use up the space for what does.
      if (held !== null && typeof this.keys.check(bytes) !== 'string') this.holdOne(held, { bytes, address, nowMs })
      else this.receive(bytes, address, nowMs)
    })
    lifecycle.push('receiving', () => { socket.removeAllListeners('message') })
  }

  counters (): UdpCounters {
    const { denied, malformed } = this.count
    return { ...this.count, denied: { ...denied }, malformed: { ...malformed }, ...this.senders.totals }
  }

  async refreshKernelDrops (): Promise<void> {
    const drops = await this.kernelDrops.read()
    // Reads may finish out of order, and the last one after the socket is gone.
    if (drops !== null) this.count.kernelDrops = Math.max(drops, this.count.kernelDrops ?? 0)
  }

  listSenders (offset: number, limit: number, name: string | null = null): SenderPage {
    return this.list.page(offset, limit, name)
  }

  useKeys (keys: readonly UdpKey[] | null): void {
    this.keys.replace(keys)
  }

  marks (): RingMarks {
    return this.keys.saveMarks()
  }

  async catchUp (): Promise<void> {
    this.letGo()
    const untilMs = performance.now() + CATCH_UP_MS
    let before = -1
    // Each turn of the event loop reads a bounded number of datagrams; done when a turn reads none.
    while (this.count.packets !== before && performance.now() < untilMs) {
      before = this.count.packets
      // The first setImmediate may run before this turn's reads, the second runs after those of the next.
      for (let turn = 0; turn < 2; turn++) await new Promise(resolve => setImmediate(resolve))
    }
  }

  takeOver ({ unkeyed, keyed }: HandedSenders): void {
    if (this.held === null) return
    this.senders.load(unkeyed)
    this.keys.load(keyed)
    this.letGo()
  }

  async leave (): Promise<HandedSenders> {
    this.letGo()
    await this.closeSocket()
    await this.refreshKernelDrops()
    return { unkeyed: this.senders.save(), keyed: this.keys.save() }
  }

  async close (): Promise<void> {
    this.letGo()
    await this.lifecycle.release()
  }

  private async closeSocket (): Promise<void> {
    this.closed ??= new Promise(resolve => { this.socket.close(() => { resolve() }) })
    await this.closed
  }

  private hold (log: UdpLog): void {
    this.held = []
    const timer = setTimeout(() => {
      if (this.held !== null) log.warn(`UDP port ${this.port} was taken over without the table of senders.`)
      this.letGo()
    }, HELD_MS_MAX).unref()
    this.lifecycle.push('waiting for the table of senders', () => { clearTimeout(timer) })
  }

  private holdOne (held: HeldPacket[], packet: HeldPacket): void {
    held.push(packet)
    this.heldBytes += packet.bytes.length + HELD_OVERHEAD_BYTES
    if (this.heldBytes > HELD_BYTES_MAX) this.letGo()
  }

  /** Treats what was held as received now, and holds nothing more. */
  private letGo (): void {
    const { held } = this
    this.held = null
    for (const { bytes, address, nowMs } of held ?? []) this.receive(bytes, address, nowMs)
  }

  private receive (bytes: Buffer, address: string, nowMs: number): void {
    const { count, intakes: { telemetry } } = this
    count.packets++
    count.bytes += bytes.length
    const key = this.keys.check(bytes)
    if (typeof key === 'string') {
      count.denied[key]++
      return
    }
    if (key !== null) count.authenticated++
    const signed = key === null ? bytes : bytes.subarray(0, bytes.length - CODE_ELEMENT_BYTES)
    this.intake = telemetry
    const result = decodePacket(
      signed, nowMs * 1000, telemetry.rules, telemetry.satellites, telemetry.columns, key !== null, this.streamOf)
    const { columns } = this.intake
    const points = columns.count
    switch (result.kind) {
      case 'plain':
        this.offer(points)
        break
      case 'frame':
        if (!this.isNew(result, points, key, address, nowMs)) return
        if (key !== null && key.satellites !== null && hasOthers(key.satellites, columns)) {
          this.deny('satellite_forbidden', points)
        } else if (points > 0) {
          this.offer(points)
        } else {
          count.heartbeats++
          count.taken++
        }
        break
      case 'malformed':
        this.reject(result, key, address, nowMs)
    }
  }

  /** Continues with the intake of the stream that a packet names. */
  private readonly streamOf = (stream: string): Intake | null => {
    const intake = this.intakes.named(stream)
    if (intake !== null) this.intake = intake
    return intake
  }

  /** Denies a packet that was decoded. */
  private deny (reason: DeniedReason, points: number): void {
    this.count.denied[reason]++
    this.count.rejectedPoints += points
    this.intake.reject(points)
  }

  /** Whether to accept a packet, by its sender and its place in the sequence; counts it if not. */
  private isNew (
    { sender, epoch, seq }: FrameHeader, points: number, key: RingKey | null, address: string, nowMs: number
  ): boolean {
    if (key !== null && key.senders?.matches(sender) === false) {
      this.deny('sender_forbidden', points)
      return false
    }
    const verdict = key === null
      ? this.senders.observe(sender, epoch, seq, address, nowMs)
      : key.table.observe(sender, epoch, seq, nowMs)
    if (verdict === 'duplicate') this.count.duplicatePoints += points
    else if (verdict === 'stale') this.count.stalePoints += points
    else return true
    return false
  }

  /** Why points must be shed. Only the hard limit sheds: the soft one asks senders to slow down, which UDP cannot. */
  private shedReason (): ErrorCode | null {
    const code = this.intake.refusal('received')?.code ?? null
    return code === 'too_busy' ? null : code
  }

  private offer (points: number): void {
    const { count, intake } = this
    this.offerError = this.shedReason()
    if (this.offerError !== null) intake.shed(points)
    // offer() acknowledges 'received' before it returns, so one callback serves all packets; it counts refusals itself.
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

  private reject (
    { header, reason, fault }: MalformedPacket, key: RingKey | null, address: string, nowMs: number
  ): void {
    // The packet arrived, so it must not count as missing, whatever its points are like.
    if (header !== null && !this.isNew(header, fault.points, key, address, nowMs)) return
    this.count.malformed[reason]++
    this.count.rejectedPoints += fault.points
    this.intake.reject(fault.points)
  }
}
