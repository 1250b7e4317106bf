/** Streams of anomalies: what clients are sent, and what they are told they missed. */
import { mock } from 'node:test'
import t from 'tap'
import {
  AnomalyStreams, LiveAnomalies, type AnomalySource, type StreamStart
} from '../../../../../lib/ingress/http/live/anomaly-stream.js'
import { RouteCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { TokenCheck } from '../../../../../lib/ingress/http/api/tokens.js'
import { RouteCall } from '../../../../../lib/ingress/http/api/reply.js'
import { tokensFromSetting } from '../../../../../lib/access/token.js'
import type { HttpExchange, HttpRequest } from '../../../../../lib/ingress/http/engines/engine.js'

class FakeSource implements AnomalySource {
  readonly asked: string[] = []
  unwatched = 0
  start: StreamStart | null = { run: 'r', head: 5, after: 5, first: 6, anomalies: [], known: true }

  async watch (lastEventId: string): Promise<StreamStart | null> {
    this.asked.push(lastEventId)
    return await Promise.resolve(this.start)
  }

  unwatch (): void {
    this.unwatched++
  }
}

class FakeClient {
  text = ''
  blocked = false
  ended = false
  status = 0
  close: () => void = () => {}
  readonly exchange: HttpExchange

  /** @param closing the server is closing: it ends the stream before returning it */
  constructor (closing = false) {
    const stream = {
      write: (chunk: string | Buffer) => {
        if (this.blocked || this.ended) return false
        this.text += String(chunk)
        return true
      },
      writable: () => Promise.resolve(),
      end: () => { this.ended = true },
      cut: () => { this.ended = true }
    }
    this.exchange = {
      aborted: false,
      readBody: () => {},
      reply: (status) => {
        this.status = status
        return true
      },
      stream: (status, _headers, onClose) => {
        this.status = status
        this.close = onClose
        if (closing) onClose()
        return stream
      }
    }
  }

  /** Everything received since the last call, without the retry line. */
  take (): string {
    const { text } = this
    this.text = ''
    return text.replace('retry: 1000\n\n', '')
  }
}

const request = (lastEventId = '', method = 'GET'): HttpRequest => ({
  method,
  path: '',
  query: '',
  header: (name) => name === 'last-event-id' ? lastEventId : '',
  address: () => ''
})
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))
const event = (number: number, data: string): string => `id: r-${number}\nevent: anomaly\ndata: ${data}\n\n`
const missed = (number: number, count: number | null): string => (
  `id: r-${number}\nevent: missed\ndata: {"count":${count}}\n\n`
)

const NO_TOKENS = new TokenCheck(null, { readOpen: true })

function rig (source: AnomalySource, tokens = NO_TOKENS): { live: LiveAnomalies, streams: AnomalyStreams } {
  const live = new LiveAnomalies(source)
  return { live, streams: new AnomalyStreams(live, tokens) }
}

async function joined (streams: AnomalyStreams, lastEventId = ''): Promise<FakeClient> {
  const client = new FakeClient()
  streams.handle(new RouteCall(request(lastEventId), client.exchange, new RouteCounters()))
  await turn()
  return client
}

t.test('events as they arrive; gaps are reported before the next event', async (t) => {
  const source = new FakeSource()
  const { live, streams } = rig(source)
  const client = await joined(streams)
  t.equal(client.take(), '')
  live.add({ first: 6, anomalies: ['{"a":1}', '{"a":2}'], head: 9 })
  t.equal(client.take(), event(6, '{"a":1}') + event(7, '{"a":2}'))
  live.add({ first: 10, anomalies: ['{}'], head: 10 })
  t.equal(client.take(), missed(9, 2) + event(10, '{}'))
  client.close()
  t.equal(source.unwatched, 1)
})

t.test('a slow reader is told how many it missed, others are not', async (t) => {
  const { live, streams } = rig(new FakeSource())
  const [slow, quick] = [await joined(streams), await joined(streams)]
  slow.blocked = true
  for (let number = 6; number < 16; number++) live.add({ first: number, anomalies: ['{}'], head: number })
  slow.blocked = false
  live.add({ first: 16, anomalies: ['{}'], head: 16 })
  t.equal(slow.take(), missed(15, 10) + event(16, '{}'))
  t.notMatch(quick.take(), /missed/)
  slow.close()
  quick.close()
})

t.test('every five seconds, the final gap or a comment is sent', async (t) => {
  const { live, streams } = rig(new FakeSource())
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const client = new FakeClient()
  streams.handle(new RouteCall(request(), client.exchange, new RouteCounters()))
  await Promise.resolve()
  await Promise.resolve()
  client.take()
  live.add({ first: 6, anomalies: ['{}'], head: 8 })
  t.equal(client.take(), event(6, '{}'))
  mock.timers.tick(5_000)
  t.equal(client.take(), missed(8, 2))
  mock.timers.tick(5_000)
  t.equal(client.take(), ': nothing new\n\n')
  client.close()
  mock.timers.tick(10_000)
  t.equal(client.take(), '')
})

t.test('reconnecting: events still there, missed, and unknown', async (t) => {
  const source = new FakeSource()
  const { live, streams } = rig(source)
  source.start = { run: 'r', head: 5, after: 2, first: 4, anomalies: ['{"n":4}', '{"n":5}'], known: true }
  const known = await joined(streams, 'r-2')
  t.strictSame(source.asked, ['r-2'])
  t.equal(known.take(), missed(3, 1) + event(4, '{"n":4}') + event(5, '{"n":5}'))
  source.start = { run: 'r', head: 5, after: 5, first: 6, anomalies: [], known: false }
  const stranger = await joined(streams, 'old-7')
  t.equal(stranger.take(), missed(5, null))
  live.add({ first: 6, anomalies: ['{}'], head: 6 })
  t.equal(stranger.take(), event(6, '{}'))
  known.close()
  stranger.close()
})

t.test('that something unknown was missed is said later, if the client reads too slowly at first', async (t) => {
  const source = new FakeSource()
  const { live, streams } = rig(source)
  source.start = { run: 'r', head: 5, after: 5, first: 6, anomalies: [], known: false }
  const client = new FakeClient()
  client.blocked = true
  streams.handle(new RouteCall(request('old-7'), client.exchange, new RouteCounters()))
  await turn()
  client.blocked = false
  live.add({ first: 6, anomalies: ['{}'], head: 6 })
  live.add({ first: 7, anomalies: ['{}'], head: 7 })
  t.equal(client.take(), missed(5, null) + event(6, '{}') + event(7, '{}'))
  client.close()
})

t.test('limits: a primary that does not answer, too many streams, HEAD', async (t) => {
  const source = new FakeSource()
  source.start = null
  const { streams } = rig(source)
  const client = await joined(streams)
  t.equal(client.status, 503)
  t.equal(source.unwatched, 1)
  source.start = new FakeSource().start
  const clients = []
  for (let index = 0; index < 256; index++) clients.push(await joined(streams))
  t.equal((await joined(streams)).status, 503)
  for (const each of clients) each.close()
  t.equal(source.unwatched, 2)
  const head = new FakeClient()
  streams.handle(new RouteCall(request('', 'HEAD'), head.exchange, new RouteCounters()))
  t.equal(head.status, 200)
  t.equal(source.asked.length, 257)
})

t.test('a closing server ends a stream as it begins', async (t) => {
  const source = new FakeSource()
  const { streams } = rig(source)
  const late = new FakeClient(true)
  streams.handle(new RouteCall(request(), late.exchange, new RouteCounters()))
  await turn()
  t.equal(source.unwatched, 1)
  t.equal(late.take(), '')
})

t.test('a stream ends when its token does', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const source = new FakeSource()
  const tokens = new TokenCheck(tokensFromSetting(['secret']), { readOpen: false })
  const { streams } = rig(source, tokens)
  const client = new FakeClient()
  const head = { ...request(), header: (name: string) => name === 'authorization' ? 'Bearer secret' : '' }
  streams.handle(new RouteCall(head, client.exchange, new RouteCounters()))
  await Promise.resolve()
  await Promise.resolve()
  mock.timers.tick(5_000)
  t.equal(client.ended, false)
  tokens.replace(tokensFromSetting(['another']))
  mock.timers.tick(5_000)
  t.equal(client.ended, true)
  t.equal(source.unwatched, 1)
})
