/** The self-check detects unsafe engines, and engines that do not serve. conformance.test.ts tests the real ones. */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import t from 'tap'
import { loadEngine } from '../../../../../../lib/ingress/http/engines/load-engine.js'
import { checkEngine } from '../../../../../../lib/ingress/http/engines/self-check/engine-check.js'
import type { HttpEngine, HttpExchange, HttpHandler } from '../../../../../../lib/ingress/http/engines/engine.js'

function engineOn (serve: (handler: HttpHandler) => Server): HttpEngine {
  return {
    name: 'node',
    release: 'none',
    checkTls: () => {},
    listen: async (host, port, handler) => {
      const server = serve(handler).listen(port, host)
      await once(server, 'listening')
      const close = async (): Promise<void> => { await once(server.close(), 'close') }
      const bound = server.address() as AddressInfo
      return { port: bound.port, close, retire: close, useTls: async () => await Promise.resolve() }
    }
  }
}

/** The parser of Node.js alone, without the additional checks of node.ts. */
const lenient = engineOn((handler) => createHttpServer((req, res) => {
  const exchange: Pick<HttpExchange, 'readBody' | 'reply'> = {
    readBody: (_bytesMax, onBody) => { req.resume().once('end', () => onBody(Buffer.alloc(0))) },
    reply: (status, _headers, body) => {
      res.writeHead(status).end(body)
      return true
    }
  }
  const head = { method: req.method ?? '', path: req.url ?? '', query: '', header: () => '', address: () => '' }
  handler(head, exchange as HttpExchange)
}))

t.test('a parser without additional checks is unsafe', async (t) => {
  const { unsafe, cannot } = await checkEngine(lenient)
  t.ok(unsafe.includes('several hosts'), unsafe.join())
  t.ok(unsafe.includes('other transfer codings'), unsafe.join())
  t.same(cannot, ['half-closed connections'], 'its other abilities are recognized')
})

t.test('uWebSockets.js serves, whichever of its answers close their connections', async (t) => {
  const { random } = Math
  for (const value of [0, 0.999]) {
    Math.random = () => value
    const { unsafe } = await checkEngine(await loadEngine('uws')).finally(() => { Math.random = random })
    t.same(unsafe, [])
  }
})

t.test('an engine that hangs up', async (t) => {
  await t.rejects(checkEngine(engineOn(() => createServer((socket) => { socket.destroy() }))))
})
