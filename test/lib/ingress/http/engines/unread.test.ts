/** What clients do not read is bounded in sum, on both engines. Bytes are counted, so memory is not measured. */
import { setTimeout as delay } from 'node:timers/promises'
import { UNREAD_BYTES_MAX, UnreadTotal } from '../../../../../lib/ingress/http/engines/unread-total.js'
import { eventually } from '../../../../support/eventually.js'
import { NO_CERTIFICATES, makeCertificate } from '../../../../support/programs/certificates.js'
import { RawClient, errorOf, onBothEngines, onEngine, startRig, startServer } from './rig.js'
import type { Test } from 'tap'
import type { Route } from '../../../../../lib/ingress/http/api/router.js'
import type { HttpExchange, HttpStream } from '../../../../../lib/ingress/http/engines/engine.js'

/** More than the kernel takes for a client that never reads: 4 MB by default. */
const LARGE = 'large '.repeat(1_300_000)
const GET = 'GET /large HTTP/1.1\r\nhost: x\r\n\r\n'
const PATIENCE_MS = 20_000
const STALL_MS = 400

const ROUTES: Readonly<Record<string, Route>> = {
  '/large': {
    name: 'query',
    methods: {
      GET: (call) => call.reply(200, [], LARGE),
      PUT: (call) => call.readBody(100, () => call.reply(200, [], LARGE))
    }
  },
  '/small': { name: 'index', methods: { GET: (call) => call.reply(200, [], 'x'.repeat(1_000)) } }
}

async function openUnread (t: Test, port: number, sent = GET): Promise<RawClient> {
  const client = await RawClient.open(t, port)
  client.socket.pause()
  client.write(sent)
  return client
}

async function until (what: string, isSo: () => boolean): Promise<void> {
  await eventually(what, PATIENCE_MS, async () => await Promise.resolve(isSo() || undefined), 5)
}

onBothEngines('many large answers that nobody reads: those without room get a 503', async (t, engine) => {
  const unread = new UnreadTotal(2 * LARGE.length)
  const { server, counters, send } = await startRig(t, engine, { routes: ROUTES, unread })
  const clients = await Promise.all(Array.from({ length: 6 }, async () => await openUnread(t, server.port)))
  await until('all were answered', () => counters.requests.query.ok + counters.requests.query.serverError === 6)
  t.match(counters.requests.query, { ok: 2, serverError: 4 })
  t.equal(unread.refused, 4)
  t.equal(unread.bytes, 2 * LARGE.length)
  const answer = await send('/large', { method: 'GET' })
  t.equal(answer.status, 503)
  t.equal(errorOf(answer).code, 'answers_unread')
  t.match(answer.headers, { 'retry-after': '10', 'content-type': 'application/json' })
  t.equal((await send('/small', { method: 'GET' })).status, 200, 'small answers are always sent')
  t.equal((await send('/large', { method: 'HEAD' })).status, 200)
  for (const { socket } of clients) socket.destroy()
  await until('nothing is kept for clients that have gone', () => unread.bytes === 0)
  t.ok((await send('/large', { method: 'GET' })).text === LARGE)
  t.equal(unread.bytes, 0)
  t.equal(unread.cut, 0)
})

onBothEngines('a client that takes nothing is cut off, also if it sends something', async (t, engine) => {
  const unread = new UnreadTotal()
  const { server } = await startRig(t, engine, { routes: ROUTES, unread, bodyStallMs: STALL_MS })
  const silent = await openUnread(t, server.port)
  const talking = await openUnread(t, server.port)
  const timer = setInterval(() => talking.write('x'), STALL_MS / 10)
  t.teardown(() => clearInterval(timer))
  const chunked = await openUnread(t, server.port,
    'PUT /large HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n')
  await until('all are cut off', () => unread.cut === 3 && unread.bytes === 0)
  for (const { socket } of [silent, talking, chunked]) socket.resume()
  await Promise.all([silent, talking, chunked].map(async (client) => await client.waitForEnd()))
})

onBothEngines('a client that reads slowly gets all of it, and its next answer', async (t, engine) => {
  const unread = new UnreadTotal()
  const { server } = await startRig(t, engine, { routes: ROUTES, unread })
  const slow = await RawClient.open(t, server.port)
  slow.socket.on('data', () => {
    slow.socket.pause()
    setTimeout(() => slow.socket.resume(), 5)
  })
  slow.write(GET)
  const answer = await slow.answer()
  t.ok(answer.text === LARGE)
  slow.write('GET /small HTTP/1.1\r\nhost: x\r\n\r\n')
  t.equal((await slow.answer()).text.length, 1_000)
  t.equal(unread.bytes + unread.cut, 0)
})

for (const over of NO_CERTIFICATES === false ? ['TCP', 'TLS'] : ['TCP']) {
  onBothEngines(`over ${over}, an answer that closes its connection arrives whole`, async (t, engine) => {
    const directory = t.testdir()
    const material = over === 'TLS' ? await makeCertificate(directory, 'server') : null
    const unread = new UnreadTotal()
    const tls = material === null ? null : { material, directory }
    const { server } = await startRig(t, engine, { routes: ROUTES, unread, tls })
    const open = async (): Promise<RawClient> => material === null
      ? await RawClient.open(t, server.port)
      : await RawClient.openTls(t, server.port, { ca: material.cert })
    const chunked = await open()
    chunked.write('PUT /large HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n')
    const small = await open()
    small.write('GET /small HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n')
    const kept = await open()
    kept.write(GET)
    t.ok((await kept.answer()).text === LARGE)
    for (const [client, length] of [[chunked, LARGE.length], [small, 1_000]] as const) {
      const { status, headers, text } = await client.answer()
      t.equal(status, 200)
      t.equal(text.length, length)
      if (engine.name === 'uws') {
        t.equal(headers['connection'], 'close')
        await client.waitForEnd()
        t.equal(client.unread, '')
      }
    }
    await until('all was read', () => unread.bytes === 0)
  })
}

onBothEngines('a client that asks on and on, and reads nothing, is not answered on and on', async (t, engine) => {
  for (const [path, bytes, perWrite] of [['/large', LARGE.length, 1], ['/small', 1_000, 1_000]] as const) {
    const { server, counters } = await startRig(t, engine, { routes: ROUTES })
    const client = await openUnread(t, server.port, '')
    const answered = (): number => (counters.requests.query.ok + counters.requests.index.ok) * bytes
    let sent = 0
    for (; sent < 60 && !client.closed; sent++) {
      client.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(perWrite))
      await delay(2)
    }
    // Node.js takes requests that are pipelined, up to what may be kept for all clients.
    const bound = (engine.name === 'node' ? UNREAD_BYTES_MAX : 2 * bytes) + 14_000_000
    t.ok(answered() < bound, `${path}: ${answered()} bytes of answers to ${sent * perWrite} requests`)
  }
})

onEngine('node', 'answers to requests that were pipelined count once each', async (t, engine) => {
  const unread = new UnreadTotal()
  const { server, counters } = await startRig(t, engine, { routes: ROUTES, unread })
  const small = 100
  const client = await openUnread(t, server.port, GET + 'GET /small HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(small))
  await until('all are answered', () => counters.requests.index.ok === small)
  const most = LARGE.length + small * 2_000
  t.ok(unread.bytes > LARGE.length && unread.bytes < most, `${unread.bytes - LARGE.length} bytes of small answers`)
  client.socket.destroy()
  await until('nothing is kept for a client that has gone', () => unread.bytes === 0)
})

onEngine('node', 'requests behind an unanswered one learn that their connection is gone', async (t, engine) => {
  const unread = new UnreadTotal()
  const exchanges = new Map<string, HttpExchange>()
  let closes = 0
  const server = await startServer(t, engine, ({ path }, exchange) => {
    exchanges.set(path, exchange)
    if (path === '/large') exchange.reply(200, [], LARGE)
    if (path === '/events') exchange.stream(200, [], () => { closes++ }).write(LARGE)
  }, { unread })
  const paths = ['/first', '/large', '/events', '/last']
  const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
  const client = await openUnread(t, server.port, requests.join(''))
  await until('all are there', () => exchanges.size === paths.length)
  t.equal(unread.bytes, 2 * LARGE.length)
  client.socket.resetAndDestroy()
  await client.waitForEnd()
  // With so much to send, Node.js reads nothing more: it learns of the end as it writes.
  exchanges.get('/first')?.reply(200, [], '{}')
  await until('nothing is kept', () => unread.bytes === 0)
  t.equal(closes, 1)
  for (const path of ['/events', '/last']) t.equal(exchanges.get(path)?.aborted, true, path)
})

onEngine('node', 'an export behind an endless answer does not keep its place', async (t, engine) => {
  const unread = new UnreadTotal()
  const streams: HttpStream[] = []
  let closes = 0
  const server = await startServer(t, engine, ({ path }, exchange) => {
    streams.push(exchange.stream(200, [], () => { closes++ }, path === '/export' ? 'cut' : 'end'))
  }, { unread, bodyStallMs: STALL_MS })
  const client = await RawClient.open(t, server.port)
  client.write('GET /events HTTP/1.1\r\nhost: x\r\n\r\nGET /export HTTP/1.1\r\nhost: x\r\n\r\n')
  await until('both have begun', () => streams.length === 2)
  t.equal(streams[1]?.write(LARGE), true)
  await streams[1]?.writable()
  await until('both are over', () => closes === 2)
  t.equal(unread.cut, 1)
  t.equal(unread.bytes, 0)
})

onEngine('uws', 'a chunk counts once, however often its client takes something', async (t, engine) => {
  const unread = new UnreadTotal()
  const streams: HttpStream[] = []
  const server = await startServer(t, engine, (_request, exchange) => {
    streams.push(exchange.stream(200, [], () => {}, 'cut'))
  }, { unread })
  const client = await openUnread(t, server.port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await until('the stream has begun', () => streams.length === 1)
  const [stream] = streams
  const chunk = Buffer.alloc(8_000_000, '.')
  t.equal(stream?.write(chunk), true)
  t.equal(unread.bytes, chunk.length, 'more than the kernel takes')
  let [received, most] = [0, 0]
  client.socket.removeAllListeners('data')
  client.socket.on('data', (text: string) => {
    received += text.length
    most = Math.max(most, unread.bytes)
    client.socket.pause()
    setImmediate(() => client.socket.resume())
  })
  client.socket.resume()
  for (let chunks = 1; chunks < 3;) {
    await stream?.writable()
    if (stream?.write(chunk) === true) chunks++
  }
  await stream?.writable()
  stream?.end()
  await until('all has arrived', () => received >= 3 * chunk.length)
  t.ok(most <= 2 * chunk.length, `${most} bytes at most`)
})

onBothEngines('a stream whose client reads slowly keeps a chunk or two', async (t, engine) => {
  const unread = new UnreadTotal()
  const streams: HttpStream[] = []
  const server = await startServer(t, engine, (_request, exchange) => {
    streams.push(exchange.stream(200, [], () => {}, 'cut'))
  }, { unread })
  const client = await RawClient.open(t, server.port)
  let received = 0
  client.socket.removeAllListeners('data')
  client.socket.on('data', (text: string) => {
    received += text.length
    client.socket.pause()
    setTimeout(() => client.socket.resume(), 5)
  })
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await until('the stream has begun', () => streams.length === 1)
  const [stream] = streams
  const chunk = Buffer.alloc(5_000_000, '.')
  let written = 0
  let most = 0
  for (let chunks = 0; chunks < 5;) {
    await stream?.writable()
    if (stream?.write(chunk) === true) {
      chunks++
      written += chunk.length
    }
    most = Math.max(most, written - received)
  }
  t.ok(most < 2 * chunk.length + 14_000_000, `${most} bytes under way`)
  stream?.end()
  await until('all has arrived', () => received >= written)
  t.equal(unread.bytes, 0)
})

onBothEngines('events are dropped when others do not read theirs; an export is not', async (t, engine) => {
  const unread = new UnreadTotal(LARGE.length + 100)
  const streams = new Map<string, HttpStream>()
  const server = await startServer(t, engine, ({ path }, exchange) => {
    if (path === '/large') exchange.reply(200, [], LARGE)
    else streams.set(path, exchange.stream(200, [], () => {}, path === '/export' ? 'cut' : 'end'))
  }, { unread })
  const clients = new Map<string, RawClient>()
  for (const path of ['/events', '/export']) {
    const client = await RawClient.open(t, server.port)
    client.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
    clients.set(path, client)
  }
  await until('the streams have begun', () => streams.size === 2)
  t.equal(streams.get('/events')?.write('before\n'), true)
  const large = await openUnread(t, server.port)
  await until('the room is taken', () => unread.bytes === LARGE.length)
  const chunk = `${'x'.repeat(1_000)}\n`
  t.equal(streams.get('/events')?.write(chunk), false)
  t.equal(unread.dropped, 1)
  t.equal(streams.get('/export')?.write(chunk), true)
  await clients.get('/export')?.waitForText(chunk)
  large.socket.destroy()
  await until('there is room again', () => unread.bytes === 0)
  t.equal(streams.get('/events')?.write('after\n'), true)
  await clients.get('/events')?.waitForText('after\n')
  t.notMatch(clients.get('/events')?.unread, 'xxx')
})

onBothEngines('many event streams whose clients do not read', async (t, engine) => {
  const chunk = 'x'.repeat(1_000_000)
  const unread = new UnreadTotal(3 * chunk.length)
  const streams: HttpStream[] = []
  let closes = 0
  const server = await startServer(t, engine, (_request, exchange) => {
    streams.push(exchange.stream(200, [], () => { closes++ }))
  }, { unread, bodyStallMs: STALL_MS })
  await Promise.all(Array.from({ length: 16 }, async () => await openUnread(t, server.port)))
  await until('the streams have begun', () => streams.length === 16)
  let most = 0
  await until('all are closed', () => {
    for (const stream of streams) {
      stream.write(chunk)
      most = Math.max(most, unread.bytes)
    }
    return closes === 16
  })
  t.ok(most <= 3 * chunk.length, `${most} bytes`)
  t.ok(unread.dropped > 0)
  t.equal(unread.bytes, 0)
})
