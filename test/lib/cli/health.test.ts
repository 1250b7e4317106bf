/** `health` against fake servers, OrbitStream-like and others; test/deploy runs it against a real one. */
import t from 'tap'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { runIngest } from '../../support/programs/command.js'
import type { Owner } from '../../support/owner.js'

const HEALTHY = { status: 'healthy', timestamp: '2026-11-24T00:00:00.000Z', reasons: [] }

/** Returns its port. */
async function serve (owner: Owner, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  owner.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return String((server.address() as AddressInfo).port)
}

function answering (status: number, body: unknown): RequestListener {
  return (request, response) => {
    response
      .writeHead(request.url === '/health' ? status : 404)
      .end(typeof body === 'string' ? body : JSON.stringify(body))
  }
}

t.test('a server that accepts points', async t => {
  const port = await serve(t, answering(200, HEALTHY))
  t.same(await runIngest(['health'], { PORT: port }), {
    code: 0,
    out: 'healthy\n',
    err: ''
  }, 'a wildcard HOST: loopback is asked')
  t.same(await runIngest(['health', '--host', 'localhost', '--port', port, '--json']), {
    code: 0,
    out: `${JSON.stringify(HEALTHY)}\n`,
    err: ''
  })
  const degraded = await serve(t, answering(200, {
    ...HEALTHY,
    status: 'degraded',
    reasons: ['worker 1 is starting', 'the database does not accept points: \u001b[31m']
  }))
  t.same(await runIngest(['health'], { PORT: degraded }), {
    code: 0,
    out: 'degraded\n  worker 1 is starting\n  the database does not accept points: \\u001b[31m\n',
    err: ''
  })
})

t.test('a server that does not accept points', async t => {
  const unhealthy = await serve(t, answering(503, {
    ...HEALTHY,
    status: 'unhealthy',
    reasons: ['worker 0 is starting']
  }))
  t.same(await runIngest(['health'], { PORT: unhealthy }), {
    code: 1,
    out: 'unhealthy\n  worker 0 is starting\n',
    err: ''
  })
  const stopping = await serve(t, answering(503, {
    error: { code: 'shutting_down', message: 'The server is shutting down.' }
  }))
  t.same(await runIngest(['health'], { PORT: stopping }), {
    code: 1,
    out: '',
    err: 'error: The server is shutting down.\n'
  })
})

t.test('a server with tokens', async t => {
  const port = await serve(t, (request, response) => response.end(JSON.stringify(
    request.headers.authorization === 'Bearer secret' ? { ...HEALTHY, reasons: ['a reason'] } : { status: 'degraded' }
  )))
  t.same(await runIngest(['health'], { PORT: port }), { code: 0, out: 'degraded\n', err: '' })
  t.same(await runIngest(['health'], { PORT: port, API_TOKEN: 'secret' }), {
    code: 0,
    out: 'healthy\n  a reason\n',
    err: ''
  })
  const file = join(t.testdir({ token: 'secret\n' }), 'token')
  t.same(await runIngest(['health', '--token-file', file], { PORT: port }), {
    code: 0,
    out: 'healthy\n  a reason\n',
    err: ''
  })
})

t.test('another server, or none', async t => {
  for (const body of ['<html>', '{}', 'null', '{"status":"ok","reasons":[]}', '{"error":"no"}']) {
    const port = await serve(t, answering(200, body))
    t.same(await runIngest(['health'], { PORT: port }), {
      code: 1,
      out: '',
      err: `error: the server at http://127.0.0.1:${port} is not OrbitStream (status 200); check HOST and PORT\n`
    }, body)
  }
  const silent = await serve(t, () => {})
  t.same(await runIngest(['health', '--timeout', '300ms'], { PORT: silent }), {
    code: 1,
    out: '',
    err: `error: no answer from http://127.0.0.1:${silent} within 0.3 s\n`
  })
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  closed.close()
  await once(closed, 'close')
  t.same(await runIngest(['health'], { PORT: String(port) }), {
    code: 1,
    out: '',
    err: `error: no server answers at http://127.0.0.1:${port}: connection refused (ECONNREFUSED)\n`
  })
})
