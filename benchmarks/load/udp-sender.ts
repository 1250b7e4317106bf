/**
 * Frames over UDP at a fixed rate. Packets are prepared; only the sequence number and the time of the first point,
 * which no other packet has, are updated.
 *
 * Packets are passed to the kernel in slices of a millisecond, and the next slice waits until the kernel has taken the
 * previous one: any loss happens behind the socket.
 */
import { createSocket, type Socket } from 'node:dgram'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { encodeFrame, preparePacket, type PreparedPacket } from '../bodies.js'
import { pointsOf } from '../points.js'
import { serveLoad, type Generator } from './child.js'
import type { UdpJob, UdpResult } from './jobs.js'

const TICK_MS = 1
const BURST_PACKETS_MAX = 64
const HEARTBEATS = 3
const SENDER = `bench-${process.pid}`
const MICROS_PER_MS = 1000
const TWO_32 = 2 ** 32

function preparePackets ({ points }: UdpJob): PreparedPacket[] {
  const encoder = new PacketEncoder()
  return Array.from({ length: points.bodies }, (_, body) => preparePacket(encoder, pointsOf(points, body), SENDER))
}

class UdpSender implements Generator<UdpResult> {
  private sequence = 0
  private inFlight = 0
  private readonly packetsPerMs: number
  private readonly total: number

  constructor (
    private readonly job: UdpJob,
    private readonly packets: readonly PreparedPacket[],
    private readonly socket: Socket
  ) {
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
    const { bytes, sequenceAt, timeAt } = this.packets[this.sequence % this.packets.length] as PreparedPacket
    // Fewer than a thousand packets are sent per millisecond.
    const micros = Date.now() * MICROS_PER_MS + this.sequence % MICROS_PER_MS
    bytes.writeUInt32BE(Math.floor(micros / TWO_32), timeAt)
    bytes.writeUInt32BE(micros % TWO_32, timeAt + 4)
    bytes.writeUInt32BE(this.sequence++, sequenceAt)
    this.inFlight++
    this.socket.send(bytes, () => { this.inFlight-- })
  }

  /** Heartbeats, so that the server notices losses at the end. */
  private async sayGoodbye (): Promise<void> {
    const bytes = Buffer.from(encodeFrame(new PacketEncoder(), [], undefined, SENDER, this.sequence))
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
