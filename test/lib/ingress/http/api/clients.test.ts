/** What clients see of the bounds on them, and pages of other sites of the permission to ask. */
import t from 'tap'
import { sha256Of, type Rates, type Token } from '../../../../../lib/access/token.js'
import { ClientAddresses } from '../../../../../lib/ingress/http/clients/addresses.js'
import { ClientBounds } from '../../../../../lib/ingress/http/clients/client-bounds.js'
import { ConnectionsByAddress } from '../../../../../lib/ingress/http/clients/connections.js'
import { nodeEngine } from '../../../../../lib/ingress/http/engines/node/node.js'
import { TokenCheck } from '../../../../../lib/ingress/http/api/tokens.js'
import { POINT, RawClient, errorOf, onBothEngines, post, startRig, type Answer } from '../engines/rig.js'

const NO_RATES: Rates = { requests: null, points: null }

function token (name: string, changes: Partial<Token> = {}): Token {
  return {
    name,
    sha256: sha256Of(name),
    roles: ['admin'],
    satellites: null,
    satellitesMax: null,
    rates: null,
    expiresMs: null,
    ...changes
  }
}

onBothEngines('requests by address: 429 with Retry-After, but never for probes', async (t, engine) => {
  const tokens = new TokenCheck(null, { readOpen: false })
  const clients = new ClientBounds({ rates: { requests: 2, points: null }, trustedProxies: ['127.0.0.1'] }, tokens)
  const { send, counters, intake } = await startRig(t, engine, { tokens, clients })
  const from = async (client: string, path = '/telemetry'): Promise<Answer> => (
    await send(path, {
      headers: { 'x-forwarded-for': client }, ...path === '/telemetry' ? { body: POINT } : { method: 'GET' }
    })
  )
  // The bucket holds what one second brings: at most a few more get through while it fills.
  const answers: Answer[] = []
  while (answers.at(-1)?.status !== 429) answers.push(await from('192.0.2.1'))
  const refused = answers.at(-1) as Answer
  t.match(errorOf(refused), { code: 'rate_limited' })
  t.equal(refused.headers['retry-after'], '1')
  t.equal((await from('192.0.2.2')).status, 202, 'others are not affected')
  for (let probe = 0; probe < 20; probe++) t.equal((await from('192.0.2.1', '/live')).status, 200)
  t.equal(intake.offers.length, answers.length, 'the refused one is replaced by that of another client')
  t.equal(counters.denied.rate_limited, 1)
})

onBothEngines('lines of X-Forwarded-For before that of the proxy count for nothing', async (t, engine) => {
  const tokens = new TokenCheck(null, { readOpen: false })
  const clients = new ClientBounds({ rates: { requests: 2, points: null }, trustedProxies: ['127.0.0.1'] }, tokens)
  const { server } = await startRig(t, engine, { tokens, clients })
  const client = await RawClient.open(t, server.port)
  let status = 0
  for (let request = 0; status !== 429 && request < 200; request++) {
    client.write(`GET /metrics HTTP/1.1\r\nhost: x\r\nX-Forwarded-For: 198.51.100.${request}\r\n` +
      'X-Forwarded-For: 192.0.2.1\r\n\r\n')
    status = (await client.answer()).status
  }
  t.equal(status, 429)
})

onBothEngines('points by token, and tokens with rates of their own', async (t, engine) => {
  const tokens = new TokenCheck(
    [token('slow', { rates: { requests: null, points: 5 } }), token('other')], { readOpen: false })
  const clients = new ClientBounds({ rates: NO_RATES, trustedProxies: [] }, tokens)
  const { send, server, intake } = await startRig(t, engine, { tokens, clients })
  const batch = async (name: string, points: number): Promise<Answer> => await send('/telemetry/batch', {
    body: JSON.stringify(Array<unknown>(points).fill(JSON.parse(POINT))), headers: { authorization: `Bearer ${name}` }
  })
  t.equal((await batch('slow', 1000)).status, 202, 'a body may be larger than the rate')
  const refused = await batch('slow', 1)
  t.equal(refused.status, 429)
  t.ok(Number(refused.headers['retry-after']) > 100, 'until it is paid off')
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry/batch', `authorization: Bearer slow\r\ncontent-length: ${POINT.length}`))
  t.equal((await client.answer()).status, 429, 'before the body arrives')
  t.equal((await batch('other', 1000)).status, 202)
  const reading = await send('/health', { method: 'GET', headers: { authorization: 'Bearer slow' } })
  t.equal(reading.status, 200, 'reading costs no points')
  t.equal(intake.offers.length, 2)
})

onBothEngines('a token for so many satellites, also after a reload', async (t, engine) => {
  const tokens = new TokenCheck([token('three', { satellitesMax: 3 })], { readOpen: false })
  const { send, intake, counters } = await startRig(t, engine, { tokens })
  const batch = async (...ids: readonly string[]): Promise<Answer> => await send('/telemetry/batch', {
    body: JSON.stringify(ids.map((id) => ({ satellite_id: id, storage_usage_mb: 1 }))),
    headers: { authorization: 'Bearer three' }
  })
  t.equal((await batch('A', 'B', 'A')).status, 202)
  const refused = await batch('A', 'C', 'D')
  t.equal(refused.status, 403)
  t.match(errorOf(refused), { code: 'too_many_satellites', message: /3 satellites.*"D"/ })
  t.equal((await batch('C')).status, 202, 'a refused body counts for nothing')
  t.strictSame(tokens.newSatellites(2), [['token three', 'A'], ['token three', 'B']])
  t.strictSame(tokens.newSatellites(2), [['token three', 'C']])
  tokens.replace([token('three', { satellitesMax: 4 })])
  t.equal((await batch('D')).status, 202)
  tokens.learn([['token three', 'E'], ['token gone', 'F']])
  t.equal((await batch('E')).status, 202, 'counted by another worker')
  t.equal((await batch('F')).status, 403)
  t.equal(intake.rejected, 4)
  t.equal(counters.denied.too_many_satellites, 2)
})

t.test('connections by address', async (t) => {
  const connectionsByAddress = new ConnectionsByAddress(2, new ClientAddresses([]))
  const { server, counters } = await startRig(t, nodeEngine, { connectionsByAddress })
  const first = await RawClient.open(t, server.port)
  await RawClient.open(t, server.port)
  const third = await RawClient.open(t, server.port)
  const refused = await third.answer()
  t.equal(refused.status, 429)
  t.match(refused.text, 'too_many_client_connections')
  await third.waitForEnd()
  t.equal(counters.refused.too_many_client_connections, 1)
  first.write('GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  t.equal((await first.answer()).status, 200)
  await first.waitForEnd()
  const fourth = await RawClient.open(t, server.port)
  fourth.write('GET /live HTTP/1.1\r\nhost: x\r\n\r\n')
  t.equal((await fourth.answer()).status, 200, 'there is room again')
})

onBothEngines('CORS: for origins that are named, and nobody else', async (t, engine) => {
  const origin = 'https://console.example'
  const { send } = await startRig(t, engine, { allowedOrigins: [origin] })
  const preflight = await send('/telemetry', { method: 'OPTIONS', headers: { origin } })
  t.match(preflight.headers, {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': 'POST, OPTIONS',
    'access-control-allow-headers': /authorization.*content-type/,
    vary: 'origin'
  })
  const sent = await send('/telemetry', { body: POINT, headers: { origin } })
  t.equal(sent.status, 202)
  t.equal(sent.headers['access-control-allow-origin'], origin)
  const faulty = await send('/telemetry', { body: '{', headers: { origin } })
  t.equal(faulty.headers['access-control-allow-origin'], origin, 'a page may read errors, too')
  for (const method of ['OPTIONS', 'GET']) {
    const foreign = await send('/health', { method, headers: { origin: 'https://evil.example' } })
    t.notOk(Object.keys(foreign.headers).some((name) => name.startsWith('access-control')), method)
  }
  const own = await send('/health', { method: 'GET' })
  t.equal(own.headers['vary'], undefined)
})
