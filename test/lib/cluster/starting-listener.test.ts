/** What HTTP clients are told while the server starts. */
import t from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { request } from 'undici'
import { StartingListener } from '../../../lib/cluster/starting-listener.js'

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

t.test('503 for everything, by /health with the reason; then the port is free', async (t) => {
  const port = await freePort()
  let reason = 'waits'
  const listener = await StartingListener.open('127.0.0.1', port, () => ({ status: 503, contentType: 'text/plain', body: reason }))
  t.teardown(() => listener.close())
  const ask = async (path: string, method: 'GET' | 'POST'): Promise<object> => {
    const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}${path}`, { method })
    return { statusCode, retryAfter: headers['retry-after'], body: await body.text() }
  }
  t.strictSame(await ask('/health', 'GET'), { statusCode: 503, retryAfter: '1', body: 'waits' })
  reason = 'waits for something else'
  t.match(await ask('/health?x=1', 'GET'), { body: reason })
  t.match(await ask('/telemetry', 'POST'), { statusCode: 503, body: /"code":"not_ready"/ })
  await Promise.all([listener.close(), listener.close()])
  const next = createServer().listen(port, '127.0.0.1')
  await once(next, 'listening')
  next.close()
})
