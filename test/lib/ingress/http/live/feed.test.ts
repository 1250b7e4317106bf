/** GET /feed on both engines: its protocol towards clients, slow ones, and those that may not. */
import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { request } from 'undici'
import { LiveAnomalies, type StreamStart } from '../../../../../lib/ingress/http/live/anomaly-stream.js'
import { Feed, type FeedTick, type FeedWant } from '../../../../../lib/ingress/http/live/feed.js'
import { RouteCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { RouteCall } from '../../../../../lib/ingress/http/api/reply.js'
import type { RouteTable } from '../../../../../lib/ingress/http/api/router.js'
import type { HttpEngine, HttpExchange } from '../../../../../lib/ingress/http/engines/engine.js'
import { METRICS } from '../../../../support/points/built-in.js'
import { RawClient, errorOf, onBothEngines, startRig, tokenCheckOf, type Rig } from '../engines/rig.js'
import type { Test } from 'tap'

const PATIENCE_MS = 20_000
/** The kernel takes some megabytes for each. */
const SLOW_CLIENTS = 10
const BIG = JSON.stringify('x'.repeat(64 * 1024))
const [X, Y] = METRICS.map(({ name }) => name)
const START: StreamStart = { run: 'r', head: 5, after: 5, first: 6, anomalies: [], known: true }
const TICK: FeedTick = {
  opened: [],
  refused: [],
  run: 'r',
  version: '1.2.3',
  timeMs: 1_000,
  limitsVersion: 3,
  problems: { number: 1, text: '[]' },
  gaps: [],
  fleet: null,
  satellites: null,
  points: []
}

/** The primary, which admits everybody at once unless told otherwise. */
class Primary {
  readonly wants: FeedWant[] = []
  readonly asked: string[] = []
  readonly changes = new EventEmitter()
  unwatched = 0
  admits: 'all' | 'nobody' | 'silence' = 'all'
  start: StreamStart | null = START
  readonly live = new LiveAnomalies({
    watch: async (lastEventId) => {
      this.asked.push(lastEventId)
      return await Promise.resolve(this.start)
    },
    unwatch: () => { this.unwatched++ }
  })

  readonly feed: Feed

  constructor (apiTokens: readonly string[] = []) {
    this.feed = new Feed({
      anomalies: this.live,
      tokens: tokenCheckOf(apiTokens),
      metrics: METRICS.map(({ name }) => name),
      tell: (id, want) => {
        this.wants.push(want)
        this.changes.emit('change')
        if (id === 0 || this.admits === 'silence') return
        const answer = this.admits === 'all' ? { opened: [id] } : { refused: [id] }
        setImmediate(() => this.tick(answer))
      }
    })
  }

  tick (changes: Partial<FeedTick> = {}): void {
    this.feed.add({ ...TICK, ...changes })
  }

  async until (isDone: () => boolean): Promise<void> {
    while (!isDone()) await once(this.changes, 'change', { signal: AbortSignal.timeout(PATIENCE_MS) })
  }
}

const routesOf = ({ feed }: Primary): RouteTable => ({ '/feed': { name: 'feed', methods: { GET: feed.handle } } })

async function rigOf (
  t: Test, engine: HttpEngine, apiTokens: readonly string[] = []
): Promise<{ primary: Primary, rig: Rig }> {
  const primary = new Primary(apiTokens)
  return { primary, rig: await startRig(t, engine, { routes: routesOf(primary), apiTokens }) }
}

interface Event {
  readonly event: string
  readonly data: unknown
  readonly id?: string
}

class Client {
  private text = ''
  private constructor (private readonly body: NodeJS.ReadableStream & { destroy: () => void }) {
    body.on('data', (chunk: Buffer) => { this.text += chunk.toString() })
    body.on('error', () => {})
  }

  static async open (t: Test, { origin }: Rig, query: string, headers: Record<string, string> = {}): Promise<Client> {
    const { statusCode, headers: answered, body } = await request(`${origin}/feed${query}`, { headers })
    t.equal(statusCode, 200)
    t.equal(answered['content-type'], 'text/event-stream')
    const client = new Client(body)
    t.teardown(() => client.close())
    return client
  }

  /** The next events, as many as asked for. */
  async take (count: number): Promise<Event[]> {
    while (this.text.split('\n\n').length <= count) {
      await once(this.body, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) })
    }
    const blocks = this.text.split('\n\n')
    this.text = blocks.slice(count).join('\n\n')
    return blocks.slice(0, count).map((block) => {
      const lines = block.split('\n').map((line) => line.split(/: (.*)/s, 2))
      const fields = Object.fromEntries(lines) as Record<string, string>
      return { ...fields, event: fields['event'] ?? '', data: JSON.parse(fields['data'] ?? 'null') as unknown }
    })
  }

  async ended (): Promise<void> {
    if (!('readableEnded' in this.body) || this.body.readableEnded !== true) await once(this.body, 'end')
  }

  close (): void {
    this.body.destroy()
  }
}

onBothEngines('the events that a client asked for, in order', async (t, engine) => {
  const { primary, rig } = await rigOf(t, engine)
  const point = {
    satellite: 'A', stream: 'telemetry', timeMs: 7, state: 'warning', values: { [X!]: [7, 1], [Y!]: [6, 2] }
  } as const
  const everything = { fleet: '{"f":1}', satellites: '{"s":1}', points: [point] }
  const plain = await Client.open(t, rig, '')
  t.strictSame(await plain.take(2), [
    {
      event: 'hello', data: { run: 'r', version: '1.2.3', time_ms: 1_000, tick_ms: 250, limits_version: 3 }
    },
    { event: 'problems', data: [] }
  ])
  const fleet = await Client.open(t, rig, '?parts=fleet,satellites')
  const one = await Client.open(t, rig, `?satellite=A&metrics=${Y}`)
  await fleet.take(2)
  await one.take(2)
  t.strictSame(primary.wants.at(-1), { clients: 3, fleet: true, satellites: true, watched: ['A'] })
  primary.tick({ ...everything, limitsVersion: 4 })
  t.strictSame(await fleet.take(3), [
    { event: 'limits', data: { version: 4 } },
    { event: 'fleet', data: { f: 1 } },
    { event: 'satellites', data: { s: 1 } }
  ])
  t.strictSame(await one.take(2), [{ event: 'limits', data: { version: 4 } }, {
    event: 'point',
    data: { satellite: 'A', stream: 'telemetry', time_ms: 7, state: 'warning', values: { [Y!]: [6, 2] } }
  }])
  primary.tick({
    limitsVersion: 4, problems: { number: 2, text: '[{"code":"x"}]' }, gaps: [{ cause: 'worker_died' }]
  })
  t.strictSame(await plain.take(2), [
    { event: 'limits', data: { version: 4 } }, { event: 'problems', data: [{ code: 'x' }] }
  ])
  t.strictSame(await fleet.take(2), [
    { event: 'gap', data: { cause: 'worker_died' } }, { event: 'problems', data: [{ code: 'x' }] }
  ])
  for (const client of [plain, fleet, one]) client.close()
  await primary.until(() => primary.wants.at(-1)?.clients === 0)
})

onBothEngines('anomalies as they come, from where the client left off', async (t, engine) => {
  const { primary, rig } = await rigOf(t, engine)
  const client = await Client.open(t, rig, '?parts=anomalies', { 'last-event-id': 'r-5' })
  await client.take(2)
  t.strictSame(primary.asked, ['r-5'])
  primary.live.add({ first: 8, anomalies: ['{"a":1}'], head: 8 })
  t.strictSame(await client.take(2), [
    { id: 'r-7', event: 'missed', data: { count: 2 } }, { id: 'r-8', event: 'anomaly', data: { a: 1 } }
  ])
  client.close()
  await primary.until(() => primary.wants.at(-1)?.clients === 0)
  t.equal(primary.unwatched, 1)
  primary.start = null
  await (await Client.open(t, rig, '?parts=anomalies')).ended()
})

onBothEngines('refusals: queries, tokens, too many streams, HEAD, a client that leaves early', async (t, engine) => {
  const { primary, rig } = await rigOf(t, engine, ['secret'])
  const headers = { authorization: 'Bearer secret' }
  const get = async (query: string): ReturnType<Rig['send']> => (
    await rig.send(`/feed${query}`, { method: 'GET', headers }))
  t.equal((await rig.send('/feed', { method: 'GET' })).status, 401)
  for (const query of [
    '?part=fleet', '?parts=fleet,', '?parts=fleet,fleet', '?parts=all', '?parts=fleet&parts=fleet', '?satellite=',
    '?satellite=%00', `?metrics=${X}`, '?satellite=A&metrics=', '?satellite=A&metrics=volts'
  ]) {
    const answer = await get(query)
    t.equal(answer.status, 400, query)
    t.equal(errorOf(answer).code, 'invalid_query')
  }
  primary.admits = 'nobody'
  const refused = await get('')
  t.match(refused, { status: 503, headers: { 'retry-after': '1' } })
  t.equal(errorOf(refused).code, 'too_many_streams')
  t.equal((await rig.send('/feed', { method: 'HEAD', headers })).status, 200)
  primary.admits = 'silence'
  const early = await RawClient.open(t, rig.server.port)
  early.write('GET /feed HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\nconnection: close\r\n\r\n')
  await primary.until(() => primary.wants.at(-1)?.clients === 1)
  early.socket.destroy()
  t.match(await get(''), { status: 503, text: /not_ready/ }, 'the primary is silent')
  await primary.until(() => primary.wants.at(-1)?.clients === 0)
})

onBothEngines('the last request of a connection gets its stream, and its end is noticed', async (t, engine) => {
  const { primary, rig } = await rigOf(t, engine)
  const client = await RawClient.open(t, rig.server.port)
  client.write('GET /feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  await client.waitForText('event: problems')
  client.socket.destroy()
  await primary.until(() => primary.wants.at(-1)?.clients === 0)
})

/** Bytes that a client's connection took, and took after it had first refused some. */
interface Taken {
  bytes: number
  bytesAfterRefusal: number
  refusals: number
}

function counting (exchange: HttpExchange, taken: Taken): HttpExchange {
  return new Proxy(exchange, {
    get: (target, name) => {
      if (name !== 'stream') {
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) as unknown : value
      }
      return (...parameters: Parameters<HttpExchange['stream']>) => {
        const stream = target.stream(...parameters)
        const write = (chunk: string): boolean => {
          const isTaken = stream.write(chunk)
          if (isTaken) taken.bytes += chunk.length
          if (isTaken && taken.refusals > 0) taken.bytesAfterRefusal += chunk.length
          if (!isTaken) taken.refusals++
          return isTaken
        }
        return { write, end: () => stream.end() }
      }
    }
  })
}

onBothEngines('clients that never read are skipped: nothing is queued, and they are told', async (t, engine) => {
  const primary = new Primary()
  const all: Taken[] = []
  const serve = (call: RouteCall): void => {
    const taken = { bytes: 0, bytesAfterRefusal: 0, refusals: 0 }
    all.push(taken)
    primary.feed.handle(new RouteCall(call.request, counting(call.exchange, taken), call.counters))
  }
  const rig = await startRig(t, engine, { routes: { '/feed': { name: 'feed', methods: { GET: serve } } } })
  const sockets = Array.from({ length: SLOW_CLIENTS }, () => connect({ port: rig.server.port, host: '127.0.0.1' }))
  t.teardown(() => { for (const socket of sockets) socket.destroy() })
  for (const socket of sockets) {
    socket.on('error', () => {})
    socket.pause()
    socket.write('GET /feed?parts=satellites HTTP/1.1\r\nhost: x\r\n\r\n')
  }
  await primary.until(() => primary.wants.at(-1)?.clients === SLOW_CLIENTS)
  const push = async (isDone: () => boolean): Promise<void> => {
    for (let tick = 0; tick < 10_000 && !isDone(); tick++) {
      primary.tick({ satellites: BIG })
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.ok(isDone())
  }
  await push(() => all.every(({ refusals }) => refusals > 50))
  t.ok(all.every(({ bytesAfterRefusal }) => bytesAfterRefusal === 0), 'what the kernel did not take is not kept')
  // The first byte of an event may be a chunk of its own.
  let isTold = false
  let text = ''
  sockets[0]?.on('data', (chunk: Buffer) => {
    text = text.slice(-200) + chunk.toString()
    isTold ||= text.includes('vent: gap\ndata: {"cause":"slow_client","ticks":')
  }).resume()
  await push(() => isTold)
})

t.test('hello comes first, also if there was no room for it at first', async (t) => {
  const primary = new Primary()
  const sent: string[] = []
  let hasRoom = false
  let close = (): void => {}
  const exchange: HttpExchange = {
    aborted: false,
    readBody: () => {},
    reply: () => true,
    stream: (_status, _headers, onClose) => {
      close = onClose
      const write = (chunk: string | Buffer): boolean => {
        if (hasRoom) sent.push(String(chunk))
        return hasRoom
      }
      return { write, writable: () => Promise.resolve(), end: () => {}, cut: () => {} }
    }
  }
  const head = { method: 'GET', path: '/feed', query: 'parts=anomalies', header: () => '', address: () => '' }
  primary.feed.handle(new RouteCall(head, exchange, new RouteCounters()))
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  hasRoom = true
  primary.live.add({ first: 6, anomalies: ['{}'], head: 6 })
  primary.tick()
  t.match(sent.join(''), /^event: hello\ndata: .*\n\n/)
  t.equal(sent.join('').split('event: hello').length, 2, 'once')
  t.match(sent.join(''), /event: anomaly/)
  close()
})

t.test('200 clients that stop reading hold one chunk each; more than 256 are refused', async (t) => {
  const primary = new Primary()
  const held = new Set<{ bytes: number }>()
  const closers: Array<() => void> = []
  let status = 200
  /** Takes one chunk, then nothing. */
  const exchangeOf = (): HttpExchange => {
    const client = { bytes: 0 }
    held.add(client)
    const write = (chunk: string): boolean => {
      if (client.bytes > 0) return false
      client.bytes = chunk.length
      return true
    }
    return {
      aborted: false,
      readBody: () => {},
      reply: (code) => {
        status = code
        return true
      },
      stream: (_status, _headers, onClose) => {
        closers.push(onClose)
        return { write, writable: () => Promise.resolve(), end: () => {}, cut: () => {} }
      }
    }
  }
  const head = { method: 'GET', path: '/feed', query: 'parts=fleet,satellites', header: () => '', address: () => '' }
  const open = (): void => primary.feed.handle(new RouteCall(head, exchangeOf(), new RouteCounters()))
  for (let count = 0; count < 256; count++) open()
  t.equal(status, 200)
  open()
  t.equal(status, 503)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(closers.length, 256)
  for (let tick = 0; tick < 100; tick++) primary.tick({ fleet: BIG, satellites: BIG })
  const bytes = [...held].reduce((sum, client) => sum + client.bytes, 0)
  t.ok(bytes < 256 * 500, 'hello, and nothing behind it')
  for (const close of closers) close()
  await primary.until(() => primary.wants.at(-1)?.clients === 0)
})
