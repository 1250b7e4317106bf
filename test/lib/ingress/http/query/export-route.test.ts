/** Exports: they end with their client, also before the first row is there. */
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { mock } from 'node:test'
import t from 'tap'
import { RouteCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { TokenCheck } from '../../../../../lib/ingress/http/api/tokens.js'
import { RouteCall } from '../../../../../lib/ingress/http/api/reply.js'
import type { HttpExchange, HttpRequest } from '../../../../../lib/ingress/http/engines/engine.js'
import { Exports, type ExportSource, type OpenExport } from '../../../../../lib/ingress/http/query/export-route.js'
import { RequestReader } from '../../../../../lib/ingress/http/query/requests.js'
import { OperatingError } from '../../../../../lib/support/errors.js'
import { BUILT_IN } from '../../../../support/points/built-in.js'

/** Yields nothing until it is closed. */
class SilentSource implements ExportSource {
  readonly closing = new AbortController()
  readonly failures: unknown[] = []

  async open (): Promise<OpenExport> {
    return await Promise.resolve({ rows: this.rows(), close: () => this.closing.abort() })
  }

  failed (error: unknown): void {
    this.failures.push(error)
  }

  private async * rows (): AsyncGenerator<Buffer> {
    if (!this.closing.signal.aborted) await once(this.closing.signal, 'abort')
    yield * []
    throw new OperatingError('database_unavailable')
  }
}

class FakeClient {
  status = 0
  ended = false
  isCut = false
  close: () => void = () => undefined
  readonly exchange: HttpExchange

  constructor (aborted = false) {
    this.exchange = {
      aborted,
      readBody: () => undefined,
      reply: (status) => {
        this.status = status
        return true
      },
      stream: (status, _headers, onClose) => {
        this.status = status
        this.close = onClose
        return {
          write: () => true,
          writable: async () => { await Promise.resolve() },
          end: () => { this.ended = true },
          cut: () => { this.isCut = true }
        }
      }
    }
  }
}

const NO_TOKENS = new TokenCheck(null, { readOpen: false })

function requestOf (acceptEncoding = ''): HttpRequest {
  return {
    method: 'GET',
    path: '/export',
    query: 'from=0',
    header: (name) => name === 'accept-encoding' ? acceptEncoding : '',
    address: () => ''
  }
}

function ask (source: ExportSource, client: FakeClient, acceptEncoding = '', tokens = NO_TOKENS): RouteCounters {
  const counters = new RouteCounters()
  new Exports(source, new RequestReader(BUILT_IN), tokens).handle(
    new RouteCall(requestOf(acceptEncoding), client.exchange, counters))
  return counters
}

for (const coding of ['', 'gzip']) {
  t.test(`a client that goes before the first row ends its export, coding '${coding}'`, async (t) => {
    const [source, client] = [new SilentSource(), new FakeClient()]
    ask(source, client, coding)
    await turn()
    t.equal(client.status, 200, 'the stream has begun')
    client.close()
    t.ok(source.closing.signal.aborted)
    await turn()
    t.match(client, { ended: false, isCut: false })
    t.same(source.failures, [])
  })
}

t.test('a client that has gone before its export is open', async (t) => {
  const [source, client] = [new SilentSource(), new FakeClient(true)]
  const counters = ask(source, client)
  await turn()
  t.ok(source.closing.signal.aborted)
  t.equal(counters.aborted, 1)
})

t.test('a failure cuts the answer', async (t) => {
  const [source, client] = [new SilentSource(), new FakeClient()]
  ask(source, client)
  await turn()
  source.closing.abort()
  await turn()
  t.match(client, { status: 200, ended: false, isCut: true })
})

t.test('an export does not outlive its token', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const tokens = new TokenCheck(null, { readOpen: false })
  const [source, client] = [new SilentSource(), new FakeClient()]
  ask(source, client, '', tokens)
  await turn()
  mock.timers.tick(5_000)
  t.notOk(source.closing.signal.aborted)
  tokens.replace([])
  mock.timers.tick(5_000)
  t.ok(source.closing.signal.aborted)
  t.match(client, { ended: false, isCut: true })
})

t.test('an export that cannot begin is refused, and leaves its place to others', async (t) => {
  const cases = [
    [new OperatingError('too_busy'), 429, 0],
    [new OperatingError('database_unavailable'), 503, 0],
    [new Error('a bug'), 500, 1]
  ] as const
  for (const [error, status, failures] of cases) {
    const [source, client] = [new SilentSource(), new FakeClient()]
    source.open = async () => await Promise.reject(error)
    ask(source, client)
    await turn()
    t.equal(client.status, status)
    t.equal(source.failures.length, failures, 'only a bug is logged')
  }
})

t.test('only so many exports wait for their turn', async (t) => {
  const exports = new Exports(new SilentSource(), new RequestReader(BUILT_IN), NO_TOKENS)
  const clients = Array.from({ length: 33 }, () => new FakeClient())
  for (const { exchange } of clients) {
    exports.handle(new RouteCall(requestOf(), exchange, new RouteCounters()))
  }
  t.strictSame(clients.map(({ status }) => status).filter((status) => status !== 0), [429])
  await turn()
  for (const { close } of clients) close()
  await turn()
  const later = new FakeClient()
  exports.handle(new RouteCall(requestOf(), later.exchange, new RouteCounters()))
  await turn()
  t.equal(later.status, 200)
})
