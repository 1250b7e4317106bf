/** The HTTP contract, on both engines: many requests per connection, many connections, more than the limit. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Agent, request } from 'undici'
import { POINT, RawClient, errorOf, onBothEngines, onEngine, post, startRig, startServer } from './rig.js'
import type { HttpExchange } from '../../../../../lib/ingress/http/engines/engine.js'

onBothEngines('a thousand requests on one connection', async (t, engine) => {
  const { intake, counters, server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  for (let turn = 0; turn < 1_000; turn++) {
    client.post()
    const { status } = await client.answer()
    if (status !== 202) t.equal(status, 202)
  }
  t.equal(intake.offers.length, 1_000)
  t.equal(counters.requests.telemetry.ok, 1_000)
})

onBothEngines('many concurrent requests each get their own answer', async (t, engine) => {
  const { intake, origin } = await startRig(t, engine)
  intake.hold = true
  const dispatcher = new Agent({ connections: 100 })
  t.teardown(async () => await dispatcher.destroy())
  const ids = Array.from({ length: 100 }, (_, index) => `SAT-${index}`)
  const sent = ids.map(async (id) => {
    const body = JSON.stringify({ satellite_id: id, battery_charge_percent: 1 })
    const answer = await request(`${origin}/telemetry`, { method: 'POST', body, dispatcher })
    return (await answer.body.json() as { satellite_id: string }).satellite_id
  })
  await intake.offered(100)
  // Not in the order in which they arrived.
  intake.held.reverse()
  intake.release()
  t.same(await Promise.all(sent), ids)
})

onBothEngines('over the limit: 503, while other connections stay usable', async (t, engine) => {
  const { intake, counters, server } = await startRig(t, engine, { connectionsMax: 3 })
  const clients = await Promise.all([1, 2, 3].map(async () => await RawClient.open(t, server.port)))
  for (const client of clients) {
    client.post()
    t.equal((await client.answer()).status, 202)
  }
  const beyond = await RawClient.open(t, server.port)
  const answer = await beyond.answer()
  t.equal(answer.status, 503)
  t.equal(errorOf(answer).code, 'too_many_connections')
  t.match(answer.headers, { connection: 'close', 'retry-after': '1', 'content-type': 'application/json' })
  await beyond.waitForEnd()
  const unheard = await RawClient.open(t, server.port)
  unheard.post()
  await unheard.waitForEnd()
  t.equal(counters.refused.too_many_connections, 2)
  for (const client of clients) {
    client.post()
    t.equal((await client.answer()).status, 202)
  }
  t.equal(intake.offers.length, 6, 'nothing from a refused connection is accepted')
  clients[0]!.socket.destroy()
  for (let status = 503; status !== 202;) {
    const next = await RawClient.open(t, server.port)
    next.post()
    status = (await next.answer()).status
  }
  t.pass('a closed connection makes way for another')
})

onEngine('node', 'of requests that are pipelined, a bounded number waits for answers', async (t, engine) => {
  const waiting: HttpExchange[] = []
  const refused: string[] = []
  const server = await startServer(t, engine, (_request, exchange) => { waiting.push(exchange) }, {
    requestsMax: 3, onRefused: (code) => { refused.push(code) }
  })
  const client = await RawClient.open(t, server.port)
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(3))
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(2))
  const other = await RawClient.open(t, server.port)
  other.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  t.equal((await other.answer()).status, 429)
  t.strictSame([waiting.length, refused], [3, ['too_busy', 'too_busy']])
  for (const exchange of waiting) exchange.reply(200, [], '{}')
  for (let count = 0; count < 3; count++) t.equal((await client.answer()).status, 200)
  const answer = await client.answer()
  t.equal(answer.status, 429)
  t.match(answer.headers, { connection: 'close', 'retry-after': '1' })
  t.equal(errorOf(answer).code, 'too_busy')
  await client.waitForEnd()
})

onEngine('node', 'after a refused request nothing is read while an earlier answer is due', async (t, engine) => {
  const { intake, origin, server } = await startRig(t, engine)
  intake.hold = true
  let requests = 0
  const count = (): void => { requests++ }
  subscribe('http.server.request.start', count)
  t.teardown(() => unsubscribe('http.server.request.start', count))
  const client = await RawClient.open(t, server.port)
  client.post()
  await intake.offered(1)
  client.write('GET /live HTTP/1.1\r\nhost: x\r\nexpect: more\r\n\r\n')
  client.write('GET /live HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(100_000))
  // Each takes a turn of the event loop at least, in which as much is read as fits into a buffer.
  for (let turn = 0; turn < 200; turn++) await (await request(`${origin}/live`)).body.dump()
  t.ok(requests < 20_000, `${requests} requests were read`)
  intake.release()
  t.equal((await client.answer()).status, 202)
  t.equal((await client.answer()).status, 417)
  await client.waitForEnd()
})

onBothEngines('clients that reset the connection while they are being refused', async (t, engine) => {
  const { server, send } = await startRig(t, engine)
  const heads = [
    'CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n',
    'nonsense\r\n\r\n',
    'POST /telemetry HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n'
  ]
  for (const head of heads) {
    const clients = await Promise.all(Array.from({ length: 20 }, async () => await RawClient.open(t, server.port)))
    for (const client of clients) client.socket.write(head, () => client.socket.resetAndDestroy())
    await Promise.all(clients.map(async (client) => await client.waitForEnd()))
    t.equal((await send('/telemetry', { body: POINT })).status, 202)
  }
})

onBothEngines('a client that asks to close', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', `connection: close\r\ncontent-length: ${POINT.length}`, POINT))
  t.equal((await client.answer()).status, 202)
  await client.waitForEnd()
})
