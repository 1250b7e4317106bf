/**
 * Frames over UDP at a paced rate. Each packet is made beforehand; only its sequence number is written anew.
 *
 * Packets are handed to the kernel in slices of a millisecond, and the next slice waits until the kernel has taken the
 * last one: what is lost is lost behind the socket.
 */
import { createSocket, type Socket } from 'node:dgram'
import { PacketEncoder } from '../../protocol/packet-encoder.js'
import { encodeFrame, offsetsOf } from '../bodies.js'
import { pointsOf } from '../points.js'
import { serveLoad, type Generator } from './child.js'
import type { UdpJob, UdpResult } from './jobs.js'

const TICK_MS = 1
/** Recognised in the encoded header, and five bytes wide, as every number is written afterwards. */
const SEQUENCE_MARK = 0xabcd1234
const BURST_PACKETS_MAX = 64
const HEARTBEATS = 3

interface Packet {
  readonly bytes: Buffer
  readonly sequenceAt: number
}

function preparePackets ({ points }: UdpJob): Packet[] {
  const encoder = new PacketEncoder()
  const sender = `bench-${process.pid}`
  return Array.from({ length: points.bodies }, (_, body) => {
    const bytes = Buffer.from(encodeFrame(encoder, pointsOf(points, body), null, sender, SEQUENCE_MARK))
    return { bytes, sequenceAt: offsetsOf(bytes, Buffer.from([0xce, 0xab, 0xcd, 0x12, 0x34]))[0] as number + 1 }
  })
}

class UdpSender implements Generator<UdpResult> {
  private sequence = 0
  private inFlight = 0
  private readonly packetsPerMs: number
  private readonly total: number

  constructor (private readonly job: UdpJob, private readonly packets: readonly Packet[], private readonly socket: Socket) {
    this.packetsPerMs = job.pointsPerSecond / job.points.batch / 1000
    this.total = Math.round(this.packetsPerMs * 1000 * job.seconds)
  }

  async run (): Promise<UdpResult> {
    const startMs = performance.now()
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        const due = Math.min(this.total, Math.floor((performance.now() - startMs) * this.packetsPerMs))
        const slice = Math.min(due - this.sequence, BURST_PACKETS_MAX - this.inFlight)
        for (let packet = 0; packet < slice; packet++) this.sendNext()
        if (this.sequence >= this.total && this.inFlight === 0) resolve()
        else if (this.sequence < due) setImmediate(tick)
        else setTimeout(tick, TICK_MS)
      }
      tick()
    })
    const seconds = (performance.now() - startMs) / 1000
    const packets = this.sequence
    await this.sayGoodbye()
    this.socket.close()
    return { packets, points: packets * this.job.points.batch, seconds }
  }

  private sendNext (): void {
    const { bytes, sequenceAt } = this.packets[this.sequence % this.packets.length] as Packet
    bytes.writeUInt32BE(this.sequence++, sequenceAt)
    this.inFlight++
    this.socket.send(bytes, () => { this.inFlight-- })
  }

  /** Heartbeats, so that a loss at the tail is seen by the server too. */
  private async sayGoodbye (): Promise<void> {
    const bytes = Buffer.from(encodeFrame(new PacketEncoder(), [], null, `bench-${process.pid}`, this.sequence))
    for (let heartbeat = 0; heartbeat < HEARTBEATS; heartbeat++) {
      await new Promise<void>((resolve) => { this.socket.send(bytes, () => resolve()) })
    }
  }
}

serveLoad<UdpResult>(async (job: UdpJob) => {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => { socket.connect(job.port, job.host, resolve) })
  return new UdpSender(job, preparePackets(job), socket)
})
