/** The HTTP contract, on both engines: receiving bodies: sizes, chunks, stalls, disconnects. */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { POINT, RawClient, batch, errorOf, onBothEngines, onEngine, post, startRig } from '../engines/rig.js'

onBothEngines('a large body in many pieces of any size', async (t, engine) => {
  const { intake, counters, server } = await startRig(t, engine, { maxBodyBytes: 2_000_000 })
  const client = await RawClient.open(t, server.port)
  client.socket.setNoDelay(true)
  const body = batch(10_000)
  const request = post('/telemetry/batch', `content-length: ${body.length}`, body)
  for (let start = 0, size = 1; start < request.length; start += size, size = size * 3 % 40_009) {
    client.write(request.subarray(start, start + size))
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal((await client.answer()).text, '{"status":"accepted","count":10000}')
  t.equal(intake.offers[0]?.ids[9_999], 'S-9999')
  t.equal(counters.bodyBytes, body.length)
})

onBothEngines('a chunked body', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  const body = batch(1_000)
  const pieces = Array.from({ length: Math.ceil(body.length / 999) }, (_, index) => (
    Buffer.from(body.slice(index * 999, index * 999 + 999))
  ))
  const answer = await send('/telemetry/batch', { body: Readable.from(pieces) })
  t.equal(answer.text, '{"status":"accepted","count":1000}')
  t.equal(intake.offers[0]?.ids.length, 1_000)
  t.equal((await send('/telemetry', { body: Readable.from([Buffer.from(POINT)]) })).status, 202)
})

onBothEngines('neither length nor chunks', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', 'x-empty: 1'))
  const answer = await client.answer()
  t.equal(answer.status, 411)
  t.equal(errorOf(answer).code, 'length_required')
  client.post()
  t.equal((await client.answer()).status, 202, 'the connection stays usable')
})

onBothEngines('a body of exactly the maximum size is accepted, one byte more is not', async (t, engine) => {
  const { send } = await startRig(t, engine, { maxBodyBytes: 5_000 })
  const fits = POINT.padEnd(5_000, ' ')
  t.equal((await send('/telemetry', { body: fits })).status, 202)
  t.equal((await send('/telemetry', { body: Readable.from([Buffer.from(fits)]) })).status, 202)
  for (const body of [fits + ' ', Readable.from([Buffer.from(fits), Buffer.from(' ')])]) {
    const answer = await send('/telemetry', { body })
    t.equal(answer.status, 413)
    t.equal(errorOf(answer).code, 'body_too_large')
    t.notOk('retry-after' in answer.headers)
  }
  t.equal((await send('/telemetry', { body: fits })).status, 202)
})

onBothEngines('too large by Content-Length: answered before a short body, which is discarded', async (t, engine) => {
  const { intake, server } = await startRig(t, engine, { maxBodyBytes: 1_000 })
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', 'content-length: 300000'))
  t.equal((await client.answer()).status, 413)
  client.write(Buffer.alloc(300_000, 'x'))
  client.post()
  t.equal((await client.answer()).status, 202, 'the connection stays usable')
  t.equal(intake.offers.length, 1)
})

onBothEngines('too large in chunks', async (t, engine) => {
  const { intake, server } = await startRig(t, engine, { maxBodyBytes: 1_000 })
  const client = await RawClient.open(t, server.port)
  const chunk = `400\r\n${'x'.repeat(1024)}\r\n`
  client.write(post('/telemetry', 'transfer-encoding: chunked', chunk))
  if (engine.name === 'node') t.equal((await client.answer()).status, 413, 'at the limit')
  client.write(`${chunk}${chunk}0\r\n\r\n`)
  if (engine.name === 'uws') {
    t.equal((await client.answer()).status, 413, 'after the last chunk')
    await client.waitForEnd()
    t.same(intake.offers, [])
    return
  }
  client.post()
  t.equal((await client.answer()).status, 202, 'the connection stays usable')
  t.equal(intake.offers.length, 1)
})

onBothEngines('an early answer to chunks that never end', async (t, engine) => {
  const { server } = await startRig(t, engine, { bodyStallMs: 80, maxBodyBytes: 1_000 })
  for (const path of ['/telemetry', '/nothing']) {
    const client = await RawClient.open(t, server.port)
    client.write(post(path, 'transfer-encoding: chunked', `400\r\n${'x'.repeat(1024)}\r\n`))
    t.equal((await client.answer()).status, path === '/nothing' ? 404 : 413)
    await client.waitForEnd()
  }
})

const framings = [['with a length', 'content-length: 100'], ['in chunks', 'transfer-encoding: chunked']] as const
for (const [name, head] of framings) {
  for (const start of ['', '5\r\n{"sat\r\n']) {
    onBothEngines(`a body ${name} that stalls after ${start.length} bytes`, async (t, engine) => {
      const { intake, server } = await startRig(t, engine, { bodyStallMs: 80 })
      const client = await RawClient.open(t, server.port)
      client.write(post('/telemetry', head, start))
      const answer = await client.answer()
      t.equal(answer.status, 408)
      t.equal(errorOf(answer).code, 'request_timeout')
      t.equal(answer.headers['retry-after'], '1')
      t.equal(answer.headers['connection'], 'close')
      await client.waitForEnd()
      t.same(intake.offers, [])
    })
  }
}

onBothEngines('a trickling body stalls; a flowing one may take longer than the stall timeout', async (t, engine) => {
  const stallMs = 160
  const { intake, server } = await startRig(t, engine, { bodyStallMs: stallMs })
  const slow = await RawClient.open(t, server.port)
  slow.write(post('/telemetry', 'content-length: 100000'))
  const flowing = await RawClient.open(t, server.port)
  const body = POINT.padEnd(200_000, ' ')
  flowing.write(post('/telemetry', `content-length: ${body.length}`))
  let sent = 0
  const started = performance.now()
  const timer = setInterval(() => {
    slow.write(' ')
    flowing.write(body.slice(sent, sent += 4_000))
    if (sent >= body.length) clearInterval(timer)
  }, 10)
  t.teardown(() => clearInterval(timer))
  t.equal((await slow.answer()).status, 408)
  t.equal((await flowing.answer()).status, 202)
  t.ok(performance.now() - started > 2 * stallMs)
  t.equal(intake.offers.length, 1)
})

// uWebSockets.js does so ten seconds after the answer, which is not configurable.
onEngine('node', 'a refused body that stalls ends its connection', async (t, engine) => {
  const { server } = await startRig(t, engine, { bodyStallMs: 80, maxBodyBytes: 10 })
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', 'content-length: 100', 'x'))
  t.equal((await client.answer()).status, 413)
  const answered = performance.now()
  await client.waitForEnd()
  t.ok(performance.now() - answered < 2_000, 'before the idle timeout of the connection')
})

onBothEngines('clients that disconnect in the middle of a body', async (t, engine) => {
  const { intake, counters, send, server } = await startRig(t, engine)
  const endings = [
    (client: RawClient) => client.socket.destroy(),
    (client: RawClient) => client.socket.resetAndDestroy()
  ]
  for (const [index, end] of endings.entries()) {
    const client = await RawClient.open(t, server.port)
    client.write(post('/telemetry', 'content-length: 100', '{"satellite_id":'))
    await send('/', { method: 'GET' })
    end(client)
    await once(client.socket, 'close')
    while (counters.requests.telemetry.aborted <= index) await send('/', { method: 'GET' })
  }
  t.equal(counters.requests.telemetry.aborted, 2)
  t.same(intake.offers, [])
})

onBothEngines('a client that disconnects after its body, before the acknowledgement', async (t, engine) => {
  const { intake, acksMs, counters, send, server } = await startRig(t, engine)
  intake.hold = true
  const client = await RawClient.open(t, server.port)
  client.post()
  await intake.offered(1)
  client.socket.resetAndDestroy()
  for (let turn = 0; turn < 5; turn++) await send('/', { method: 'GET' })
  intake.release()
  t.equal((await send('/', { method: 'GET' })).status, 200, 'the server continues')
  t.match(counters.requests.telemetry, { ok: 0, aborted: 1 })
  t.equal(acksMs.length, 1, 'the points were accepted')
})

onBothEngines('Expect: 100-continue', async (t, engine) => {
  const { intake, server } = await startRig(t, engine)
  const head = `expect: 100-continue\r\ncontent-length: ${POINT.length}`
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry', head))
  t.equal((await client.answer()).status, 100)
  client.write(POINT)
  t.equal((await client.answer()).status, 202)
  intake.refused = { code: 'overloaded', retryAfterSeconds: 1 }
  client.write(post('/telemetry', head))
  if (engine.name === 'uws') t.equal((await client.answer()).status, 100, 'uWebSockets.js asks for it anyway')
  t.equal((await client.answer()).status, 503)
  if (engine.name === 'node') await client.waitForEnd()
})

onBothEngines('the body of a GET is not read', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write('GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello')
  t.equal((await client.answer()).status, 200)
  client.post()
  t.equal((await client.answer()).status, 202)
})
