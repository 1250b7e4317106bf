/** The self-check finds what an engine lets through, and one that does not serve. What both engines pass stands in the suite. */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import t from 'tap'
import { checkEngine } from '../../../../../../lib/ingress/http/engines/self-check/check.js'
import type { HttpEngine, HttpExchange, HttpHandler } from '../../../../../../lib/ingress/http/engines/engine.js'

function engineOn (serve: (handler: HttpHandler) => Server): HttpEngine {
  return {
    name: 'node',
    release: 'none',
    listen: async (host, port, handler) => {
      const server = serve(handler).listen(port, host)
      await once(server, 'listening')
      return { port: (server.address() as AddressInfo).port, close: async () => { await once(server.close(), 'close') } }
    }
  }
}

/** Node's parser as it is, without what this project sees to beside it. */
const lenient = engineOn((handler) => createHttpServer((req, res) => {
  const exchange: Pick<HttpExchange, 'readBody' | 'reply'> = {
    readBody: (_bytesMax, onBody) => { req.resume().once('end', () => onBody(Buffer.alloc(0))) },
    reply: (status, _headers, body) => res.writeHead(status).end(body)
  }
  handler({ method: req.method ?? '', path: req.url ?? '', query: '', header: () => '' }, exchange as HttpExchange)
}))

t.test('what a parser alone lets through is not safe', async (t) => {
  const { unsafe, cannot } = await checkEngine(lenient)
  t.ok(unsafe.includes('several hosts'), unsafe.join())
  t.ok(unsafe.includes('other transfer codings'), unsafe.join())
  t.same(cannot, ['half-closed connections'], 'what it can do is not held against it')
})

t.test('an engine that hangs up', async (t) => {
  await t.rejects(checkEngine(engineOn(() => createServer((socket) => { socket.destroy() }))))
})
