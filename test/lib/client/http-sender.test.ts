/** The HTTP sender: what it sends again, what not, and what it says. */
import t from 'tap'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { SendError } from '../../../lib/client/client.js'
import { HttpSender, type HttpSenderOptions, type Point } from '../../../lib/client/client.js'
import { nodeEngine } from '../../../lib/ingress/http/engines/node/node.js'
import { ERRORS, type ErrorCode } from '../../../lib/support/errors.js'
import { makeCertificate, NO_CERTIFICATES } from '../../support/programs/certificates.js'
import { freePort } from '../../support/programs/free-port.js'
import type { Owner } from '../../support/owner.js'
import { startRig } from '../ingress/http/engines/rig.js'

function pointsOf (count: number): Point[] {
  return Array.from({ length: count }, (_, index) => ({ satellite_id: `S-${index}`, storage_usage_mb: index }))
}

function senderTo (owner: Owner, url: string, options: Partial<HttpSenderOptions> = {}): HttpSender {
  const sender = new HttpSender({ url, patienceMs: 20_000, ...options })
  owner.teardown(async () => { await sender.close() })
  return sender
}

async function errorOf (sending: Promise<void>): Promise<SendError> {
  return await sending.then(() => { throw new Error('it was sent') }, (error: unknown) => error as SendError)
}

t.test('many points, in order, with token and ack', async (t) => {
  const { origin, intake } = await startRig(t, nodeEngine, { apiTokens: ['a token of sixteen'] })
  const sender = senderTo(t, `${origin}/`, { token: 'a token of sixteen', ack: 'committed' })
  await sender.send(pointsOf(12_345))
  t.same(intake.offers.map(({ ack, ids }) => [ack, ids.length]), [
    ['committed', 5_000], ['committed', 5_000], ['committed', 2_345]
  ])
  t.equal(intake.offers.at(-1)?.ids.at(-1), 'S-12344')
  await sender.send([])
  const refused = await errorOf(senderTo(t, origin).send(pointsOf(1)))
  t.match(refused, { name: 'SendError', code: 'unauthorized', sent: 0 })
})

t.test('points of a stream go to its path', async (t) => {
  const paths: string[] = []
  const server = createHttpServer((request, response) => {
    paths.push(request.url ?? '')
    request.resume().on('end', () => response.writeHead(202).end())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const sender = senderTo(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`)
  await sender.send(pointsOf(1), 'power')
  await sender.send(pointsOf(1), 'telemetry')
  await sender.send(pointsOf(1), '../limits')
  t.same(paths, ['power/batch', 'batch', '..%2Flimits/batch'].map((path) => `/base/telemetry/${path}?ack=spooled`))
})

t.test('a server that is busy is asked again; invalid points are not sent again', async (t) => {
  const { origin, intake } = await startRig(t, nodeEngine)
  const sender = senderTo(t, origin)
  intake.refused = { code: 'too_busy', retryAfterSeconds: 0 }
  const sending = sender.send(pointsOf(3))
  const impatient = await errorOf(senderTo(t, origin, { patienceMs: 50 }).send(pointsOf(1)))
  t.match(impatient, { code: 'too_busy', sent: 0 })
  intake.refused = null
  await sending
  t.equal(intake.offers.length, 1)
  const points = pointsOf(5_003).map((point, index) => index === 5_002 ? { ...point, storage_usage_mb: 'x' } : point)
  const error = await errorOf(sender.send(points))
  t.match(error, { code: 'invalid_point', sent: 5_000, details: [{ index: 2, field: 'storage_usage_mb' }] })
})

t.test('bodies that are too large are halved', async (t) => {
  const { origin, intake } = await startRig(t, nodeEngine, { maxBodyBytes: 10_000 })
  const sender = senderTo(t, origin)
  await sender.send(pointsOf(1_000))
  t.equal(intake.offers.flatMap(({ ids }) => ids).join(), pointsOf(1_000).map((point) => point.satellite_id).join())
  const error = await errorOf(sender.send([{ satellite_id: 'x'.repeat(20_000) }]))
  t.match(error, { code: 'body_too_large', sent: 0 })
})

t.test('what may have been stored is sent again only if duplicates are accepted', async (t) => {
  const { origin, intake } = await startRig(t, nodeEngine)
  const codes = (Object.keys(ERRORS) as ErrorCode[])
    .filter((code) => ERRORS[code].status === 503 && !ERRORS[code].retryable)
  t.same(codes, ['outcome_unknown', 'spool_failed', 'log_unanswered'])
  for (const code of codes) {
    intake.answer = code
    const offers = intake.offers.length
    const error = await errorOf(senderTo(t, origin, { patienceMs: 1_000 }).send(pointsOf(1)))
    t.match(error, { code, sent: 0 })
    t.equal(intake.offers.length, offers + 1, code)
  }
  const again = senderTo(t, origin, { acceptDuplicates: true }).send(pointsOf(1))
  await intake.offered(codes.length + 2)
  intake.answer = null
  await again
})

t.test('a 202 counts, even if the connection is lost in the middle of it', async (t) => {
  const rough = createServer((socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{'))
  })
  rough.listen(0, '127.0.0.1')
  await once(rough, 'listening')
  t.teardown(() => rough.close())
  await senderTo(t, `http://127.0.0.1:${(rough.address() as AddressInfo).port}`).send(pointsOf(1))
})

t.test('a connection that is lost before the answer; a server that is not there yet', async (t) => {
  const rough = createServer((socket) => { socket.once('data', () => socket.destroy()) })
  rough.listen(0, '127.0.0.1')
  await once(rough, 'listening')
  t.teardown(() => rough.close())
  const lost = await errorOf(senderTo(t, `http://127.0.0.1:${(rough.address() as AddressInfo).port}`).send(pointsOf(1)))
  t.match(lost, { code: 'outcome_unknown', message: /may have been stored/ })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const nobody = await errorOf(senderTo(t, url, { patienceMs: 50 }).send(pointsOf(1)))
  t.match(nobody, { code: 'unreachable', sent: 0, message: url })
  const sending = senderTo(t, url).send(pointsOf(1))
  const late = createServer((socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'))
  })
  late.listen(port, '127.0.0.1')
  await once(late, 'listening')
  t.teardown(() => late.close())
  await sending
})

t.test('a proxy that has lost the server: points may have been stored', async (t) => {
  const statuses = [502, 504, 502, 504, 202]
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => response.writeHead(statuses.shift() ?? 500).end())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const code of ['status_502', 'status_504']) {
    t.match(await errorOf(senderTo(t, url).send(pointsOf(1))), { code, sent: 0 })
  }
  await senderTo(t, url, { acceptDuplicates: true }).send(pointsOf(1))
  t.equal(statuses.length, 0)
})

t.test('a 503 of Envoy: points may have been stored, unless it had no connection', async (t) => {
  const envoy = 'upstream connect error or disconnect/reset before headers'
  const answers: Array<readonly [status: number, text: string]> = []
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => {
      const [status, text] = answers.shift() ?? [500, '']
      response.writeHead(status).end(text)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const unknown = ['', '. reset reason: connection termination', '. reset reason: remote reset',
    '. retried and the latest reset reason: remote connection failure']
  for (const reason of unknown) {
    answers.push([503, envoy + reason])
    t.match(await errorOf(senderTo(t, url).send(pointsOf(1))), { code: 'status_503', sent: 0 }, reason)
  }
  answers.push(
    [503, `${envoy}. reset reason: remote connection failure, transport failure reason: delayed connect error: 111`],
    [503, `${envoy}. reset reason: connection failure`], [503, 'no healthy upstream'], [202, ''])
  await senderTo(t, url).send(pointsOf(1))
  t.equal(answers.length, 0)
})

t.test('something else than OrbitStream', async (t) => {
  const other = createServer((socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope'))
  })
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const error = await errorOf(senderTo(t, `http://127.0.0.1:${(other.address() as AddressInfo).port}`).send(pointsOf(1)))
  t.match(error, { code: 'status_404', message: 'The server answered 404.' })
})

t.test('a certificate that is not trusted is no reason to try again: nothing was sent', NO_CERTIFICATES === false
  ? {}
  : { skip: NO_CERTIFICATES }, async (t) => {
  const { cert, key } = await makeCertificate(t.testdir(), 'server')
  const server = createTlsServer({ cert, key }, (request, response) => {
    request.resume().on('end', () => response.writeHead(202).end())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const error = await errorOf(senderTo(t, url, { acceptDuplicates: true }).send(pointsOf(1)))
  t.match(error, { code: 'unreachable', sent: 0, message: /self-signed certificate$/ })
  await senderTo(t, url, { tls: { ca: cert } }).send(pointsOf(1))
})

t.test('a sender that was closed sends nothing more, and says so', async (t) => {
  let requests = 0
  const server = createHttpServer((request, response) => {
    requests++
    request.resume()
    // The points are not there, so they would be sent again.
    response.writeHead(503).end('{"error":{"code":"spool_full","message":"full"}}')
    void sender.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const sender = senderTo(t, `http://127.0.0.1:${port}`, { acceptDuplicates: true })
  t.match(await errorOf(sender.send(pointsOf(2))), { code: 'closed', message: 'The sender was closed.', sent: 0 })
  t.match(await errorOf(sender.send(pointsOf(1))), { code: 'closed', sent: 0 })
  t.equal(requests, 1)
})

t.test('options with which nothing could be sent; closing twice', async (t) => {
  for (const url of ['127.0.0.1:8080', 'localhost:8080', 'udp://127.0.0.1:8081', '']) {
    t.throws(() => new HttpSender({ url }), TypeError, url)
  }
  t.throws(() => new HttpSender({ url: 'http://localhost', token: 'read from a file\n' }), /^the token .* line break/)
  const sender = new HttpSender({ url: 'http://localhost' })
  await Promise.all([sender.close(), sender.close()])
})
