import t, { type Test } from 'tap'
import { createServer as createSocketServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../../support/points/built-in.js'
import { HttpTransport, type HttpTransportOptions } from '../../../../lib/sim/send/http-transport.js'
import { countFailure } from '../../../../lib/sim/send/transport.js'
import { accept, refuse, startServer } from './http-server.js'

const TIME_MS = Date.UTC(2024, 5, 1)
const DEADLINE_MS = 5_000

function makeTransport (t: Test, url: URL, options: Partial<HttpTransportOptions> = {}): HttpTransport {
  const transport = new HttpTransport({
    url,
    ids: ['SAT-0001', 'SAT-0002'],
    schema: TELEMETRY,
    batchSize: 1,
    format: 'json',
    connectionsMax: 4,
    token: null,
    ...options
  })
  t.teardown(async () => await transport.close())
  return transport
}

function sendPoints (transport: HttpTransport, count: number): void {
  const values = new Float64Array(METRIC_COUNT)
  for (let point = 0; point < count; point++) {
    values.fill(point)
    transport.send(point % 2, TIME_MS + point, values)
  }
}

const point = (index: number): unknown => ({
  satellite_id: `SAT-000${index % 2 + 1}`,
  time: new Date(TIME_MS + index).toISOString(),
  ...Object.fromEntries(METRICS.map(({ name }) => [name, index]))
})

async function closedPort (): Promise<number> {
  const server = createSocketServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

t.test('one point per request, on few connections', async t => {
  const { url, received, server } = await startServer(t, accept)
  let connections = 0
  server.on('connection', () => connections++)
  const transport = makeTransport(t, url, { token: 'secret' })
  sendPoints(transport, 50)
  await transport.drain(DEADLINE_MS)
  const { stats } = transport
  t.match(stats, { sentMessages: 50, sentPoints: 50, acceptedPoints: 50, failedPoints: 0, askedToWait: 0 })
  t.equal(stats.latencies.count, 50)
  t.equal(connections, 4)
  t.equal(received.length, 50)
  t.same(
    new Set(received.map(({ body }) => body)),
    new Set(Array.from({ length: 50 }, (_, index) => JSON.stringify(point(index))))
  )
  t.match(received[0], {
    method: 'POST',
    path: '/telemetry',
    headers: { 'content-type': 'application/json', authorization: 'Bearer secret', connection: undefined }
  })
})

t.test('batches contain points of several satellites; the last one may be smaller', async t => {
  const { url, received } = await startServer(t, accept)
  const transport = makeTransport(t, new URL(url.href + 'behind/proxy/'), { batchSize: 4 })
  sendPoints(transport, 10)
  t.equal(transport.stats.sentMessages, 2)
  await transport.drain(DEADLINE_MS)
  t.match(transport.stats, { sentMessages: 3, sentPoints: 10, acceptedPoints: 10 })
  const batches = received.map(({ body }) => JSON.parse(body) as unknown[])
  t.same(batches.map(batch => batch.length).sort(), [2, 4, 4])
  t.same(
    new Set(batches.flat().map(entry => JSON.stringify(entry))),
    new Set(Array.from({ length: 10 }, (_, index) => JSON.stringify(point(index))))
  )
  t.match(received[0], { path: '/behind/proxy/telemetry/batch', headers: { authorization: undefined } })
})

t.test('an incomplete batch is sent after a while', async t => {
  let onRequest = (): void => {}
  const arrived = new Promise<void>(resolve => { onRequest = resolve })
  const { url, received } = await startServer(t, (request, response) => {
    accept(request, response)
    onRequest()
  })
  const transport = makeTransport(t, url, { batchSize: 100 })
  const held = setTimeout(() => {}, DEADLINE_MS) // the transport's own timer is unreferenced
  sendPoints(transport, 3)
  await arrived
  clearTimeout(held)
  t.equal((JSON.parse(received[0]!.body) as unknown[]).length, 3)
})

t.test('responses other than 2xx count as failed, by status and code', async t => {
  const answers = [
    refuse(400, 'invalid_point'), refuse(503, 'overloaded', { 'retry-after': '2' }),
    refuse(503, 'overloaded', { 'retry-after': '1' }), accept
  ]
  const { url } = await startServer(t, (request, response) => {
    const index = (JSON.parse(request.body) as Record<string, number>)[METRICS[0].name]!
    answers[index]!(request, response)
  })
  const transport = makeTransport(t, url)
  sendPoints(transport, 4)
  await transport.drain(DEADLINE_MS)
  t.match(transport.stats, { sentPoints: 4, acceptedPoints: 1, failedPoints: 3, askedToWait: 2 })
  t.same(Object.fromEntries(transport.stats.failures), {
    'HTTP 400 invalid_point': { points: 1, example: 'Because of invalid_point.' },
    'HTTP 503 overloaded': { points: 2, example: 'Because of overloaded.' }
  })
})

for (const body of ['no JSON', '17', '{"error":null}', '{"error":{"code":5,"message":[]}}', '{}']) {
  t.test(`an error in another format counts by its status: ${body}`, async t => {
    const { url } = await startServer(t, (_request, response) => { response.writeHead(404).end(body) })
    const transport = makeTransport(t, url)
    sendPoints(transport, 1)
    await transport.drain(DEADLINE_MS)
    t.same([...transport.stats.failures], [['HTTP 404', { points: 1, example: '' }]])
  })
}

t.test('refused connections: points fail, soon without an attempt each, until the server is back', async t => {
  const port = await closedPort()
  const transport = makeTransport(t, new URL(`http://127.0.0.1:${port}`))
  let failedAtOnce = 0
  while (failedAtOnce < 1_000) {
    sendPoints(transport, 2)
    await transport.drain(DEADLINE_MS)
    const before = transport.stats.failedPoints
    sendPoints(transport, 1_000)
    failedAtOnce = transport.stats.failedPoints - before
    await transport.drain(DEADLINE_MS)
  }
  t.equal(failedAtOnce, 1_000)
  t.strictSame([...transport.stats.failures.keys()], ['ECONNREFUSED'])
  const server = createSocketServer(socket => {
    socket
      .on('error', () => {})
      .end('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n')
  }).listen(port, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  while (transport.stats.acceptedPoints === 0) {
    sendPoints(transport, 1)
    await transport.drain(DEADLINE_MS)
    await new Promise(setImmediate)
  }
  t.equal(transport.stats.sentPoints, transport.stats.acceptedPoints + transport.stats.failedPoints)
})

t.test('a broken connection fails only its request', async t => {
  let first = true
  const { url } = await startServer(t, (request, response) => {
    if (first) response.destroy()
    else accept(request, response)
    first = false
  })
  const transport = makeTransport(t, url, { connectionsMax: 1 })
  sendPoints(transport, 5)
  await transport.drain(DEADLINE_MS)
  t.match(transport.stats, { acceptedPoints: 4, failedPoints: 1 })
  t.match([...transport.stats.failures.keys()], [/^(closed|ECONNRESET|EPIPE)$/])
})

t.test('a response timeout is a failure', async t => {
  const { url } = await startServer(t, () => {})
  const transport = makeTransport(t, url, { answerTimeoutMs: 100 })
  sendPoints(transport, 1)
  await transport.drain(DEADLINE_MS)
  t.match(Object.fromEntries(transport.stats.failures), { timeout: { points: 1 } })
})

t.test('room is what the bounds on unanswered requests and points leave', async t => {
  const waiting: Array<() => void> = []
  const { url } = await startServer(t, (request, response) => { waiting.push(() => accept(request, response)) })
  const single = makeTransport(t, url, { requestsMax: 6, connectionsMax: 2 })
  t.equal(single.room, 6)
  sendPoints(single, 5)
  t.equal(single.room, 1)
  const batched = makeTransport(t, url, { batchSize: 4, requestsMax: 100, pointsMax: 10 })
  t.equal(batched.room, 10)
  sendPoints(batched, 6)
  t.equal(batched.room, 4)
  const drained = Promise.all([single.drain(DEADLINE_MS), batched.drain(DEADLINE_MS)])
  const answering = setInterval(() => waiting.splice(0).forEach(answer => answer()), 5)
  await drained
  clearInterval(answering)
  t.equal(single.room, 6)
  t.equal(batched.room, 10)
  t.equal(single.stats.acceptedPoints + batched.stats.acceptedPoints, 11)
})

t.test('drain gives up at its deadline; unanswered points fail', async t => {
  const { url } = await startServer(t, () => {})
  const transport = makeTransport(t, url, { connectionsMax: 1 })
  sendPoints(transport, 3)
  await transport.drain(50)
  t.match(transport.stats, { sentPoints: 3, acceptedPoints: 0, failedPoints: 3 })
  t.same([...transport.stats.failures], [['no answer', { points: 3, example: '' }]])
})

t.test('close counts unsent points, and may be called twice', async t => {
  const { url, received } = await startServer(t, accept)
  const transport = makeTransport(t, url, { batchSize: 10 })
  sendPoints(transport, 3)
  await Promise.all([transport.close(), transport.close()])
  await transport.close()
  t.match(transport.stats, { sentPoints: 3, failedPoints: 3 })
  t.same(received, [])
})

t.test('excess causes of failure are counted as other', t => {
  const transport = makeTransport(t, new URL('http://127.0.0.1:1'))
  for (let cause = 0; cause < 100; cause++) countFailure(transport.stats, `cause ${cause}`, '', 1)
  t.equal(transport.stats.failures.size, 21)
  t.equal(transport.stats.failures.get('other')?.points, 80)
  t.equal(transport.stats.failedPoints, 100)
  t.end()
})
