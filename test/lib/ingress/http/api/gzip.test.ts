/** The HTTP contract, on both engines: compressed bodies. */
import { gzipSync } from 'node:zlib'
import { POINT, RawClient, batch, errorOf, onBothEngines, post, startRig } from '../engines/rig.js'

const GZIP = { 'content-encoding': 'gzip' }

onBothEngines('gzip', async (t, engine) => {
  const { intake, counters, send } = await startRig(t, engine)
  const packed = gzipSync(batch(5_000))
  for (const encoding of ['gzip', 'GZIP', 'x-gzip']) {
    const answer = await send('/telemetry/batch', { body: packed, headers: { 'content-encoding': encoding } })
    t.equal(answer.text, '{"status":"accepted","count":5000}')
  }
  t.equal(intake.offers[2]?.ids[4_999], 'S-4999')
  t.equal(counters.bodyBytes, 3 * packed.length, 'counted as sent')
  t.equal((await send('/telemetry', { body: POINT, headers: { 'content-encoding': 'identity' } })).status, 202)
  for (const encoding of ['br', 'deflate', 'gzip, gzip']) {
    const answer = await send('/telemetry', { body: POINT, headers: { 'content-encoding': encoding } })
    t.equal(answer.status, 415)
    t.equal(errorOf(answer).code, 'unsupported_encoding')
  }
})

onBothEngines('gzip whose end says too little or too much of its size', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  const lines = Array.from({ length: 9_000 }, (_, at) => POINT.replace('"S', `"S${at}`)).join('\n')
  const parts = (at: number): Buffer => Buffer.concat([gzipSync(lines.slice(0, at)), gzipSync(lines.slice(at))])
  const bodies = [
    parts(-40),
    parts(40),
    Buffer.concat([gzipSync(lines), Buffer.alloc(8)]),
    Buffer.concat([gzipSync(lines), Buffer.from([0, 0xff, 0xff, 0xff, 0xff])])
  ]
  for (const body of bodies) {
    const headers = { ...GZIP, 'content-type': 'application/x-ndjson' }
    const answer = await send('/telemetry/batch', { body, headers })
    t.equal(answer.text, '{"status":"accepted","count":9000}')
  }
  t.equal(intake.offers.length, bodies.length)
})

onBothEngines('gzip that is invalid, or decompresses to too much', async (t, engine) => {
  const { intake, send } = await startRig(t, engine, { maxBodyBytes: 100_000 })
  for (const body of [POINT, '', gzipSync(POINT).subarray(0, 20)]) {
    const answer = await send('/telemetry', { body, headers: GZIP })
    t.equal(answer.status, 400)
    t.equal(errorOf(answer).code, 'invalid_encoding')
  }
  const bomb = gzipSync(Buffer.alloc(50_000_000, ' '))
  t.ok(bomb.length < 100_000)
  const answer = await send('/telemetry', { body: bomb, headers: GZIP })
  t.equal(answer.status, 413)
  t.equal(errorOf(answer).code, 'body_too_large')
  for (const [bytes, status] of [[100_000, 202], [100_001, 413]] as const) {
    const body = gzipSync(POINT.padEnd(bytes, ' '))
    t.equal((await send('/telemetry', { body, headers: GZIP })).status, status, `${bytes} bytes`)
  }
  t.equal(intake.offers.length, 1)
})

onBothEngines('more concurrent gzip bodies than are decompressed at once', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const packed = gzipSync(batch(10_000))
  const message = post('/telemetry/batch', `content-encoding: gzip\r\ncontent-length: ${packed.length}`, packed)
  const clients = await Promise.all(Array.from({ length: 60 }, async () => await RawClient.open(t, server.port)))
  for (const client of clients) client.write(message)
  const answers = await Promise.all(clients.map(async (client) => await client.answer()))
  const busy = answers.filter(({ status }) => status === 429)
  t.ok(busy.every(({ headers }) => headers['retry-after'] === '1'))
  t.equal(answers.filter(({ status }) => status === 202).length + busy.length, 60)
  clients[0]!.write(message)
  t.equal((await clients[0]!.answer()).status, 202, 'others are accepted afterwards')
})

onBothEngines('a client that disconnects while its body is decompressed', async (t, engine) => {
  const { intake, counters, send, server } = await startRig(t, engine, { maxBodyBytes: 100_000_000 })
  const packed = gzipSync(Buffer.alloc(100_000_000, ' '), { level: 1 })
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry/batch', `content-encoding: gzip\r\ncontent-length: ${packed.length}`, packed))
  while (counters.bodyBytes === 0) await send('/', { method: 'GET' })
  client.socket.resetAndDestroy()
  while (counters.requests.batch.aborted === 0) await send('/', { method: 'GET' })
  t.same(intake.offers, [])
  t.equal(intake.rejected, 0)
})
