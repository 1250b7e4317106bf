/** The simulator over UDP, against a test receiver that decodes as the server does. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { SenderTable } from '../../../../lib/ingress/udp/senders.js'
import { Fleet } from '../../../../lib/sim/fleet/model.js'
import { simulate, type SimulationOptions } from '../../../../lib/sim/simulate.js'
import { summaryText, type Summary } from '../../../../lib/sim/summary.js'
import { createStats } from '../../../../lib/sim/send/transport.js'
import { UdpTransport } from '../../../../lib/sim/send/udp-transport.js'
import { PointColumns } from '../../../../protocol/columns.js'
import { BUILT_IN, METRIC_COUNT, TELEMETRY } from '../../../support/points/built-in.js'
import { WIDEST } from '../../../support/points/schemas.js'
import { decodePacket } from '../../../../protocol/packet/packet.js'
import { SatelliteTable } from '../../../../protocol/satellites.js'

const RULES = { timeWindowPastMs: 3_600_000, timeWindowFutureMs: 3_600_000, unknownFields: 'reject' } as const
const never = new AbortController().signal
const silent = { write: () => true }

interface Receiver {
  readonly url: URL
  readonly udpUrl: URL
  readonly points: Array<{ readonly id: string, readonly timeMicros: number, readonly values: readonly number[] }>
  readonly packets: Array<{ readonly bytes: number, readonly points: number, readonly seq: number }>
  readonly senders: SenderTable
  /** `udp` in responses to /health. */
  readonly drops: { kernel_drops: number, shed: number, malformed: { empty: number } }
}

/** @param drops whether to drop a packet, by arrival order */
async function startReceiver (
  t: Test, drops: (arrival: number) => boolean = () => false, schema = TELEMETRY
): Promise<Receiver> {
  const { metricCount } = schema
  const [columns, satellites, senders] = [new PointColumns(schema), new SatelliteTable(), new SenderTable()]
  const socket = createSocket('udp4')
  const receiver: Omit<Receiver, 'url' | 'udpUrl'> = {
    points: [],
    packets: [],
    senders,
    drops: { kernel_drops: 7, shed: 0, malformed: { empty: 0 } }
  }
  let arrivals = 0
  socket.on('message', (bytes) => {
    if (drops(arrivals++)) return
    const result = decodePacket(bytes, Date.now() * 1000, RULES, satellites, columns)
    if (result.kind !== 'frame') throw new Error('not a frame')
    if (senders.observe(result.sender, result.epoch, result.seq, '127.0.0.1', Date.now()) !== 'fresh') return
    receiver.packets.push({ bytes: bytes.length, points: columns.count, seq: result.seq })
    for (let index = 0; index < columns.count; index++) {
      const values = Array.from(columns.values.subarray(index * metricCount, (index + 1) * metricCount))
      receiver.points.push({ id: columns.satellites[index]!.id, timeMicros: columns.timesMicros[index]!, values })
    }
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
    response.end(JSON.stringify(pathname === '/base/health'
      ? { udp: receiver.drops }
      : senders.list(0, 10, searchParams.get('sender'))))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    socket.close()
    server.close()
    server.closeAllConnections()
  })
  return {
    ...receiver,
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`),
    udpUrl: new URL(`udp://127.0.0.1:${socket.address().port}`)
  }
}

async function run (
  { url, udpUrl }: Pick<Receiver, 'url' | 'udpUrl'>,
  changes: Partial<SimulationOptions> = {},
  pointsPerPacket: number | null = null
): Promise<Summary> {
  return await simulate({
    catalogue: BUILT_IN,
    url,
    satellites: 10,
    rate: 200,
    durationMs: 500,
    anomalyRate: 0.1,
    batchSize: 1,
    format: 'json',
    seed: 42,
    connectionsMax: 1,
    token: null,
    truth: null,
    udp: {
      udpUrl,
      pointsPerPacket,
      sender: 'sim',
      key: null
    },
    ...changes
  }, silent, never)
}

t.test('every point arrives with its values, in packets that fit an Ethernet frame, and is counted', async (t) => {
  const receiver = await startReceiver(t)
  const summary = await run(receiver)
  t.match(summary, {
    ok: true,
    failed: 0,
    accepted_share: 1,
    udp: { sender: 'sim', missing: 0, not_sent: 0, kernel_drops: 0, shed: 0, malformed: 0 }
  })
  t.equal(summary.sent, receiver.points.length)
  t.equal(summary.udp?.received, receiver.packets.length)
  t.equal(summary.udp?.sent, receiver.packets.length)
  t.same(receiver.packets.map(({ seq }) => seq), receiver.packets.map((_, index) => index))
  t.ok(receiver.packets.every(({ bytes, points }) => bytes <= 1400 && points <= 25))
  t.equal(receiver.packets.at(-1)?.points, 0, 'a final heartbeat')
  if (summary.skipped_late === 0) {
    const fleet = new Fleet({
      stream: BUILT_IN.telemetry, satellites: 10, seed: 42, anomalyRate: 0.1, onAnomaly: () => {}
    })
    const values = new Float64Array(METRIC_COUNT)
    for (const [index, point] of receiver.points.entries()) {
      fleet.sample(index % 10, index / 2000, values)
      t.same([point.id, ...point.values], [fleet.ids[index % 10], ...values])
    }
  }
  t.match(summaryText(summary), /Received {3}\d+ of \d+ packets of sender sim, epoch \d+\nMissing {4}0 packets\n/)
  t.notMatch(summaryText(summary), /Latency/)
})

t.test('packets lost in transit are missing, even at the end', async (t) => {
  const receiver = await startReceiver(t, (arrival) => arrival % 5 === 0)
  const summary = await run(receiver, {}, 10)
  const { sent, received, missing } = summary.udp!
  t.equal(received, receiver.packets.length)
  t.equal(received! + missing!, sent)
  t.ok(missing! > 10, `${missing} missing`)
  t.notOk(summary.ok)
  t.match(summary.failures, [{ cause: 'lost' }])
  t.ok(Math.abs(summary.accepted - receiver.points.length) <= 10, 'as far as packets reveal')
  t.equal(summary.accepted + summary.failed, summary.sent)
})

t.test('causes reported by the server', async (t) => {
  const receiver = await startReceiver(t, (arrival) => {
    receiver.drops.kernel_drops = 7 + arrival
    receiver.drops.shed = 3
    receiver.drops.malformed.empty = 2
    return false
  })
  const text = summaryText(await run(receiver))
  t.match(text, /dropped by the server's kernel \(all senders\)/)
  t.match(text, /; 3 dropped because buffers were full \(all senders\), 2 refused \(all senders\)/)
})

t.test('no receiver, and no report', async (t) => {
  const summary = await run({
    url: new URL('http://127.0.0.1:1'),
    udpUrl: new URL('udp://127.0.0.1:1')
  }, { drainDeadlineMs: 500 })
  t.match(summary, { ok: false, accepted: 0, udp: { received: null, missing: null, kernel_drops: null } })
  t.equal(summary.failed, summary.sent)
  t.match(summaryText(summary), 'Received   unknown: the server did not report on')
  const [url, udpUrl] = [new URL('http://127.0.0.1:1'), new URL('udp://255.255.255.255:8081')]
  await t.rejects(run({ url, udpUrl }), { code: 'EACCES' }, 'broadcast, which no socket may use by default')
})

t.test('an incomplete packet is sent within a second, and idle time produces heartbeats', async (t) => {
  const receiver = await startReceiver(t)
  const transport = await UdpTransport.connect({
    stats: createStats(false),
    ...receiver,
    token: null,
    pointsPerPacket: null,
    sender: 'slow',
    key: null
  })
  t.teardown(async () => { await transport.close() })
  const outlet = transport.outlet('telemetry', TELEMETRY, ['SAT-0001'])
  outlet.send(0, Date.now(), new Float64Array(METRIC_COUNT))
  while (receiver.packets.length < 2) await new Promise((resolve) => setTimeout(resolve, 10))
  t.match(receiver.packets, [{ seq: 0, points: 1 }, { seq: 1, points: 0 }])
  t.ok(outlet.room > 10_000)
})

t.test('packets end at the recommended size if ids are long', async (t) => {
  const receiver = await startReceiver(t)
  const transport = await UdpTransport.connect({
    stats: createStats(false),
    ...receiver,
    token: null,
    pointsPerPacket: null,
    sender: 'long',
    key: null
  })
  t.teardown(async () => { await transport.close() })
  const outlet = transport.outlet('telemetry', TELEMETRY, ['x'.repeat(64)])
  for (let index = 0; index < 50; index++) outlet.send(0, Date.now(), new Float64Array(METRIC_COUNT).fill(0.1))
  await transport.drain(5_000)
  t.match(transport.stats, { sentPoints: 50, acceptedPoints: 50 })
  t.ok(receiver.packets.length > 3 && receiver.packets.every(({ bytes }) => bytes <= 1400))
})

t.test('a point of 250 float64 values takes a packet of its own', async (t) => {
  const receiver = await startReceiver(t, undefined, WIDEST)
  const transport = await UdpTransport.connect({
    stats: createStats(false),
    ...receiver,
    token: null,
    pointsPerPacket: null,
    sender: 'wide',
    key: null
  })
  t.teardown(async () => { await transport.close() })
  const outlet = transport.outlet('telemetry', WIDEST, ['SAT-0001'])
  const values = new Float64Array(WIDEST.metricCount).fill(0.1)
  for (let index = 0; index < 20; index++) outlet.send(0, Date.now(), values)
  t.ok(outlet.room <= 512, `${outlet.room}`)
  await transport.drain(5_000)
  t.match(transport.stats, { sentPoints: 20, acceptedPoints: 20 })
  t.same(receiver.points[0]?.values, [...values])
})
