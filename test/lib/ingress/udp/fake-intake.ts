/** An intake that records accepted points, and refuses on demand. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { Test } from 'tap'
import { PointColumns } from '../../../../protocol/columns.js'
import { TELEMETRY } from '../../../support/points/built-in.js'
import { PointSchema } from '../../../../protocol/schema.js'
import { SatelliteTable } from '../../../../protocol/satellites.js'
import type { ErrorCode } from '../../../../lib/support/errors.js'
import { listenUdp, type UdpListener, type UdpSettings } from '../../../../lib/ingress/udp/dgram-listener.js'
import type { AckLevel, Intake, Intakes, OnAck, Refusal } from '../../../../lib/pipeline/intake.js'

export interface StoredPoint {
  readonly id: string
  readonly timeMicros: number
  readonly values: readonly number[]
}

export class FakeIntake implements Intake {
  readonly columns: PointColumns
  readonly satellites: SatelliteTable
  readonly rules = { timeWindowPastMs: 3_600_000, timeWindowFutureMs: 3_600_000, unknownFields: 'reject' } as const
  readonly stored: StoredPoint[] = []
  rejected = 0
  shedPoints = 0
  /** Returned by refusal(). */
  refused: Refusal | null = null
  /** Acknowledgement by offer(). */
  offerError: ErrorCode | null = null

  constructor (schema = TELEMETRY, satellites = new SatelliteTable()) {
    this.columns = new PointColumns(schema)
    this.satellites = satellites
  }

  refusal (): Refusal | null {
    return this.refused
  }

  offer (_ack: AckLevel, onAck: OnAck): void {
    const { columns, columns: { schema: { metricCount } } } = this
    for (let index = 0; index < columns.count && this.offerError === null; index++) {
      this.stored.push({
        id: columns.satellites[index]!.id,
        timeMicros: columns.timesMicros[index]!,
        values: Array.from(columns.values.subarray(index * metricCount, (index + 1) * metricCount))
      })
    }
    onAck(this.offerError)
  }

  reject (points: number): void {
    this.rejected += points
  }

  shed (points: number): void {
    this.shedPoints += points
  }
}

/** Those of telemetry, and of a stream `power` of two metrics. */
export class FakeIntakes implements Intakes {
  readonly telemetry = new FakeIntake()
  readonly power = new FakeIntake(new PointSchema(['voltage', 'current']), this.telemetry.satellites)

  named (stream: string): FakeIntake | null {
    return stream === 'telemetry' ? this.telemetry : stream === 'power' ? this.power : null
  }
}

export interface Bench {
  /** Of telemetry. */
  readonly intake: FakeIntake
  readonly power: FakeIntake
  readonly listener: UdpListener
  readonly warnings: string[]
  /** Sends packets in order and waits until the listener has counted them all. */
  readonly send: (...packets: Array<Buffer | Uint8Array>) => Promise<void>
}

/** A listener on a free loopback port, with a sender; both are closed after the test. */
export async function openBench (
  t: Test, receiveBufferBytes = 65_536, sendersMax = 100, takesOver = false, more: Partial<UdpSettings> = {}
): Promise<Bench> {
  const intakes = new FakeIntakes()
  const warnings: string[] = []
  const log = { warn: (message: string): void => { warnings.push(message) } }
  const settings = { host: '127.0.0.1', port: 0, receiveBufferBytes, sendersMax, takesOver, ...more }
  const listener = await listenUdp(settings, intakes, log)
  t.teardown(() => listener.close())
  const socket = createSocket('udp4')
  socket.connect(listener.port, '127.0.0.1')
  await once(socket, 'connect')
  t.teardown(() => { socket.close() })
  const send = async (...packets: Array<Buffer | Uint8Array>): Promise<void> => {
    const wanted = listener.counters().packets + packets.length
    for (const packet of packets) socket.send(packet)
    await arrived(listener, wanted)
  }
  return { intake: intakes.telemetry, power: intakes.power, listener, warnings, send }
}

/** Waits until a listener has counted this many packets, bounded by the timeout of the test. */
export async function arrived (listener: UdpListener, packets: number): Promise<void> {
  while (listener.counters().packets < packets) await new Promise(resolve => setImmediate(resolve))
}
