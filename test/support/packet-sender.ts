/**
 * A sender of frames that keeps count: packet `seq` holds POINTS points with the value seq, so that the database shows
 * which packets were stored. Afterwards: sent = stored + missing, each packet in whole and once.
 */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Database } from '../../lib/database/connection.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { sendersOf, type Senders } from './udp.js'

const POINTS = 10
const LOOK_INTERVAL_MS = 100
const TURN_MS = 4
/** What came too late is sent later, not at once: a burst would overflow buffers that the test means to be large enough. */
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

  /** Sends so many packets, evenly, in turns of a few milliseconds. */
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

  /** Sends a heartbeat, again and again, until the server has it; gives the server's account. */
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

  /** Packets with points that the database holds in whole; rejects if one is there in part, twice, or was never sent. */
  async storedPackets (db: Database): Promise<number> {
    const { rows } = await db.query<{ packets: string, wrong: string }>(`
      SELECT count(*) AS packets, count(*) FILTER (WHERE points <> ${POINTS} OR places <> ${POINTS} OR seq >= ${this.sent}) AS wrong
      FROM (
        SELECT storage_usage_mb AS seq, count(*) AS points, count(DISTINCT battery_charge_percent) AS places
        FROM telemetry WHERE satellite_id = '${this.name}' GROUP BY 1
      ) AS packet`)
    if (rows[0]?.wrong !== '0') throw new Error(`${String(rows[0]?.wrong)} packets are stored wrongly`)
    return Number(rows[0].packets)
  }

  private async sendOne (points: number): Promise<void> {
    const seq = this.sent++
    this.encoder.begin(this.name, this.epoch, seq)
    for (let index = 0; index < points; index++) this.encoder.add(this.name, this.timeMicros + seq, [index, seq])
    const packet = Buffer.from(this.encoder.finish())
    await new Promise<void>((resolve, reject) => this.socket.send(packet, (error) => { if (error === null) resolve(); else reject(error) }))
  }
}
