import t, { type Test } from 'tap'
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { prepareLoad } from '../../../benchmarks/load/child.js'
import type {
  AutocannonJob, AutocannonResult, HttpJob, HttpResult, PacedJob, PacedResult, UdpJob, UdpResult
} from '../../../benchmarks/load/jobs.js'
import { PointColumns } from '../../../protocol/columns.js'
import { TELEMETRY } from '../../support/points/built-in.js'
import { decodePacket } from '../../../protocol/packet/packet.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

const RULES = { timeWindowPastMs: 60_000, timeWindowFutureMs: 60_000, unknownFields: 'reject' } as const

const NEVER = Infinity

async function serve (
  t: Test,
  answer: (body: string, request: IncomingMessage) => { status: number, delayMs: number }
): Promise<number> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      const { status, delayMs } = answer(body, request)
      if (delayMs !== NEVER) {
        setTimeout(() => response
          .writeHead(status)
          .end(status === 503 ? '{"error":{"code":"overloaded"}}' : '{}'), delayMs)
      }
    })
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function job (port: number, batch: number): HttpJob {
  return {
    target: { host: '127.0.0.1', port, path: '/telemetry/batch', format: 'json' },
    points: { satellites: 3, bodies: 8, batch },
    single: false,
    connections: 4,
    seconds: 0.3
  }
}

t.test('the closed loop counts how often each body was sent and acknowledged', async t => {
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
  t.equal(result.statuses['503 overloaded'], refused)
  t.ok(refused > 0)
  t.equal(result.latency.count, result.acknowledged.reduce((sum, count) => sum + count, 0), 'refusals have no latency')
  t.ok(load.cpuSeconds > 0)
})

t.test('the open loop measures from when a request was due: a stall affects all delayed requests', async t => {
  const STALL_MS = 300
  let stallUntilMs = 0
  let probes = 0
  const port = await serve(t, (_body, request) => {
    if (request.url === '/probe') probes++
    const nowMs = performance.now()
    if (stallUntilMs === 0) stallUntilMs = nowMs + STALL_MS
    return { status: 202, delayMs: Math.max(0, stallUntilMs - nowMs) }
  })
  const paced: PacedJob = {
    ...job(port, 1),
    seconds: 0.6,
    requestsPerSecond: 200,
    probesPerSecond: 20,
    probePath: '/probe'
  }
  const load = await prepareLoad<PacedResult>('./paced-sender.js', paced)
  const { sent, latency, probesDueMs, probesAcknowledged } = await load.run()
  t.equal(sent.reduce((sum, count) => sum + count, 0), 120, 'all due requests were sent')
  // With four connections a closed loop would have four slow requests; half of all were due during the stall.
  t.ok(latency.p50 > 20, `p50 ${latency.p50} ms`)
  t.ok(latency.max > STALL_MS * 0.8)
  t.equal(probesDueMs.length, 12)
  t.equal(probesAcknowledged, probes)
})

t.test('at a fixed rate, warm-up requests count, but not their latency', async t => {
  let requests = 0
  const port = await serve(t, () => ({ status: 202, delayMs: requests++ === 0 ? 100 : 0 }))
  const load = await prepareLoad<PacedResult>('./paced-sender.js', {
    ...job(port, 1),
    seconds: 0.4,
    warmUpSeconds: 0.2,
    requestsPerSecond: 100,
    probesPerSecond: 20,
    probePath: '/probe'
  })
  const { acknowledged, latency, startedAtMs, probesDueMs } = await load.run()
  t.equal(acknowledged.reduce((sum, count) => sum + count, 0), 40)
  t.equal(latency.count, 20)
  t.equal(probesDueMs.length, 4)
  t.ok(probesDueMs.every((dueMs) => dueMs >= startedAtMs + 200))
})

t.test('a closed loop ends even without a response, and counts the request with its age', async t => {
  let requests = 0
  const port = await serve(t, () => ({ status: 202, delayMs: requests++ === 0 ? NEVER : 0 }))
  const load = await prepareLoad<HttpResult>('./http-sender.js', {
    ...job(port, 1),
    seconds: 0.1,
    answerDeadlineMs: 200
  })
  const { sent, acknowledged, unanswered, latency } = await load.run()
  const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0)
  t.equal(unanswered, 1)
  t.equal(sum(sent) - sum(acknowledged), 1)
  t.equal(latency.count, sum(sent))
  t.ok(latency.max >= 200, `${latency.max} ms`)
})

t.test('at a fixed rate, refusals have no latency, and unanswered requests count with their age', async t => {
  let requests = 0
  const port = await serve(t, (_body, request) =>
    ({ status: 503, delayMs: request.url !== '/probe' && requests++ === 0 ? NEVER : 0 }))
  const load = await prepareLoad<PacedResult>('./paced-sender.js', {
    ...job(port, 1),
    seconds: 0.2,
    requestsPerSecond: 100,
    probesPerSecond: 20,
    probePath: '/probe',
    answerDeadlineMs: 200
  })
  const { statuses, unanswered, latency, probesDueMs, probesAcknowledged, probeStatuses } = await load.run()
  t.same(statuses, { '503 overloaded': 19 })
  t.equal(unanswered, 1)
  t.equal(latency.count, 1)
  t.ok(latency.p50 >= 200, `${latency.p50} ms`)
  t.equal(probesAcknowledged, 0)
  t.same(probeStatuses, { '503 overloaded': probesDueMs.length })
})

t.test('at a fixed rate, no body is resent before its response, however many overtake it', async t => {
  // Not answered before then: on a slow machine the load lasts longer, and the body may be sent again.
  const answeredMs = new Map<string, number>()
  let requests = 0
  let twice = 0
  const port = await serve(t, (body) => {
    const number = /"storage_usage_mb":([\d.]+)/.exec(body)?.[1] ?? ''
    if (performance.now() < (answeredMs.get(number) ?? 0)) twice++
    const delayMs = requests++ === 0 ? 300 : 0
    if (delayMs > 0) answeredMs.set(number, performance.now() + delayMs)
    return { status: 202, delayMs }
  })
  const load = await prepareLoad<PacedResult>('./paced-sender.js', {
    ...job(port, 1),
    seconds: 0.25,
    requestsPerSecond: 400,
    probesPerSecond: 0,
    probePath: ''
  })
  const { sent } = await load.run()
  t.equal(sent.reduce((sum, count) => sum + count, 0), 100)
  t.equal(twice, 0)
})

t.test('autocannon at a fixed rate: bodies are counted as received, and refusals have no latency', async t => {
  const seen = [0, 0, 0]
  const port = await serve(t, (body) => {
    const number = (JSON.parse(body) as { storage_usage_mb: number }).storage_usage_mb * 2
    seen[number] = (seen[number] ?? 0) + 1
    return { status: number === 2 ? 400 : 202, delayMs: 0 }
  })
  const cannon: AutocannonJob = {
    url: `http://127.0.0.1:${port}/telemetry`,
    points: { satellites: 3, bodies: 3, batch: 1 },
    connections: 2,
    requestsPerSecond: 20,
    seconds: 1
  }
  const {
    sent, acknowledged, statuses, failed, latency
  } = await (await prepareLoad<AutocannonResult>('./autocannon-sender.js', cannon)).run()
  t.same(sent, seen)
  t.equal(sent.reduce((sum, count) => sum + count, 0), 20)
  t.same(acknowledged, [seen[0], seen[1], 0])
  t.equal(statuses['400'], seen[2])
  t.equal(failed, 0)
  t.equal(latency.count, 20 - (seen[2] ?? 0))
})

t.test('autocannon at full speed: all requests but those in flight at the end are answered', async t => {
  const port = await serve(t, () => ({ status: 202, delayMs: 0 }))
  const cannon: AutocannonJob = {
    url: `http://127.0.0.1:${port}/telemetry`,
    points: { satellites: 3, bodies: 3, batch: 1 },
    connections: 2,
    requestsPerSecond: null,
    seconds: 1
  }
  const { sent, acknowledged } = await (await prepareLoad<AutocannonResult>('./autocannon-sender.js', cannon)).run()
  const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0)
  t.ok(sum(acknowledged) > 2)
  t.ok(sum(sent) - sum(acknowledged) <= 2)
})

t.test('a load that fails to prepare says why', async t => {
  await t.rejects(prepareLoad<HttpResult>('./http-sender.js', job(1, 1)), /ECONNREFUSED/)
})

t.test('packets are complete, numbered from 0, and all are counted', async t => {
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  const sequences: number[] = []
  const received = { points: 0 }
  const firstTimes = new Set<number>()
  const columns = new PointColumns(TELEMETRY)
  socket.on('message', (packet) => {
    const result = decodePacket(packet, Date.now() * 1000, RULES, new SatelliteTable(), columns)
    if (result.kind !== 'frame') t.fail(JSON.stringify(result))
    else if (columns.count > 0) {
      sequences.push(result.seq)
      firstTimes.add(columns.timesMicros[0] as number)
    }
    received.points += columns.count
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const udp: UdpJob = {
    host: '127.0.0.1',
    port: socket.address().port,
    points: { satellites: 3, bodies: 4, batch: 25 },
    pointsPerSecond: 5_000,
    seconds: 0.2
  }
  const load = await prepareLoad<UdpResult>('./udp-sender.js', udp)
  const result = await load.run()
  t.equal(result.packets, 40)
  t.equal(result.points, 1000)
  while (received.points < 1000) await once(socket, 'message')
  t.equal(firstTimes.size, 40, 'no two packets have the same time')
  t.same(sequences, Array.from({ length: 40 }, (_, sequence) => sequence))
})
