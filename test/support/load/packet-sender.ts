/**
 * A frame sender that keeps count: packet `seq` carries POINTS points with the value seq, so the database shows which
 * packets were stored. Afterwards: sent = stored + missing, and each stored packet is complete and unique.
 */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Database } from '../../../lib/database/database.js'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { sendersOf, type Senders } from '../programs/udp.js'

const POINTS = 10
const LOOK_INTERVAL_MS = 100
const TURN_MS = 4
/** Caps the catch-up after a delay: a larger burst would overflow buffers that the test expects to be large enough. */
const TURN_PACKETS_MAX = 40

export class PacketSender {
  sent = 0
  private readonly encoder = new PacketEncoder()
  private readonly epoch = Date.now() * 1000
  private readonly timeMicros = Date.now() * 1000

  private constructor (readonly name: string, private readonly socket: Socket) {}

  static async open (t: Test, name: string, port: number): Promise<PacketSender> {
    const socket = createSocket('udp4')
    socket.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    t.teardown(() => { socket.close() })
    return new PacketSender(name, socket)
  }

  /** Sends this many packets at an even rate, in bursts a few milliseconds apart. */
  async send (packets: number, packetsPerSecond: number): Promise<void> {
    const startMs = performance.now()
    for (let done = 0; done < packets;) {
      const due = Math.ceil((performance.now() - startMs) * packetsPerSecond / 1000)
      const end = Math.min(packets, due, done + TURN_PACKETS_MAX)
      const turn: Array<Promise<void>> = []
      for (; done < end; done++) turn.push(this.sendOne(POINTS))
      await Promise.all(turn)
      await wait(TURN_MS)
    }
  }

  /** Repeats a heartbeat until the server has it; returns the server's account. */
  async finish (url: string): Promise<Senders['senders'][number]> {
    const seq = this.sent++
    this.encoder.begin(this.name, this.epoch, seq)
    const heartbeat = Buffer.from(this.encoder.finish())
    for (;;) {
      this.socket.send(heartbeat)
      await wait(LOOK_INTERVAL_MS)
      const [account] = (await sendersOf(url, `?sender=${this.name}`)).senders
      if (account?.epoch === this.epoch && account.highest === seq) return account
    }
  }

  /** Number of packets stored in full; rejects if one was stored in part, twice, or never sent. */
  async storedPackets (db: Database): Promise<number> {
    const { rows } = await db.query<{ packets: string, wrong: string }>(`
      SELECT count(*) AS packets,
             count(*) FILTER (WHERE points <> ${POINTS} OR places <> ${POINTS} OR seq >= ${this.sent}) AS wrong
      FROM (
        SELECT storage_usage_mb AS seq, count(*) AS points, count(DISTINCT battery_charge_percent) AS places
        FROM telemetry WHERE satellite_id = '${this.name}' GROUP BY 1
      ) AS packet`)
    if (rows[0]?.wrong !== '0') throw new Error(`${String(rows[0]?.wrong)} packets are stored incorrectly`)
    return Number(rows[0].packets)
  }

  private async sendOne (points: number): Promise<void> {
    const seq = this.sent++
    this.encoder.begin(this.name, this.epoch, seq)
    for (let index = 0; index < points; index++) this.encoder.add(this.name, this.timeMicros + seq, [index, seq])
    const packet = Buffer.from(this.encoder.finish())
    await new Promise<void>((resolve, reject) => {
      this.socket.send(packet, (error) => { if (error === null) resolve(); else reject(error) })
    })
  }
}
