/** The HTTP contract, on both engines: listening and closing. */
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:net'
import { once } from 'node:events'
import { POINT, RawClient, onBothEngines, onEngine, startRig, startServer } from './rig.js'
import type { HttpExchange, HttpStream } from '../../../../../lib/ingress/http/engines/engine.js'

const LONG_MS = 60_000

onBothEngines('port 0 yields a real port; an address that is not local is an error', async (t, engine) => {
  const server = await startServer(t, engine, (_request, exchange) => exchange.reply(200, [], ''))
  t.ok(server.port > 1024)
  await t.rejects(engine.listen('203.0.113.7', 0, () => { t.fail('never called') }), /203\.0\.113\.7/)
})

// uWebSockets.js shares ports between processes, which is how workers listen.
onEngine('node', 'a port in use is an error', async (t, engine) => {
  const { server } = await startRig(t, engine)
  await t.rejects(engine.listen('127.0.0.1', server.port, () => { t.fail('never called') }), { code: 'EADDRINUSE' })
})

onBothEngines('closing answers pending requests, ends idle connections and accepts no new ones', async (t, engine) => {
  const { intake, server } = await startRig(t, engine)
  const silent = await RawClient.open(t, server.port)
  const idle = await RawClient.open(t, server.port)
  idle.post()
  await idle.answer()
  intake.hold = true
  const busy = await RawClient.open(t, server.port)
  busy.post()
  await intake.offered(2)
  const closed = server.close(LONG_MS)
  t.equal(server.close(0).constructor, Promise, 'closing twice is allowed, and the first deadline counts')
  const late = connect({ port: server.port, host: '127.0.0.1' })
  const [error] = await once(late, 'error') as [NodeJS.ErrnoException]
  t.equal(error.code, 'ECONNREFUSED')
  intake.release()
  const answer = await busy.answer()
  t.equal(answer.status, 202)
  t.equal(String(answer.headers['connection']).toLowerCase(), 'close')
  await Promise.all([silent.waitForEnd(), idle.waitForEnd(), busy.waitForEnd()])
  await closed
})

onBothEngines('closing waits for a body that is still arriving', async (t, engine) => {
  const { server, send } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write(`POST /telemetry HTTP/1.1\r\nhost: x\r\ncontent-length: ${POINT.length}\r\n\r\n${POINT.slice(0, 10)}`)
  await send('/', { method: 'GET' })
  const closed = server.close(LONG_MS)
  client.write(POINT.slice(10))
  t.equal((await client.answer()).status, 202)
  await closed
})

onBothEngines('closing cuts connections at the deadline', async (t, engine) => {
  const { intake, counters, server } = await startRig(t, engine)
  intake.hold = true
  const client = await RawClient.open(t, server.port)
  client.post()
  await intake.offered(1)
  const started = performance.now()
  await server.close(50)
  t.ok(performance.now() - started >= 49)
  await client.waitForEnd()
  t.equal(client.unread, '')
  intake.release()
  t.match(counters.requests.telemetry, { ok: 0, aborted: 1 }, 'an acknowledgement after the cut is harmless')
})

onBothEngines('closing without pending requests', async (t, engine) => {
  const { server, send } = await startRig(t, engine)
  await send('/', { method: 'GET' })
  const started = performance.now()
  await server.close(LONG_MS)
  t.ok(performance.now() - started < 1_000)
})

onBothEngines('closing under load: every accepted point is answered', async (t, engine) => {
  const { intake, server } = await startRig(t, engine)
  let accepted = 0
  const run = async (): Promise<void> => {
    const client = await RawClient.open(t, server.port)
    try {
      for (;;) {
        client.post()
        if ((await client.answer()).status === 202) accepted++
      }
    } catch {
      t.ok(client.closed)
    }
  }
  const load = Promise.all(Array.from({ length: 20 }, run))
  await intake.offered(500)
  await server.close(LONG_MS)
  await load
  t.ok(accepted >= 500)
  t.equal(accepted, intake.offers.length)
})

onBothEngines('a stream: chunks, a slow reader, an end', async (t, engine) => {
  const streams: Array<{ write: (chunk: string) => boolean, end: () => void }> = []
  let closes = 0
  const server = await startServer(t, engine, (_request, exchange) => {
    streams.push(exchange.stream(200, [['content-type', 'text/event-stream']], () => { closes++ }))
  })
  const client = await RawClient.open(t, server.port)
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  while (streams.length === 0) await delay(1)
  const stream = streams[0]!
  t.equal(stream.write('data: 1\n\n'), true)
  await client.waitForText('data: 1\n\n')
  t.match(client.unread, /^HTTP\/1.1 200 OK\r\n[^]*text\/event-stream/)
  client.socket.pause()
  const chunk = 'x'.repeat(100_000)
  let taken = 0
  while (stream.write(chunk)) taken++
  t.ok(taken < 1_000, `gave up after ${taken} chunks`)
  t.equal(stream.write('lost'), false)
  client.socket.resume()
  while (!stream.write('data: 2\n\n')) await delay(1)
  // Its first byte may be a chunk of its own.
  await client.waitForText('ata: 2\n\n')
  t.notMatch(client.unread, 'lost')
  stream.end()
  await client.waitForText('\r\n0\r\n\r\n')
  t.equal(stream.write('after'), false)
  stream.end()
  t.equal(closes, 0, 'not after end()')
})

onBothEngines('a stream ends when its client disconnects, or when the server closes', async (t, engine) => {
  const closes: string[] = []
  let opened = 0
  const server = await startServer(t, engine, (request, exchange) => {
    const { path } = request
    exchange.stream(200, [], () => closes.push(path)).write('open\n')
    opened++
  })
  const gone = await RawClient.open(t, server.port)
  gone.write('GET /gone HTTP/1.1\r\nhost: x\r\n\r\n')
  await gone.waitForText('open\n')
  gone.socket.destroy()
  while (closes.length === 0) await delay(1)
  t.same(closes, ['/gone'])
  const kept = await RawClient.open(t, server.port)
  kept.write('GET /kept HTTP/1.1\r\nhost: x\r\n\r\n')
  await kept.waitForText('open\n')
  await server.close(LONG_MS)
  await kept.waitForEnd()
  t.match(kept.unread, '0\r\n\r\n')
  t.same(closes, ['/gone', '/kept'])
  t.equal(opened, 2)
})

onBothEngines('retiring serves what is open, once more each, and cuts nothing', async (t, engine) => {
  const held: HttpExchange[] = []
  const exports: HttpStream[] = []
  const server = await startServer(t, engine, ({ path }, exchange) => {
    if (path === '/held') held.push(exchange)
    else if (path === '/events') exchange.stream(200, [], () => {}).write('open\n')
    else if (path === '/export') exports.push(exchange.stream(200, [], () => { t.fail('cut') }, 'cut'))
    else exchange.reply(200, [], 'ok')
  })
  const open = async (path: string): Promise<RawClient> => {
    const client = await RawClient.open(t, server.port)
    client.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
    return client
  }
  const [idle, busy] = [await open('/'), await open('/held')]
  const [events, exporting] = [await open('/events'), await open('/export')]
  await idle.answer()
  await events.waitForText('open\n')
  while (held.length + exports.length < 2) await delay(1)
  exports[0]?.write('first')
  const retired = server.retire(LONG_MS)
  const late = connect({ port: server.port, host: '127.0.0.1' })
  const [error] = await once(late, 'error') as [NodeJS.ErrnoException]
  t.equal(error.code, 'ECONNREFUSED')
  await events.waitForText('0\r\n\r\n')
  events.socket.destroy()
  held[0]?.reply(200, [], '')
  const served = [await busy.answer()]
  t.notOk(idle.closed, 'an idle connection may have a request on its way')
  idle.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  served.push(await idle.answer())
  for (const { status, headers } of served) t.match([status, headers['connection']], [200, /^close$/i])
  await Promise.all([busy.waitForEnd(), idle.waitForEnd()])
  exports[0]?.write('last')
  exports[0]?.end()
  await exporting.waitForText('0\r\n\r\n')
  t.match(exporting.unread, /first[^]*last/)
  exporting.socket.destroy()
  await retired
})

onBothEngines('retiring cuts connections at the deadline', async (t, engine) => {
  const { server, send } = await startRig(t, engine)
  await send('/', { method: 'GET' })
  const client = await RawClient.open(t, server.port)
  client.post()
  await client.answer()
  await server.retire(50)
  await client.waitForEnd()
})
