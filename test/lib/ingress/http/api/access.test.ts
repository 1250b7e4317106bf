/** The HTTP contract, on both engines: what each token may do, at every endpoint. */
import { BUILT_IN, TELEMETRY } from '../../../../support/points/built-in.js'
import type { Test } from 'tap'
import { sha256Of, type Role, type Token } from '../../../../../lib/access/token.js'
import { createCatalogueRoute } from '../../../../../lib/ingress/http/api/catalogue-route.js'
import { createDataRoutes } from '../../../../../lib/ingress/http/api/data-routes.js'
import type { HttpEngine } from '../../../../../lib/ingress/http/engines/engine.js'
import { TokenCheck } from '../../../../../lib/ingress/http/api/tokens.js'
import {
  NOW_MICROS, POINT, RawClient, errorOf, onBothEngines, post, startRig, type Answer, type Rig
} from '../engines/rig.js'

const NOW_MS = NOW_MICROS / 1000
const SECRETS = {
  ingest: 'may send',
  read: 'may read',
  operate: 'may change',
  admin: 'may all',
  several: 'may send and read',
  expired: 'expires now',
  late: 'expires in a moment'
}

function token (name: keyof typeof SECRETS, roles: readonly Role[], changes: Partial<Token> = {}): Token {
  const all = { satellites: null, satellitesMax: null, rates: null, expiresMs: null }
  return { name, sha256: sha256Of(SECRETS[name]), roles, ...all, ...changes }
}

const TOKENS = [
  token('ingest', ['ingest']),
  token('read', ['read']),
  token('operate', ['operate']),
  token('admin', ['admin']),
  token('several', ['ingest', 'read']),
  token('expired', ['admin'], { expiresMs: NOW_MS }),
  token('late', ['ingest', 'read', 'operate'], { expiresMs: NOW_MS + 1 })
]

/** The role that each endpoint requires; null: none. */
const ENDPOINTS: ReadonlyArray<readonly [method: string, path: string, role: Role | null, status?: number]> = [
  ['POST', '/telemetry', 'ingest'],
  ['POST', '/telemetry/batch', 'ingest'],
  ['POST', '/telemetry/{stream}', 'ingest'],
  ['POST', '/telemetry/{stream}/batch', 'ingest'],
  ['GET', '/live', null],
  ['GET', '/ready', null],
  ['GET', '/health', null],
  ['GET', '/metrics', 'read'],
  ['GET', '/udp/senders', 'read'],
  ['GET', '/limits', 'read'],
  ['PUT', '/limits', 'operate'],
  ['GET', '/limits/history', 'read'],
  ['PATCH', '/limits/{metric}', 'operate'],
  ['GET', '/anomalies', 'read'],
  ['GET', '/anomalies/stream', 'read'],
  ['GET', '/', 'read'],
  ['HEAD', '/', 'read'],
  ['HEAD', '/health', null],
  ['HEAD', '/limits', 'read'],
  ['OPTIONS', '/limits', null],
  ['GET', '/nothing', null, 404],
  ['DELETE', '/limits', null, 405],
  ['GET', '/telemetry', null, 405]
]

type Allowed = readonly Role[] | 'unauthorized' | 'token_expired'

/** Credentials, with their roles or the reason to deny everything. */
const CREDENTIALS: ReadonlyArray<readonly [authorization: string, allowed: Allowed]> = [
  ['', 'unauthorized'],
  ['Bearer not a token', 'unauthorized'],
  [`Bearer ${SECRETS.admin}2`, 'unauthorized'],
  [`Basic ${SECRETS.admin}`, 'unauthorized'],
  [SECRETS.admin, 'unauthorized'],
  [`Bearer ${sha256Of(SECRETS.admin)}`, 'unauthorized'],
  [`Bearer ${SECRETS.expired}`, 'token_expired'],
  [`Bearer ${SECRETS.ingest}`, ['ingest']],
  [`Bearer ${SECRETS.read}`, ['read']],
  [`Bearer ${SECRETS.operate}`, ['operate']],
  [`bearer  ${SECRETS.several}`, ['ingest', 'read']],
  [`Bearer ${SECRETS.late}`, ['ingest', 'read', 'operate']],
  [`BEARER ${SECRETS.admin}`, ['ingest', 'read', 'operate', 'admin']]
]

interface AccessRig extends Rig {
  readonly check: TokenCheck
  readonly ask: (method: string, path: string, authorization: string) => Promise<Answer>
}

async function accessRig (
  t: Test, engine: HttpEngine, tokens: readonly Token[] | null = TOKENS, readOpen = false
): Promise<AccessRig> {
  const check = new TokenCheck(tokens, { readOpen, nowMs: () => NOW_MS })
  const answer = { status: 200, contentType: 'application/json', body: '{}' }
  const routes = createDataRoutes({ ask: async () => await Promise.resolve(answer) }, ({ exchange, counters }) => {
    counters.ok++
    exchange.reply(200, [], 'stream')
  }, TELEMETRY)
  const all = { ...routes, ...createCatalogueRoute(BUILT_IN, check) }
  const rig = await startRig(t, engine, { tokens: check, routes: all })
  rig.status.answer = { ...answer, body: '{"status":"degraded","reasons":["a secret"]}' }
  const ask = async (method: string, path: string, authorization: string): Promise<Answer> => {
    const body = method === 'POST' ? POINT : method === 'PUT' || method === 'PATCH' ? '{}' : null
    const sent = path.endsWith('/batch') ? `[${POINT}]` : body
    const headers = authorization === '' ? {} : { authorization }
    const target = path.replace('{metric}', 'x').replace('{stream}', 'telemetry')
    return await rig.send(target, { method, body: sent, headers })
  }
  return { ...rig, check, ask }
}

function refusalOf (role: Role | null, allowed: Allowed): 'unauthorized' | 'token_expired' | 'forbidden' | null {
  if (role === null) return null
  if (typeof allowed === 'string') return allowed
  return allowed.includes(role) ? null : 'forbidden'
}

onBothEngines('every endpoint with every kind of token', async (t, engine) => {
  const { intake, counters, ask } = await accessRig(t, engine)
  const denied = {
    unauthorized: 0, token_expired: 0, forbidden: 0, satellite_forbidden: 0, too_many_satellites: 0, rate_limited: 0
  }
  let points = 0
  for (const [method, path, role, status] of ENDPOINTS) {
    for (const [authorization, allowed] of CREDENTIALS) {
      const what = `${method} ${path} with ${authorization}`
      const answer = await ask(method, path, authorization)
      const refusal = refusalOf(role, allowed)
      if (refusal === null) {
        t.equal(answer.status, status ?? (method === 'POST' ? 202 : 200), what)
        if (method === 'POST') points++
        continue
      }
      denied[refusal]++
      t.equal(answer.status, refusal === 'forbidden' ? 403 : 401, what)
      t.equal(answer.headers['www-authenticate'], refusal === 'forbidden' ? undefined : 'Bearer', what)
      t.notMatch(answer.text, /may |secret/, what)
      if (method !== 'HEAD') t.equal(errorOf(answer).code, refusal, what)
      if (method !== 'HEAD' && refusal === 'forbidden') t.match(errorOf(answer).message, `role: ${String(role)}.`)
    }
  }
  t.equal(intake.offers.length, points, 'no other body was read')
  t.strictSame({ ...counters.denied }, denied)
  const { endpoints } = JSON.parse((await ask('GET', '/', `Bearer ${SECRETS.read}`)).text) as { endpoints: string[] }
  const listed = ENDPOINTS.map(([method, path]) => `${method} ${path}`)
  t.same(endpoints.filter((endpoint) => !listed.includes(endpoint)), ['GET /catalogue'], 'no endpoint is missing here')
})

onBothEngines('the catalogue is for those who read or send', async (t, engine) => {
  const { ask } = await accessRig(t, engine)
  for (const [authorization, allowed] of CREDENTIALS) {
    const { status, text } = await ask('GET', '/catalogue', authorization)
    const may = typeof allowed !== 'string' && (allowed.includes('read') || allowed.includes('ingest'))
    t.equal(status, may ? 200 : typeof allowed === 'string' ? 401 : 403, authorization)
    t.equal(text.includes('battery'), may)
  }
})

onBothEngines('/health shows details to readers only', async (t, engine) => {
  const { ask, check, status } = await accessRig(t, engine)
  const [whole, part] = ['{"status":"degraded","reasons":["a secret"]}', '{"status":"degraded"}']
  const cases = [
    ['', part],
    ['Bearer nope', part],
    [`Bearer ${SECRETS.expired}`, part],
    [`Bearer ${SECRETS.ingest}`, part],
    [`Bearer ${SECRETS.read}`, whole],
    [`Bearer ${SECRETS.admin}`, whole]
  ] as const
  for (const [authorization, body] of cases) {
    const answer = await ask('GET', '/health', authorization)
    t.strictSame([answer.status, answer.text], [200, body], authorization)
  }
  status.answer = { status: 503, contentType: 'application/json', body: '{"error":{"code":"not_ready","message":"m"}}' }
  t.match(await ask('GET', '/health', ''), { status: 503, text: status.answer.body }, 'an error is not a detail')
  check.replace(null)
  t.match(await ask('GET', '/metrics', ''), { status: 503 }, 'without tokens everything is open')
})

onBothEngines('READ_OPEN opens reading only', async (t, engine) => {
  const { ask } = await accessRig(t, engine, TOKENS, true)
  for (const [method, path, role] of ENDPOINTS) {
    const { status } = await ask(method, path, '')
    if (role === 'read') t.equal(status, 200, path)
    else if (role !== null) t.equal(status, 401, path)
  }
  t.match((await ask('GET', '/health', '')).text, 'a secret')
  t.equal((await ask('GET', '/limits', 'Bearer nope')).status, 200)
})

onBothEngines('new tokens take effect with the next request; an empty list admits nobody', async (t, engine) => {
  const { ask, check } = await accessRig(t, engine, null)
  t.equal((await ask('GET', '/limits', '')).status, 200)
  check.replace([])
  t.equal((await ask('GET', '/limits', '')).status, 401)
  t.equal((await ask('POST', '/telemetry', `Bearer ${SECRETS.admin}`)).status, 401)
  check.replace(TOKENS)
  t.equal((await ask('POST', '/telemetry', `Bearer ${SECRETS.admin}`)).status, 202)
  check.replace(TOKENS.filter(({ name }) => name !== 'admin'))
  t.equal((await ask('POST', '/telemetry', `Bearer ${SECRETS.admin}`)).status, 401)
})

onBothEngines('a request is denied before its body arrives', async (t, engine) => {
  const { server } = await accessRig(t, engine)
  const client = await RawClient.open(t, server.port)
  for (const [authorization, status] of [['Bearer nope', 401], [`Bearer ${SECRETS.read}`, 403]] as const) {
    client.write(post('/telemetry/batch', `authorization: ${authorization}\r\ncontent-length: ${POINT.length}`))
    t.equal((await client.answer()).status, status, 'before the body arrives')
    client.write(POINT)
  }
})

onBothEngines('a token for some satellites', async (t, engine) => {
  const limited = token('ingest', ['ingest'], { satellites: ['SAT-00*', 'X-*-9', 'ISS'] })
  const { intake, counters, send } = await accessRig(t, engine, [limited])
  const headers = { authorization: `Bearer ${SECRETS.ingest}` }
  const sendFor = async (...ids: readonly string[]): Promise<Answer> => {
    const points = ids.map((id) => ({ satellite_id: id, storage_usage_mb: 1 }))
    return await send('/telemetry/batch', { body: JSON.stringify(points), headers })
  }
  t.equal((await sendFor('SAT-00', 'SAT-0042', 'ISS', 'X-1-9', 'X--9', 'ISS')).status, 202)
  t.equal((await sendFor()).status, 202)
  const cases = [
    [0, ['SAT-01', 'ISS']], [2, ['ISS', 'ISS', 'ISS2']], [1, ['SAT-0001', 'X-9', 'SAT-9']], [1, ['ISS', 'a"b']]
  ] as const
  for (const [index, ids] of cases) {
    const answer = await sendFor(...ids)
    t.equal(answer.status, 403, ids.join())
    const error = errorOf(answer)
    t.match(error, { code: 'satellite_forbidden', details: [{ index, field: 'satellite_id' }] })
    t.match(error.message, JSON.stringify(ids[index]))
  }
  t.equal((await send('/telemetry', { body: POINT.replace('SAT-0001', 'SAT-1'), headers })).status, 403)
  t.equal(intake.offers.length, 1, 'a batch is accepted as a whole or not at all')
  t.equal(intake.rejected, 11, 'its points are counted')
  t.equal(counters.denied.satellite_forbidden, 5)
})
