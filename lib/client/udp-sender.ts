/**
 * Sends points over UDP, in numbered packets: the server counts those that do not arrive (`GET /udp/senders`).
 *
 *   add → packet is full, or its first point a second old → datagram
 *   nothing sent for a second → heartbeat
 *
 * UDP has no answers and no retries. Points that must not get lost go over HTTP.
 */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { PACKET_BYTES_RECOMMENDED } from '../../protocol/packet/packet.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'

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

export class UdpSender {
  /** Packets that this host did not take, for instance without a route; the server counts them as missing. */
  failed = 0
  private readonly encoder: PacketEncoder
  private readonly sender: string
  private readonly epoch: number
  private seq = 0
  private readonly timer: NodeJS.Timeout
  /** Sent since the last tick. */
  private isActive = false

  private constructor (private readonly socket: Socket, encoder: PacketEncoder, { sender, epoch }: UdpSenderOptions) {
    this.sender = sender
    this.epoch = epoch ?? Date.now() * MICROS_PER_MS
    this.encoder = encoder
    this.encoder.begin(sender, this.epoch, this.seq)
    this.timer = setInterval(() => this.tick(), PACKET_MS)
    // Errors that belong to no packet, such as ICMP messages.
    socket.on('error', () => {})
  }

  /** @throws {Error} if the name of the host cannot be resolved, or the URL is not one of UDP, or the key is none */
  static async open (options: UdpSenderOptions): Promise<UdpSender> {
    const { protocol, hostname, port } = new URL(options.url)
    if (protocol !== 'udp:' || port === '') throw new TypeError(`${options.url} is not like udp://host:8081`)
    const encoder = new PacketEncoder(options.packetBytesMax ?? PACKET_BYTES_RECOMMENDED, options.key ?? null)
    const { address, family } = await lookup(hostname.replace(/^\[|\]$/g, ''))
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(Number(port), address, () => {
        socket.off('error', reject)
        resolve()
      })
    })
    return new UdpSender(socket, encoder, options)
  }

  /**
   * Adds a point to the packet, which is sent when it is full.
   * @param timeMicros µs since 1970-01-01 UTC; null: the time of receipt
   * @param metrics in the order of `GET /catalogue`, NaN for nil; the last ones may be omitted
   * @throws {RangeError} if the point is larger than a packet
   */
  add (satelliteId: string, timeMicros: number | null, metrics: ArrayLike<number>): void {
    if (this.encoder.add(satelliteId, timeMicros, metrics)) return
    if (this.encoder.points > 0) this.flush()
    if (!this.encoder.add(satelliteId, timeMicros, metrics)) throw new RangeError('the point is larger than a packet')
  }

  /** Sends what was added; without points, a heartbeat. */
  flush (): void {
    this.isActive = true
    // A copy: the next packet is written over it before the kernel has taken this one.
    this.socket.send(Buffer.from(this.encoder.finish()), (error) => { if (error !== null) this.failed++ })
    this.seq++
    this.encoder.begin(this.sender, this.epoch, this.seq)
  }

  /** Sends the rest, and heartbeats by which the server notices if the packets before them are missing. */
  async close (): Promise<void> {
    clearInterval(this.timer)
    if (this.encoder.points > 0) this.flush()
    const heartbeat = Buffer.from(this.encoder.finish())
    for (let beat = 0; beat < LAST_HEARTBEATS; beat++) {
      await new Promise<void>((resolve) => { this.socket.send(heartbeat, () => resolve()) })
    }
    await new Promise<void>((resolve) => { this.socket.close(resolve) })
  }

  private tick (): void {
    if (this.encoder.points > 0 || !this.isActive) this.flush()
    this.isActive = false
  }
}
