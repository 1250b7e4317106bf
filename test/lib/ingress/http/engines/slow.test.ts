/** Both engines close idle connections; uWebSockets.js after about ten seconds, which is not configurable. */
import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { loadEngine } from '../../../../../lib/ingress/http/engines/load-engine.js'
import { RawClient, errorOf, startRig, startServer } from './rig.js'

t.jobs = 2

const IDLE_MS = 1_000
const ANSWER_BYTES = 64 * 1024 * 1024

for (const kind of ['uws', 'node'] as const) {
  t.test(`${kind}: silence, half a head, no next request, an unread answer`, { buffered: true }, async (t) => {
    const engine = await loadEngine(kind)
    const { server, counters } = await startRig(t, engine, { idleMs: IDLE_MS })
    const silent = await RawClient.open(t, server.port)
    const slow = await RawClient.open(t, server.port)
    slow.write('POST /telemetry HTTP/1.1\r\nhost: x\r\n')
    // An occasional byte does not keep a head alive.
    const timer = setInterval(() => slow.write('x'), IDLE_MS / 5)
    t.teardown(() => clearInterval(timer))
    const idle = await RawClient.open(t, server.port)
    idle.post()
    t.equal((await idle.answer()).status, 202)
    const answer = Buffer.alloc(ANSWER_BYTES, 'x')
    const options = { connectionsMax: 1, idleMs: IDLE_MS }
    const large = await startServer(t, engine, (_request, exchange) => exchange.reply(200, [], answer), options)
    const unread = await RawClient.open(t, large.port)
    unread.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await unread.waitForText('HTTP/1.1 200')
    unread.socket.pause()
    await Promise.all([silent, slow, idle].map(async (client) => await client.waitForEnd()))
    t.equal(silent.unread + idle.unread, '', 'without a request there is no answer')
    if (engine.name === 'node') {
      t.equal(errorOf(await slow.answer()).code, 'request_timeout')
      t.equal(counters.refused.request_timeout, 1)
    }
    for (let refused = true; refused;) {
      const next = await RawClient.open(t, large.port)
      next.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
      await next.waitForText('HTTP/1.1 ')
      refused = next.unread.includes(' 503 ')
      next.socket.destroy()
      await delay(100)
    }
    t.pass('the connection with the unread answer was closed')
  })
}
