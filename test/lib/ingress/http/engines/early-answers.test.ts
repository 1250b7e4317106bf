/** Requests refused by their head alone: the client gets its answer, and the server does not read what it sends on. */
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { POINT_BODY_BYTES_MAX } from '../../../../../lib/ingress/http/api/points.js'
import { BodyWatch, CHUNKS_MAX } from '../../../../../lib/ingress/http/engines/body.js'
import { LINGERING_MAX, Lingering } from '../../../../../lib/ingress/http/engines/lingering.js'
import { POINT, RawClient, errorOf, onBothEngines, post, startRig } from './rig.js'

const PIECE = Buffer.alloc(256 * 1024, ' ')
/** Far more than the kernel keeps for a connection on both sides. */
const PIECES = 400
const BODY_BYTES = PIECES * PIECE.length
const STALL_MS = 400
/** Longer than any test takes. */
const PATIENCE_MS = 20_000

/** Each is refused for another reason, with what the server must be told before. */
const REFUSED = [
  { title: 'no token', path: '/telemetry', headers: '', status: 401 },
  { title: 'wrong token', path: '/telemetry/batch', headers: 'authorization: Bearer wrong\r\n', status: 401 },
  { title: 'unknown path', path: '/nowhere', headers: '', status: 404 },
  { title: 'unknown method', path: '/health', headers: '', status: 405 },
  { title: 'too large', path: '/telemetry', headers: 'authorization: Bearer right\r\n', status: 413 },
  {
    title: 'unknown type',
    path: '/telemetry',
    headers: 'authorization: Bearer right\r\ncontent-type: text/html\r\n',
    status: 415
  }
] as const

/** Sends piece by piece until the connection is closed; resolves with the number of bytes it took. */
async function sendOn (client: RawClient): Promise<number> {
  let bytes = 0
  // By a reset, if the client cannot be told otherwise.
  const gone = new Promise<boolean>((resolve) => { client.socket.once('close', () => resolve(false)) })
  for (let piece = 0; piece < PIECES && !client.closed; piece++) {
    const taken = new Promise<boolean>((resolve) => { client.socket.write(PIECE, (error) => resolve(!error)) })
    if (!await Promise.race([taken, gone])) break
    bytes += PIECE.length
  }
  return bytes
}

for (const { title, path, headers, status } of REFUSED) {
  onBothEngines(`${title}: answered at once, and the body is not read`, async (t, engine) => {
    const { server, intake } = await startRig(t, engine, { apiTokens: ['right'], bodyStallMs: STALL_MS })
    const client = await RawClient.open(t, server.port)
    client.write(post(path, `${headers}content-length: ${BODY_BYTES}`))
    const sending = sendOn(client)
    const answer = await client.answer()
    t.equal(answer.status, status)
    t.match(answer.headers['connection'], /^close$/i)
    t.type(errorOf(answer).code, 'string')
    const bytes = await sending
    t.ok(bytes < BODY_BYTES / 4, `${bytes} bytes were taken`)
    t.same(intake.offers, [])
  })
}

onBothEngines('chunks without end: answered, and read no further than a bound', async (t, engine) => {
  const { server } = await startRig(t, engine, { apiTokens: ['right'], bodyStallMs: STALL_MS })
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', 'transfer-encoding: chunked', `${BODY_BYTES.toString(16)}\r\n`))
  const sending = sendOn(client)
  t.equal((await client.answer()).status, 401)
  const bytes = await sending
  t.ok(bytes < BODY_BYTES / 4, `${bytes} bytes were taken`)
})

onBothEngines('a byte a chunk: refused or no longer read after a bound', async (t, engine) => {
  const { server, intake, counters } = await startRig(t, engine, { bodyStallMs: STALL_MS })
  const chunks = Buffer.from('1\r\n \r\n'.repeat(2 * CHUNKS_MAX))
  for (const [path, status] of [['/telemetry/batch', 413], ['/telemetry', 413], ['/nowhere', 404]] as const) {
    const client = await RawClient.open(t, server.port)
    client.write(Buffer.concat([Buffer.from(post(path, 'transfer-encoding: chunked')), chunks]))
    const answer = await client.answer()
    t.equal(answer.status, status)
    if (status === 413) t.match(errorOf(answer).message, /more than 20000 chunks/)
    await client.waitForEnd()
  }
  t.same(intake.offers, [])
  t.equal(counters.bodyBytes, 0)
})

onBothEngines('a body of one point is refused by its length, long before that of a batch', async (t, engine) => {
  const { server, send } = await startRig(t, engine, { bodyStallMs: STALL_MS })
  for (const path of ['/telemetry', '/telemetry/batch']) {
    const client = await RawClient.open(t, server.port)
    client.write(post(path, `content-length: ${POINT_BODY_BYTES_MAX + 1}`))
    if (path === '/telemetry') {
      const answer = await client.answer()
      t.equal(answer.status, 413)
      t.match(errorOf(answer).message, /one point has at most 524288 bytes; .* \/telemetry\/batch/)
    } else {
      client.write(Buffer.alloc(POINT_BODY_BYTES_MAX + 1, ' '))
      t.equal((await client.answer()).status, 400)
    }
  }
  const packed = gzipSync(POINT.padEnd(POINT_BODY_BYTES_MAX + 1))
  const answer = await send('/telemetry', { body: packed, headers: { 'content-encoding': 'gzip' } })
  t.equal(answer.status, 413)
  t.match(errorOf(answer).message, /one point/)
  t.equal((await send('/telemetry', { body: POINT.padEnd(POINT_BODY_BYTES_MAX) })).status, 202)
})

onBothEngines('many at a time: each gets its answer, also if it reads late', async (t, engine) => {
  const { server } = await startRig(t, engine, { apiTokens: ['right'], bodyStallMs: 4 * STALL_MS })
  const clients = await Promise.all(Array.from({ length: 50 }, async () => await RawClient.open(t, server.port)))
  const statuses = await Promise.all(clients.map(async (client) => {
    client.socket.pause()
    client.write(post('/telemetry', `content-length: ${4 * PIECE.length}`))
    await new Promise((resolve) => { client.socket.write(PIECE, resolve) })
    client.socket.resume()
    return (await client.answer()).status
  }))
  t.same([...new Set(statuses)], [401])
})

onBothEngines('a closed server waits for none of them', async (t, engine) => {
  const { server } = await startRig(t, engine, { apiTokens: ['right'], bodyStallMs: 8 * PATIENCE_MS })
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', `content-length: ${BODY_BYTES}`))
  const sending = sendOn(client)
  t.equal((await client.answer()).status, 401)
  await server.close(PATIENCE_MS)
  await sending
})

t.test('too many at a time: the oldest is closed', (t) => {
  const watch = new BodyWatch(STALL_MS)
  const lingering = new Lingering(watch)
  const closed: number[] = []
  const connections = Array.from({ length: LINGERING_MAX + 2 }, (_, index) => ({ destroy: () => closed.push(index) }))
  for (const connection of connections) lingering.add(connection)
  t.same(closed, [0, 1])
  lingering.delete(connections[2]!)
  lingering.close()
  t.equal(closed.length, LINGERING_MAX + 1)
  watch.close()
  t.end()
})
