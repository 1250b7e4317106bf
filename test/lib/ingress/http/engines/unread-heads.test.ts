/** Answers without a body, which uWebSockets.js keeps for clients that do not read, and does not say so. */
import { RawClient, onEngine, startRig } from './rig.js'

const STALL_MS = 400

onEngine('uws', 'a client that asks on and on without a body, and reads nothing, is cut off', async (t, engine) => {
  const { server, counters } = await startRig(t, engine, { bodyStallMs: STALL_MS, random: Math.random })
  const request = 'HEAD / HTTP/1.1\r\nhost: x\r\n\r\n'
  for (const perWrite of [1, 100]) {
    const client = await RawClient.open(t, server.port)
    client.socket.pause()
    const before = counters.requests.index.ok
    // A client that does not read does not see the end, either, but cannot write any more.
    for (let sent = 0; sent < 10_000 && client.socket.writable; sent += perWrite) {
      client.write(request.repeat(perWrite))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const answered = counters.requests.index.ok - before
    t.ok(answered > 0 && answered < 2_000, `${answered} answers`)
    client.socket.destroy()
  }
})

onEngine('uws', 'answers without a body: each arrives, and says whether it is the last', async (t, engine) => {
  const { server } = await startRig(t, engine, { bodyStallMs: STALL_MS, random: Math.random })
  let client = await RawClient.open(t, server.port)
  let closed = 0
  for (let asked = 0; asked < 500; asked++) {
    client.write('HEAD / HTTP/1.1\r\nhost: x\r\n\r\n')
    const { status, headers } = await client.answer(false)
    if (status !== 200 || Number(headers['content-length']) === 0) t.fail(`${status} ${JSON.stringify(headers)}`)
    if (headers['connection'] !== 'close') continue
    closed++
    await client.waitForEnd()
    client = await RawClient.open(t, server.port)
  }
  t.ok(closed > 0)
})

onEngine('uws', 'OPTIONS is answered with a body, and keeps its connection', async (t, engine) => {
  const { server } = await startRig(t, engine, { bodyStallMs: STALL_MS, random: Math.random })
  const client = await RawClient.open(t, server.port)
  for (let asked = 0; asked < 500; asked++) {
    client.write('OPTIONS / HTTP/1.1\r\nhost: x\r\n\r\n')
    const { status, headers, text } = await client.answer()
    if (status === 200 && headers['connection'] !== 'close' && text === `${String(headers['allow'])}\n`) continue
    t.fail(`${status} ${JSON.stringify(headers)} ${text}`)
    break
  }
})
