import t, { type Test } from 'tap'
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { prepareLoad } from '../../../benchmarks/load/child.js'
import type { HttpJob, HttpResult, PacedJob, PacedResult, UdpJob, UdpResult } from '../../../benchmarks/load/jobs.js'
import { PointColumns } from '../../../protocol/columns.js'
import { decodePacket } from '../../../protocol/packet.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

const RULES = { timeWindowPastMs: 60_000, timeWindowFutureMs: 60_000, unknownFields: 'reject' } as const

async function serve (t: Test, answer: (body: string, request: IncomingMessage) => { status: number, delayMs: number }): Promise<number> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      const { status, delayMs } = answer(body, request)
      setTimeout(() => response.writeHead(status).end('{}'), delayMs)
    })
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function job (port: number, batch: number): HttpJob {
  return { target: { host: '127.0.0.1', port, path: '/telemetry/batch', format: 'json' }, points: { satellites: 3, bodies: 8, batch }, single: false, connections: 4, seconds: 0.3 }
}

t.test('the closed loop says of each body how often it was sent and acknowledged', async t => {
  const seen = new Map<number, number>()
  let refused = 0
  const port = await serve(t, (body) => {
    const points = JSON.parse(body) as Array<{ storage_usage_mb: number }>
    const number = (points[0]?.storage_usage_mb ?? NaN) * 2 / 5
    seen.set(number, (seen.get(number) ?? 0) + 1)
    if (number !== 3) return { status: 202, delayMs: 0 }
    refused++
    return { status: 503, delayMs: 0 }
  })
  const load = await prepareLoad<HttpResult>('./http-sender.js', job(port, 5))
  const result = await load.run()
  t.same(result.sent, Array.from({ length: 8 }, (_, body) => seen.get(body) ?? 0))
  t.same(result.acknowledged, result.sent.map((count, body) => body === 3 ? 0 : count))
  t.equal(result.statuses['503'], refused)
  t.ok(refused > 0)
  t.equal(result.latency.count, result.sent.reduce((sum, count) => sum + count, 0))
  t.ok(load.cpuSeconds > 0)
})

t.test('the open loop counts from the moment that a request was due: a stall of the server is seen by all that it held up', async t => {
  const STALL_MS = 300
  let stallUntilMs = 0
  let probes = 0
  const port = await serve(t, (_body, request) => {
    if (request.url === '/probe') probes++
    const nowMs = performance.now()
    if (stallUntilMs === 0) stallUntilMs = nowMs + STALL_MS
    return { status: 202, delayMs: Math.max(0, stallUntilMs - nowMs) }
  })
  const paced: PacedJob = { ...job(port, 1), seconds: 0.6, requestsPerSecond: 200, probesPerSecond: 20, probePath: '/probe' }
  const load = await prepareLoad<PacedResult>('./paced-sender.js', paced)
  const { sent, latency, probesDueMs, probesAcknowledged } = await load.run()
  t.equal(sent.reduce((sum, count) => sum + count, 0), 120, 'all that were due were sent')
  // Four connections: a sender that waits for answers would have four slow requests; half of all were due during the stall.
  t.ok(latency.p50 > 20, `p50 ${latency.p50} ms`)
  t.ok(latency.max > STALL_MS * 0.8)
  t.equal(probesDueMs.length, 12)
  t.equal(probesAcknowledged, probes)
})

t.test('a load that cannot be prepared says why', async t => {
  await t.rejects(prepareLoad<HttpResult>('./http-sender.js', job(1, 1)), /ECONNREFUSED/)
})

t.test('packets are whole, numbered from 0, and all of them are counted', async t => {
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  const sequences: number[] = []
  const received = { points: 0 }
  const columns = new PointColumns()
  socket.on('message', (packet) => {
    const result = decodePacket(packet, Date.now() * 1000, RULES, new SatelliteTable(), columns)
    if (result.kind !== 'frame') t.fail(JSON.stringify(result))
    else if (columns.count > 0) sequences.push(result.seq)
    received.points += columns.count
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const udp: UdpJob = { host: '127.0.0.1', port: socket.address().port, points: { satellites: 3, bodies: 4, batch: 25 }, pointsPerSecond: 5_000, seconds: 0.2 }
  const load = await prepareLoad<UdpResult>('./udp-sender.js', udp)
  const result = await load.run()
  t.equal(result.packets, 40)
  t.equal(result.points, 1000)
  while (received.points < 1000) await once(socket, 'message')
  t.same(sequences, Array.from({ length: 40 }, (_, sequence) => sequence))
})
