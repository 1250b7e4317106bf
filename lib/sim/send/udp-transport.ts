/**
 * Points over UDP, as frames.
 *
 *   send → open packet of a stream → full → datagram → … → last heartbeat → how many packets did the server receive?
 *
 * UDP is not answered, so points count as accepted only at the end, when the server reports how many packets of this
 * sender and epoch arrived. A missing packet counts as many points as packets have on average, rounded up: nearly all
 * are full.
 *
 * A packet has points of one stream, and gets its number when it is sent, so that all streams have one sequence.
 * Packets are encoded where they are sent from: each encoder has its own buffer, which is free again once the kernel
 * has taken the datagram.
 */
import type { Socket } from 'node:dgram'
import { setTimeout as wait } from 'node:timers/promises'
import { PACKET_BYTES_RECOMMENDED, PACKET_BYTES_MAX } from '../../../protocol/packet/packet.js'
import type { PointSchema } from '../../../protocol/schema.js'
import { KEYED_BYTES_MAX, PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { connectUdp } from '../../client/udp-socket.js'
import { frameBytesMax } from './bodies.js'
import { codeOf } from './http-transport.js'
import { countFailure, type Outlet, type Transport, type TransportStats } from './transport.js'
import { UdpAccount, type DropAccount, type SenderAccount } from './udp-account.js'

/** 25 points take about 1,200 bytes. */
const POINTS_PER_PACKET = 25
/** Datagrams that the kernel has not taken yet. */
const PACKETS_MAX = 512
/** An incomplete packet is sent after this time; a heartbeat if there was nothing to send. */
const PARTIAL_PACKET_MS = 1_000
/** How often the server is asked at the end; the last heartbeat is repeated each time. */
const LOOK_INTERVAL_MS = 100
/** If nothing new has arrived for this long, nothing more is in transit. */
const QUIET_MS = 2_000

export interface UdpTransportOptions {
  /** udp://host:port */
  readonly udpUrl: URL
  /** The server's HTTP address, for asking what arrived. */
  readonly url: URL
  /** Sent there as Authorization: Bearer; null: none. */
  readonly token: string | null
  readonly stats: TransportStats
  /** Null: as many as fit into the recommended size, or one if that is larger. */
  readonly pointsPerPacket: number | null
  /** At most 32 characters. */
  readonly sender: string
  /** ID:SECRET; null: packets are not authenticated. */
  readonly key: string | null
}

/** What became of the packets; the keys are those of --json. */
export interface UdpOutcome {
  readonly sender: string
  readonly epoch: number
  /** Numbered packets, including heartbeats. */
  readonly sent: number
  /** Null: the server did not report. */
  readonly received: number | null
  readonly missing: number | null
  /** Of the missing: this host failed to send them. */
  readonly not_sent: number
  /** Dropped by the server's kernel, all senders; null: not reported. */
  readonly kernel_drops: number | null
  /** Received, but dropped because buffers were full; all senders. */
  readonly shed: number | null
  /** Received, but refused; all senders. */
  readonly malformed: number | null
  /** Received, but denied for who sent them; all senders. */
  readonly denied: number | null
}

export class UdpTransport implements Transport {
  readonly stats: TransportStats

  outcome: UdpOutcome | null = null
  /** Microseconds since 1970 at the start, so that each run's is larger. */
  private readonly epoch = Date.now() * 1000
  private readonly account: UdpAccount
  private readonly outlets: UdpOutlet[] = []
  /** Sent packets with points. */
  private packets = 0
  private seq = 0
  private inFlight = 0
  private refusedPackets = 0
  private refusedPoints = 0
  private sentSinceBeat = false
  private readonly timer: NodeJS.Timeout
  private onSettled: (() => void) | null = null
  /** At the start: earlier drops are not ours. */
  private dropsBefore: DropAccount | null = null
  private closing: Promise<void> | null = null

  private constructor (private readonly socket: Socket, private readonly options: UdpTransportOptions) {
    this.stats = options.stats
    this.account = new UdpAccount(options.url, options.token, options.sender, this.epoch)
    this.timer = setInterval(() => this.beat(), PARTIAL_PACKET_MS)
  }

  /** Rejects if the address cannot be resolved, or there is no route to it. */
  static async connect (options: UdpTransportOptions): Promise<UdpTransport> {
    const transport = new UdpTransport(await connectUdp(options.udpUrl), options)
    transport.dropsBefore = await transport.account.ofDrops()
    return transport
  }

  /** For the points of a stream. @param ids of its satellites */
  outlet (stream: string, schema: PointSchema, ids: readonly string[]): Outlet {
    const outlet = new UdpOutlet(this, this.options, stream, schema, ids, this.epoch)
    this.outlets.push(outlet)
    return outlet
  }

  /** Datagrams that may still be handed to the kernel. */
  get room (): number {
    return Math.max(0, PACKETS_MAX - this.inFlight)
  }

  async drain (deadlineMs: number): Promise<void> {
    const deadlineAtMs = performance.now() + deadlineMs
    clearInterval(this.timer)
    this.flush()
    await this.settled(deadlineMs)
    const account = this.seq === 0 ? null : await this.waitForAccount(deadlineAtMs)
    const after = await this.account.ofDrops()
    this.conclude(account, after)
  }

  async close (): Promise<void> {
    clearInterval(this.timer)
    this.closing ??= new Promise(resolve => { this.socket.close(resolve) })
    await this.closing
  }

  private heartbeat (): PacketEncoder {
    const packet = new PacketEncoder(PACKET_BYTES_RECOMMENDED, this.options.key)
    packet.begin(this.options.sender, this.epoch, null)
    return packet
  }

  private flush (): void {
    for (const outlet of this.outlets) outlet.flush()
  }

  /** Numbers and sends a packet. @param onTaken its memory may be reused */
  hand (packet: PacketEncoder, onTaken: () => void): void {
    this.stats.sentMessages++
    this.sentSinceBeat = true
    this.inFlight++
    const { points } = packet
    if (points > 0) this.packets++
    this.socket.send(packet.finish(this.seq++), error => {
      onTaken()
      this.inFlight--
      if (error !== null) this.refused(error, points)
      if (this.inFlight === 0) this.onSettled?.()
    })
  }

  private refused (error: Error, points: number): void {
    this.refusedPackets++
    this.refusedPoints += points
    countFailure(this.stats, codeOf(error), '', points)
  }

  /** Once a second: sends the open packets, or a heartbeat if there was nothing to send. */
  private beat (): void {
    this.flush()
    if (!this.sentSinceBeat) this.hand(this.heartbeat(), () => {})
    this.sentSinceBeat = false
  }

  private async settled (deadlineMs: number): Promise<void> {
    if (this.inFlight === 0) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, deadlineMs)
      this.onSettled = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Repeats the last heartbeat until the server has it and nothing more arrives. */
  private async waitForAccount (deadlineAtMs: number): Promise<SenderAccount | null> {
    const last = this.seq
    this.stats.sentMessages++
    const bytes = this.heartbeat().finish(this.seq++)
    let account: SenderAccount | null = null
    let changedAtMs = performance.now()
    while (performance.now() < Math.min(deadlineAtMs, changedAtMs + QUIET_MS)) {
      // Duplicates are harmless; one that cannot be sent is the same as a lost one.
      this.socket.send(bytes, () => {})
      await wait(LOOK_INTERVAL_MS)
      const next = await this.account.ofSender()
      if (next === null) continue
      if (next.received !== account?.received) changedAtMs = performance.now()
      account = next
      if (account.highest >= last && account.received > last) break
    }
    return account
  }

  private conclude (account: SenderAccount | null, after: DropAccount | null): void {
    const { stats, dropsBefore: before } = this
    const grown = (name: keyof DropAccount): number | null => before === null || after === null
      ? null
      : after[name] - before[name]
    // What the server never received is missing too: the last heartbeat may be lost.
    const missing = account === null ? null : this.seq - account.received
    const lostPackets = Math.max(0, (missing ?? this.seq) - this.refusedPackets)
    const left = stats.sentPoints - this.refusedPoints
    const perPacket = Math.ceil(stats.sentPoints / Math.max(1, this.packets))
    const lostPoints = account === null ? left : Math.min(left, lostPackets * perPacket)
    if (lostPoints > 0) countFailure(stats, account === null ? 'not confirmed by the server' : 'lost', '', lostPoints)
    stats.acceptedPoints = left - lostPoints
    this.outcome = {
      sender: this.options.sender,
      epoch: this.epoch,
      sent: this.seq,
      received: account?.received ?? null,
      missing,
      not_sent: this.refusedPackets,
      kernel_drops: grown('kernelDrops'),
      shed: grown('shed'),
      malformed: grown('malformed'),
      denied: grown('denied')
    }
  }
}

/** The points of one stream on their way into packets. */
class UdpOutlet implements Outlet {
  readonly messagePoints: number
  private readonly bytesMax: number
  /** Points of the last packet that was full, whether of points or of bytes. */
  private fitting: number
  private readonly free: PacketEncoder[] = []
  private open: PacketEncoder | null = null

  constructor (
    private readonly transport: UdpTransport,
    private readonly options: UdpTransportOptions,
    private readonly stream: string,
    schema: PointSchema,
    private readonly ids: readonly string[],
    private readonly epoch: number
  ) {
    this.messagePoints = options.pointsPerPacket ?? POINTS_PER_PACKET
    const largestPoint = frameBytesMax(schema) + (options.key === null ? 0 : KEYED_BYTES_MAX)
    this.bytesMax = options.pointsPerPacket === null
      ? Math.max(PACKET_BYTES_RECOMMENDED, largestPoint)
      : PACKET_BYTES_MAX
    this.fitting = this.messagePoints
  }

  get room (): number {
    const open = this.open === null ? 0 : Math.max(0, this.fitting - this.open.points)
    // A packet may be full a little earlier than the last one, so one is kept in reserve.
    return open + Math.max(0, this.transport.room - 1) * this.fitting
  }

  send (satellite: number, timeMs: number, values: Float64Array): void {
    this.options.stats.sentPoints++
    const id = this.ids[satellite] ?? ''
    const timeMicros = timeMs * 1000
    let packet = this.open ?? this.begin()
    if (!packet.add(id, timeMicros, values)) {
      this.fitting = Math.max(1, packet.points)
      this.flush()
      packet = this.begin()
      if (!packet.add(id, timeMicros, values)) throw new RangeError('a packet cannot hold a single point')
    }
    if (packet.points >= this.messagePoints) this.flush()
  }

  flush (): void {
    const { open } = this
    if (open === null) return
    this.open = null
    this.transport.hand(open, () => { this.free.push(open) })
  }

  private begin (): PacketEncoder {
    const packet = this.free.pop() ?? new PacketEncoder(this.bytesMax, this.options.key)
    packet.begin(this.options.sender, this.epoch, null, this.stream)
    this.open = packet
    return packet
  }
}
