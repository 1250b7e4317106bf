/** TLS on both engines: what they serve, whom they refuse, and how they take up another certificate. */
import { readdir } from 'node:fs/promises'
import t from 'tap'
import { chooseEngine, loadEngine } from '../../../../../lib/ingress/http/engines/load-engine.js'
import { makeCertificate, needCertificates } from '../../../../support/programs/certificates.js'
import { temporaryDirectory } from '../../../../support/database/postgres.js'
import { POINT, RawClient, batch, onBothEngines, onEngine, post, startRig } from './rig.js'
import type { Test } from 'tap'
import type { HttpEngine, ServerTls } from '../../../../../lib/ingress/http/engines/engine.js'
import type { Rig, RigOptions } from './rig.js'

needCertificates()
const directory = await temporaryDirectory(t)
const [first, second, clients] = await Promise.all(
  ['first', 'second', 'clients'].map(async (name) => await makeCertificate(directory, name)))
if (first === undefined || second === undefined || clients === undefined) throw new Error('no certificates')
const scratch = await temporaryDirectory(t)
const tls: ServerTls = { material: first, directory: scratch }

async function startTls (t: Test, engine: HttpEngine, options: RigOptions = {}): Promise<Rig> {
  return await startRig(t, engine, { tls, ...options })
}

function fingerprintOf ({ tls }: RawClient): string {
  return tls?.getPeerCertificate().fingerprint256 ?? ''
}

/** Begun at the start: uWebSockets.js takes ten seconds, which is not configurable. */
const stuck = (['uws', 'node'] as const).map(async (kind) => {
  const { server } = await startTls(t, await loadEngine(kind), kind === 'node' ? { idleMs: 1_000 } : {})
  const [silent, slow] = [await RawClient.open(t, server.port), await RawClient.open(t, server.port)]
  // The beginning of a ClientHello of 512 bytes.
  slow.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))
  const timer = setInterval(() => slow.write('\0'), 200)
  // once() would reject on a reset.
  await Promise.all([silent, slow].map(async ({ socket }) => {
    await new Promise((resolve) => socket.once('close', resolve))
  }))
  clearInterval(timer)
})

onBothEngines('points over TLS 1.2 and 1.3, and nothing older', async (t, engine) => {
  const { intake, send, server } = await startTls(t, engine)
  t.equal((await send('/telemetry', { body: POINT })).status, 202)
  t.equal((await send('/telemetry/batch', { body: batch(10_000) })).status, 202)
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = await RawClient.openTls(t, server.port, { ca: first.cert, maxVersion: version })
    t.equal(client.tls?.getProtocol(), version)
    for (let turn = 0; turn < 3; turn++) {
      client.post()
      t.equal((await client.answer()).status, 202)
    }
  }
  t.equal(intake.offers.length, 8)
  const old = { ca: first.cert, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await t.rejects(RawClient.openTls(t, server.port, old))
  t.same(await readdir(scratch), [], 'no copy of the key is left')
})

onBothEngines('plain HTTP and noise are answered by closing the connection', async (t, engine) => {
  const { server, send, counters } = await startTls(t, engine)
  for (const noise of [post('/telemetry', 'content-length: 4', 'body'), Buffer.alloc(20_000, 0xff)]) {
    const client = await RawClient.open(t, server.port)
    client.write(noise)
    await client.waitForEnd()
    t.notMatch(client.unread, 'HTTP/1.1')
  }
  t.equal((await send('/telemetry', { body: POINT })).status, 202)
  t.same(Object.values(counters.refused).filter((count) => count > 0), [])
})

onBothEngines('another certificate: the next connection gets it, an upload under way ends well', async (t, engine) => {
  const { intake, server } = await startTls(t, engine)
  const body = batch(1_000)
  const upload = await RawClient.openTls(t, server.port, { ca: first.cert })
  upload.write(post('/telemetry/batch', `content-length: ${body.length}`, body.slice(0, 100)))
  const idle = await RawClient.openTls(t, server.port, { ca: first.cert })
  idle.post()
  t.equal((await idle.answer()).status, 202)
  await t.rejects(server.useTls({ ...second, key: first.key }), 'a key of another certificate')
  t.equal(fingerprintOf(await RawClient.openTls(t, server.port, { ca: first.cert })), first.fingerprint)
  for (const next of [second, first, second]) {
    await server.useTls(next)
    for (let turn = 0; turn < 3; turn++) {
      const client = await RawClient.openTls(t, server.port, { ca: next.cert })
      t.equal(fingerprintOf(client), next.fingerprint)
      client.post()
      t.equal((await client.answer()).status, 202)
    }
  }
  upload.write(body.slice(100))
  t.equal((await upload.answer()).status, 202)
  idle.post()
  t.equal((await idle.answer()).status, 202, 'an open connection stays')
  t.equal(intake.offers.at(-2)?.ids.length, 1_000)
})

onBothEngines('no connection is lost while certificates change', async (t, engine) => {
  const { server, intake } = await startTls(t, engine)
  let answered = 0
  const done = new AbortController()
  const run = async (): Promise<void> => {
    while (!done.signal.aborted) {
      const client = await RawClient.openTls(t, server.port, { ca: [first.cert, second.cert] })
      client.post()
      if ((await client.answer()).status === 202) answered++
      client.socket.destroy()
    }
  }
  const clients = Promise.all(Array.from({ length: 8 }, run))
  for (let turn = 1; turn <= 50; turn++) {
    await server.useTls(turn % 2 === 0 ? first : second)
    await intake.offered(turn * 3)
  }
  done.abort()
  await clients
  t.equal(answered, intake.offers.length)
})

onBothEngines('over the limit, connections are closed', async (t, engine) => {
  const { server, counters } = await startTls(t, engine, { connectionsMax: 2 })
  const silent = await RawClient.open(t, server.port)
  const client = await RawClient.openTls(t, server.port, { ca: first.cert })
  await t.rejects(RawClient.openTls(t, server.port, { ca: first.cert }))
  t.equal(counters.refused.too_many_connections, 1)
  client.post()
  t.equal((await client.answer()).status, 202)
  silent.socket.destroy()
  for (let isIn = false; !isIn;) {
    isIn = await RawClient.openTls(t, server.port, { ca: first.cert }).then(() => true, () => false)
  }
  t.pass('a closed connection makes way for another')
})

onBothEngines('closing does not wait for connections without a request', async (t, engine) => {
  const { server, intake } = await startTls(t, engine)
  const silent = await RawClient.open(t, server.port)
  const unused = await RawClient.openTls(t, server.port, { ca: first.cert })
  await server.useTls(second)
  const busy = await RawClient.openTls(t, server.port, { ca: second.cert })
  intake.hold = true
  busy.post()
  await intake.offered(1)
  const closed = server.close(60_000)
  intake.release()
  t.equal((await busy.answer()).status, 202)
  await Promise.all([closed, silent.waitForEnd(), unused.waitForEnd(), busy.waitForEnd()])
})

onEngine('node', 'certificates of clients', async (t, engine) => {
  const { server } = await startTls(t, engine, { tls: { ...tls, material: { ...first, clientCa: clients.cert } } })
  const known = await RawClient.openTls(t, server.port, { ca: first.cert, cert: clients.cert, key: clients.key })
  known.post()
  t.equal((await known.answer()).status, 202)
  for (const stranger of [{}, { cert: second.cert, key: second.key }]) {
    // With TLS 1.3 the client learns only afterwards that it was refused.
    const client = await RawClient.openTls(t, server.port, { ca: first.cert, ...stranger }).catch(() => null)
    client?.post()
    await client?.waitForEnd().catch((error: unknown) => t.match(error, { code: /^ERR_SSL_/ }))
    t.equal(client?.unread ?? '', '')
  }
  await server.useTls({ ...first, clientCa: second.cert })
  const next = await RawClient.openTls(t, server.port, { ca: first.cert, cert: second.cert, key: second.key })
  next.post()
  t.equal((await next.answer()).status, 202)
})

onEngine('node', 'a half-closed connection', async (t, engine) => {
  const { server } = await startTls(t, engine)
  const client = await RawClient.openTls(t, server.port, { ca: first.cert, allowHalfOpen: true })
  client.post()
  client.socket.end()
  t.equal((await client.answer()).status, 202)
})

t.test('an engine that cannot use the certificates is not chosen', async (t) => {
  const said: string[] = []
  const say = (message: string): void => { said.push(message) }
  const parts = { tls: { ...tls, material: { ...first, clientCa: clients.cert } }, info: say, warn: say }
  t.match(await chooseEngine('auto', parts), { name: 'node' })
  t.match(said, [/does not require certificates of clients/])
  await t.rejects(chooseEngine('uws', parts), /HTTP_ENGINE/)
  t.match(await chooseEngine('auto', { ...parts, tls }), { name: 'uws' })
})

t.test('handshakes that never end: the connections are closed, even if a byte arrives now and then', async () => {
  await Promise.all(stuck)
})
