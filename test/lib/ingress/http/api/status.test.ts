/** The HTTP contract, on both engines: /health, /metrics, HEAD. */
import { once } from 'node:events'
import { OperatingError } from '../../../../../lib/support/errors.js'
import { RawClient, errorOf, onBothEngines, startRig } from '../engines/rig.js'

onBothEngines('answers of the status port are sent unchanged', async (t, engine) => {
  const { status, counters, send } = await startRig(t, engine)
  const contentType = 'application/json; charset=utf-8'
  status.answer = { status: 503, contentType, body: '{"status":"unhealthy","name":"é"}' }
  const health = await send('/health?verbose=1', { method: 'GET' })
  t.equal(health.status, 503)
  t.equal(health.headers['content-type'], contentType)
  t.equal(health.text, '{"status":"unhealthy","name":"é"}')
  status.answer = { status: 200, contentType: 'text/plain', body: 'x'.repeat(300_000) }
  const metrics = await send('/metrics', { method: 'GET' })
  t.equal(metrics.text.length, 300_000)
  t.match(counters.requests, { health: { serverError: 1 }, metrics: { ok: 1 } })
})

onBothEngines('a status port that cannot answer', async (t, engine) => {
  const { status, send } = await startRig(t, engine)
  status.answer = new OperatingError('not_ready', 'The primary did not answer in time.')
  const answer = await send('/health', { method: 'GET' })
  t.equal(answer.status, 503)
  t.same(errorOf(answer), { code: 'not_ready', message: 'The primary did not answer in time.' })
  t.equal(answer.headers['retry-after'], '1')
})

onBothEngines('HEAD is answered like GET without the body, and the connection stays usable', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  for (const path of ['/health', '/metrics', '/', '/nothing']) {
    client.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
    const get = await client.answer()
    client.write(`HEAD ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
    const head = await client.answer(false)
    t.equal(head.status, get.status)
    t.equal(head.headers['content-length'], String(get.text.length), path)
    t.equal(head.headers['content-type'], get.headers['content-type'])
    t.equal(client.unread, '')
  }
  client.write('HEAD /telemetry HTTP/1.1\r\nhost: x\r\n\r\n')
  t.equal((await client.answer(false)).status, 405)
  client.post()
  t.equal((await client.answer()).status, 202, 'no body bytes were sent in between')
})

onBothEngines('a client that disconnects before the status port answers', async (t, engine) => {
  const { status, server, counters, send } = await startRig(t, engine)
  const asked = once(status.events, 'asked')
  const client = await RawClient.open(t, server.port)
  client.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n')
  await asked
  client.socket.resetAndDestroy()
  // By the time these are answered on another connection, the reset has been noticed.
  await send('/', { method: 'GET' })
  await send('/', { method: 'GET' })
  status.events.emit('go')
  t.equal((await send('/', { method: 'GET' })).status, 200)
  t.match(counters.requests.health, { ok: 0, aborted: 1 })
})

onBothEngines('queries for senders', async (t, engine) => {
  const { status, send } = await startRig(t, engine)
  status.answer = { status: 200, contentType: 'application/json', body: '{"total":0}' }
  for (const query of ['', '?offset=0&limit=1000', '?sender=a%20b&offset=20', '?sender=']) {
    t.equal((await send(`/udp/senders${query}`, { method: 'GET' })).text, '{"total":0}')
  }
  t.strictSame(status.queries, [
    { offset: 0, limit: 100, sender: null },
    { offset: 0, limit: 1000, sender: null },
    { offset: 20, limit: 100, sender: 'a b' },
    { offset: 0, limit: 100, sender: '' }
  ])
  const bad = [
    'offset=-1', 'limit=0', 'limit=1001', 'limit=1e2', 'offset=1000001', 'offset=', 'limit=1&limit=1', 'page=1'
  ]
  for (const query of bad) {
    const answer = await send(`/udp/senders?${query}`, { method: 'GET' })
    t.equal(answer.status, 400, query)
    t.equal(errorOf(answer).code, 'invalid_query')
  }
  for (const many of ['a&'.repeat(7_000), 'limit=1&'.repeat(1_500)]) {
    const answer = await send(`/udp/senders?${many}`, { method: 'GET' })
    t.equal(answer.status, 400)
    t.ok(answer.text.length < 1_500, `${answer.text.length} bytes`)
  }
  t.equal(status.queries.length, 4)
})

// Neither asks the status port.
onBothEngines('/live while the process answers, /ready while points would be accepted', async (t, engine) => {
  const { status, intake, send } = await startRig(t, engine)
  status.answer = new Error('was asked')
  const ask = async (path: string): Promise<readonly [number, string]> => {
    const answer = await send(path, { method: 'GET' })
    return [answer.status, answer.text]
  }
  t.strictSame(await ask('/ready'), [200, '{"status":"ready"}'])
  for (const code of ['too_busy', 'spool_full', 'overloaded', 'shutting_down'] as const) {
    intake.refused = { code, retryAfterSeconds: 5 }
    t.strictSame(await ask('/ready'), [503, `{"status":"${code}"}`])
    t.strictSame(await ask('/live'), [200, '{"status":"live"}'])
  }
  t.equal((await send('/ready', { method: 'HEAD' })).text, '')
})
