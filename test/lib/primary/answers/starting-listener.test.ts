/** Answers to HTTP clients while the server starts. */
import t from 'tap'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { Agent, request } from 'undici'
import type { StatusAnswer } from '../../../../lib/ingress/http/api/status-port.js'
import { TokenCheck } from '../../../../lib/ingress/http/api/tokens.js'
import { NO_CERTIFICATES, makeCertificate } from '../../../support/programs/certificates.js'
import { freePort } from '../../../support/programs/free-port.js'
import { temporaryDirectory } from '../../../support/database/postgres.js'
import { StartingListener } from '../../../../lib/primary/answers/starting-listener.js'

t.test('503 for everything, with the reason on /health; then the port is free', async (t) => {
  const port = await freePort()
  let reason = 'waits'
  const tokens = new TokenCheck(null, { readOpen: false })
  const health = (): StatusAnswer => {
    return { status: 503, contentType: 'application/json', body: JSON.stringify({ status: 'unhealthy', reason }) }
  }
  const listener = await StartingListener.open('127.0.0.1', port, health, tokens, null)
  t.teardown(() => listener.close())
  const ask = async (path: string, method: 'GET' | 'HEAD' | 'POST'): Promise<object> => {
    const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}${path}`, { method })
    return { statusCode, retryAfter: headers['retry-after'], body: await body.text() }
  }
  const expected = { statusCode: 503, retryAfter: '1', body: '{"status":"unhealthy","reason":"waits"}' }
  t.strictSame(await ask('/health', 'GET'), expected)
  reason = 'waits for something else'
  t.match(await ask('/health?x=1', 'GET'), { body: /waits for something else/ })
  t.strictSame(await ask('/live', 'GET'), { statusCode: 200, retryAfter: undefined, body: '{"status":"live"}' })
  t.match(await ask('/live', 'HEAD'), { statusCode: 200, body: '' })
  t.match(await ask('/telemetry', 'HEAD'), { statusCode: 503, body: '' })
  t.strictSame(await ask('/ready', 'GET'), { statusCode: 503, retryAfter: '1', body: '{"status":"not_ready"}' })
  tokens.replace([])
  const withoutDetails = { statusCode: 503, body: '{"status":"unhealthy"}' }
  t.match(await ask('/health', 'GET'), withoutDetails, 'details require the right to read')
  t.match(await ask('/telemetry', 'POST'), { statusCode: 503, body: /"code":"not_ready"/ })
  await Promise.all([listener.close(), listener.close()])
  const next = createServer().listen(port, '127.0.0.1')
  await once(next, 'listening')
  next.close()
})

t.test('clients that send nothing do not keep out probes', async (t) => {
  const port = await freePort()
  const health = (): StatusAnswer => ({ status: 503, contentType: 'text/plain', body: 'waits' })
  const tokens = new TokenCheck(null, { readOpen: false })
  const listener = await StartingListener.open('127.0.0.1', port, health, tokens, null, 200)
  t.teardown(() => listener.close())
  const silent = Array.from({ length: 100 }, () => connect(port, '127.0.0.1').on('error', () => {}).resume())
  t.teardown(() => { for (const socket of silent) socket.destroy() })
  await Promise.all(silent.map(async (socket) => { await once(socket, 'close') }))
  const { body } = await request(`http://127.0.0.1:${port}/live`)
  t.equal(await body.text(), '{"status":"live"}')
})

t.test('over TLS: a client that never completes its handshake does not delay the start', {
  skip: NO_CERTIFICATES
}, async (t) => {
  const port = await freePort()
  const tls = await makeCertificate(await temporaryDirectory(t), 'one')
  const health = (): StatusAnswer => ({ status: 503, contentType: 'text/plain', body: 'waits' })
  const tokens = new TokenCheck(null, { readOpen: false })
  const listener = await StartingListener.open('127.0.0.1', port, health, tokens, tls)
  const silent = connect(port, '127.0.0.1')
  t.teardown(() => silent.destroy())
  await once(silent, 'connect')
  const dispatcher = new Agent({ connect: { ca: tls.cert } })
  t.teardown(async () => await dispatcher.destroy())
  const { body } = await request(`https://127.0.0.1:${port}/health`, { dispatcher })
  t.equal(await body.text(), 'waits')
  const ended = once(silent, 'close')
  await Promise.all([listener.close(), ended])
})
