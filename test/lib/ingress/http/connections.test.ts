/** The HTTP contract, on both engines: many requests on few connections and many at once, pipelining, broken requests. */
import { Agent, request } from 'undici'
import { POINT, RawClient, onBothEngines, startRig } from './rig.js'

onBothEngines('a thousand requests on one connection', async (t, engine) => {
  const { intake, counters, server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  for (let turn = 0; turn < 1_000; turn++) {
    client.post()
    const { status } = await client.answer()
    if (status !== 202) t.equal(status, 202)
  }
  t.equal(intake.offers.length, 1_000)
  t.equal(counters.requests.telemetry.ok, 1_000)
})

onBothEngines('many at once, each gets its own answer', async (t, engine) => {
  const { intake, origin } = await startRig(t, engine)
  intake.hold = true
  const dispatcher = new Agent({ connections: 100 })
  t.teardown(async () => await dispatcher.destroy())
  const ids = Array.from({ length: 100 }, (_, index) => `SAT-${index}`)
  const sent = ids.map(async (id) => {
    const body = JSON.stringify({ satellite_id: id, battery_charge_percent: 1 })
    const answer = await request(`${origin}/telemetry`, { method: 'POST', body, dispatcher })
    return (await answer.body.json() as { satellite_id: string }).satellite_id
  })
  await intake.offered(100)
  // In another order than they came in.
  intake.held.reverse()
  intake.release()
  t.same(await Promise.all(sent), ids)
})

onBothEngines('pipelined requests', async (t, engine) => {
  const { intake, server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  const one = `POST /telemetry HTTP/1.1\r\nhost: x\r\ncontent-length: ${POINT.length}\r\n\r\n${POINT}`
  client.write(one + one + one)
  if (engine.name === 'uws') {
    await client.waitForEnd()
    t.equal(client.unread, '', 'the connection is closed: uWebSockets.js answers one at a time')
    t.equal(intake.offers.length, 1)
    return
  }
  for (let turn = 0; turn < 3; turn++) t.equal((await client.answer()).status, 202, 'node:http answers in order')
  t.equal(intake.offers.length, 3)
})

onBothEngines('a request that is not HTTP ends its own connection and no other', async (t, engine) => {
  const { server, send } = await startRig(t, engine)
  for (const text of ['POST /telemetry nonsense and more of it\r\nnonsense\r\n\r\n', 'POST /telemetry HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n', 'POST /telemetry HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n']) {
    const client = await RawClient.open(t, server.port)
    client.write(text)
    await client.waitForEnd()
    t.notMatch(client.unread, ' 202 ')
  }
  t.equal((await send('/telemetry', { body: POINT })).status, 202)
})

onBothEngines('a head that is too large', async (t, engine) => {
  const { server, send } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write(`POST /telemetry HTTP/1.1\r\nhost: x\r\nx-big: ${'x'.repeat(20_000)}\r\n\r\n`)
  await client.waitForEnd()
  t.match(client.unread, ' 431 ')
  t.equal((await send('/telemetry', { body: POINT })).status, 202)
})

onBothEngines('a client that asks to close', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write(`POST /telemetry HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${POINT.length}\r\n\r\n${POINT}`)
  t.equal((await client.answer()).status, 202)
  await client.waitForEnd()
})
