/**
 * Sends points over UDP, in numbered packets: the server counts those that do not arrive (`GET /udp/senders`).
 *
 *   add → packet of its stream is full, or its first point a second old → datagram
 *   nothing sent for a second → heartbeat
 *
 * UDP has no answers and no retries. Points that must not get lost go over HTTP.
 */
import type { Socket } from 'node:dgram'
import { PACKET_BYTES_RECOMMENDED } from '../../protocol/packet/packet.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { TELEMETRY } from '../../protocol/catalogue.js'
import { connectUdp } from './udp-socket.js'

export interface UdpSenderOptions {
  /** `udp://host:8081` */
  readonly url: string
  /** Name of this sender, at most 32 characters; no other sender has it. */
  readonly sender: string
  /** Greater than at every earlier start of this sender; default: microseconds since 1970. */
  readonly epoch?: number
  /** Largest packet; default: what fits into one frame of any network. */
  readonly packetBytesMax?: number
  /** ID:SECRET, as `udp-key create` prints it, for servers with UDP_KEYS_FILE. */
  readonly key?: string
}

const MICROS_PER_MS = 1_000
/** Longest time that a point waits for its packet to fill; then heartbeats tell the server that nothing is missing. */
const PACKET_MS = 1_000
/** One may get lost, and after a long loss four confirm where the sender is. */
const LAST_HEARTBEATS = 4

type NumberedOptions = UdpSenderOptions & { readonly epoch: number }

/** A packet of a stream, without a number. */
function openPacket ({ sender, epoch, packetBytesMax, key }: NumberedOptions, stream: string): PacketEncoder {
  const packet = new PacketEncoder(packetBytesMax ?? PACKET_BYTES_RECOMMENDED, key ?? null)
  packet.begin(sender, epoch, null, stream)
  return packet
}

export class UdpSender {
  /** Packets that this host did not take, for instance without a route; the server counts them as missing. */
  failed = 0
  /** By stream: a packet each, which gets its number when it is sent. */
  private readonly packets = new Map<string, PacketEncoder>()
  private seq = 0
  private readonly timer: NodeJS.Timeout
  /** Sent since the last tick. */
  private isActive = false
  private closing: Promise<void> | null = null

  private constructor (
    private readonly socket: Socket, private readonly options: NumberedOptions, private readonly first: PacketEncoder
  ) {
    this.packets.set(TELEMETRY, first)
    this.timer = setInterval(() => this.tick(), PACKET_MS)
  }

  /**
   * @throws {Error} if the URL or the key is invalid, the name of the host cannot be resolved, or there is no route to
   *   it
   */
  static async open (options: UdpSenderOptions): Promise<UdpSender> {
    const url = new URL(options.url)
    if (url.protocol !== 'udp:' || !(Number(url.port) > 0)) throw new TypeError(`${options.url} is not like udp://host:8081`)
    const numbered = { ...options, epoch: options.epoch ?? Date.now() * MICROS_PER_MS }
    // Before there is a socket to close: throws if an option is wrong.
    const first = openPacket(numbered, TELEMETRY)
    return new UdpSender(await connectUdp(url), numbered, first)
  }

  /**
   * Adds a point to the packet of its stream, which is sent when it is full.
   * @param timeMicros µs since 1970-01-01 UTC; null: the time of receipt
   * @param metrics in the order of `GET /catalogue`, NaN for nil; the last ones may be omitted
   * @param stream of the server's catalogue
   * @throws {RangeError} if the point is larger than a packet, or the name of the stream too long
   * @throws {Error} after close(): nothing would send it
   */
  add (satelliteId: string, timeMicros: number | null, metrics: ArrayLike<number>, stream = TELEMETRY): void {
    this.refuseIfClosed()
    const packet = this.packetOf(stream)
    if (packet.add(satelliteId, timeMicros, metrics)) return
    if (packet.points > 0) this.send(stream, packet)
    if (!packet.add(satelliteId, timeMicros, metrics)) throw new RangeError('the point is larger than a packet')
  }

  /** Sends what was added; without points, a heartbeat. @throws {Error} after close() */
  flush (): void {
    this.refuseIfClosed()
    this.sendWaiting()
  }

  private refuseIfClosed (): void {
    if (this.closing !== null) throw new Error('the sender was closed')
  }

  private sendWaiting (): void {
    const [first, ...others] = this.waiting()
    this.send(...first ?? [TELEMETRY, this.first])
    for (const each of others) this.send(...each)
  }

  /** Sends the rest, and heartbeats by which the server notices if the packets before them are missing. */
  async close (): Promise<void> {
    this.closing ??= this.end()
    await this.closing
  }

  private async end (): Promise<void> {
    clearInterval(this.timer)
    if (this.waiting().length > 0) this.sendWaiting()
    const heartbeat = Buffer.from(this.first.finish(this.seq))
    for (let beat = 0; beat < LAST_HEARTBEATS; beat++) {
      await new Promise<void>((resolve) => { this.socket.send(heartbeat, () => resolve()) })
    }
    await new Promise<void>((resolve) => { this.socket.close(resolve) })
  }

  private tick (): void {
    if (!this.isActive || this.waiting().length > 0) this.sendWaiting()
    this.isActive = false
  }

  private packetOf (stream: string): PacketEncoder {
    const known = this.packets.get(stream)
    if (known !== undefined) return known
    const packet = openPacket(this.options, stream)
    this.packets.set(stream, packet)
    return packet
  }

  /** Packets with points. */
  private waiting (): Array<readonly [stream: string, packet: PacketEncoder]> {
    return Array.from(this.packets).filter(([, { points }]) => points > 0)
  }

  private send (stream: string, packet: PacketEncoder): void {
    this.isActive = true
    // A copy: the next packet is written over it before the kernel has taken this one.
    this.socket.send(Buffer.from(packet.finish(this.seq)), (error) => { if (error !== null) this.failed++ })
    this.seq++
    packet.begin(this.options.sender, this.options.epoch, null, stream)
  }
}
