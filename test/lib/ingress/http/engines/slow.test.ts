/** Connections on which nothing comes or goes end, on both engines; on uWebSockets.js after some ten seconds, which cannot be set. */
import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { loadEngine } from '../../../../../lib/ingress/http/engines/load-engine.js'
import { RawClient, errorOf, startRig, startServer } from './rig.js'

t.jobs = 2

const IDLE_MS = 1_000
const ANSWER_BYTES = 64 * 1024 * 1024

for (const kind of ['uws', 'node'] as const) {
  t.test(`${kind}: silence, half a head, no next request, an answer that is not read`, { buffered: true }, async (t) => {
    const engine = await loadEngine(kind)
    const { server, counters } = await startRig(t, engine, { idleMs: IDLE_MS })
    const silent = await RawClient.open(t, server.port)
    const slow = await RawClient.open(t, server.port)
    slow.write('POST /telemetry HTTP/1.1\r\nhost: x\r\n')
    // A byte now and then does not make a head.
    const timer = setInterval(() => slow.write('x'), IDLE_MS / 5)
    t.teardown(() => clearInterval(timer))
    const idle = await RawClient.open(t, server.port)
    idle.post()
    t.equal((await idle.answer()).status, 202)
    const large = await startServer(t, engine, (_request, exchange) => exchange.reply(200, [], Buffer.alloc(ANSWER_BYTES, 'x')), { connectionsMax: 1, idleMs: IDLE_MS })
    const unread = await RawClient.open(t, large.port)
    unread.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await unread.waitForText('HTTP/1.1 200')
    unread.socket.pause()
    await Promise.all([silent, slow, idle].map(async (client) => await client.waitForEnd()))
    t.equal(silent.unread + idle.unread, '', 'nobody has asked for anything')
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
    t.pass('the place of the one that does not read is free')
  })
}
