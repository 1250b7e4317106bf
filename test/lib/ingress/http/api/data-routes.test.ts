/** The HTTP contract, on both engines: limits and anomalies as questions to the primary, paths with a parameter, tokens. */
import type { Test } from 'tap'
import { Client } from 'undici'
import { createDataRoutes } from '../../../../../lib/ingress/http/api/data-routes.js'
import { HttpCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { createHandler } from '../../../../../lib/ingress/http/api/routes.js'
import type { HttpEngine } from '../../../../../lib/ingress/http/engines/engine.js'
import type { Intake } from '../../../../../lib/pipeline/intake.js'
import type { DataQuestion, StatusAnswer, StatusPort } from '../../../../../lib/ingress/http/api/status-port.js'
import { OVERRIDES_MAX } from '../../../../../lib/limits/validate.js'
import { METRICS } from '../../../../../protocol/metrics.js'
import { onBothEngines, startServer, tokenCheckOf } from '../engines/rig.js'

const TOKEN = 'a-token-of-some-length'
const ANSWER: StatusAnswer = { status: 200, contentType: 'application/json', headers: [['etag', '"7"']], body: '{"version":7}' }

interface Sent { readonly status: number, readonly headers: Record<string, string | string[] | undefined>, readonly text: string }

async function rig (t: Test, engine: HttpEngine, apiTokens: readonly string[] = []): Promise<{ questions: DataQuestion[], counters: HttpCounters, send: (method: string, path: string, body?: string, headers?: Record<string, string>) => Promise<Sent> }> {
  const questions: DataQuestion[] = []
  const counters = new HttpCounters(() => {})
  const port = {
    ask: async (question: DataQuestion) => {
      questions.push(question)
      return await Promise.resolve(ANSWER)
    }
  }
  const routes = createDataRoutes(port, (_request, exchange) => exchange.reply(200, [], 'stream'))
  const config = { maxBodyBytes: 1_000, allowedOrigins: [] }
  const server = await startServer(t, engine, createHandler({ intake: {} as Intake, status: {} as StatusPort, config, tokens: tokenCheckOf(apiTokens), counters, now: () => 0, routes }))
  const client = new Client(`http://127.0.0.1:${server.port}`)
  t.teardown(async () => await client.destroy())
  const send = async (method: string, path: string, body: string | null = null, headers: Record<string, string> = {}): Promise<Sent> => {
    const answer = await client.request({ path, method, body, headers })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  }
  return { questions, counters, send }
}

onBothEngines('what is asked goes to the primary, its answer to the client', async (t, engine) => {
  const { questions, counters, send } = await rig(t, engine)
  const got = await send('GET', '/limits')
  t.match(got, { status: 200, text: ANSWER.body, headers: { etag: '"7"', 'content-type': 'application/json' } })
  await send('GET', '/limits/history?limit=2')
  await send('GET', '/anomalies?severity=critical&limit=1')
  await send('PUT', '/limits', '{"default":{}}', { 'if-match': '"7"', 'x-changed-by': ' Ann ' })
  await send('PATCH', '/limits/battery%20charge', '{"low":null}')
  t.equal((await send('GET', '/anomalies/stream')).text, 'stream')
  t.strictSame(questions, [
    { kind: 'limits' },
    { kind: 'limits-history', query: 'limit=2' },
    { kind: 'anomalies', query: 'severity=critical&limit=1' },
    { kind: 'replace-limits', value: { default: {} }, ifMatch: '"7"', changedBy: 'http: Ann' },
    { kind: 'patch-limits', metric: 'battery charge', value: { low: null }, ifMatch: '', changedBy: 'http' }
  ])
  t.match(counters.requests, { limits: { ok: 4 }, anomalies: { ok: 1 } })
  t.match((await send('GET', '/')).text, /PATCH \/limits\/\{metric\}/)
})

onBothEngines('paths and methods that there are not', async (t, engine) => {
  const { questions, send } = await rig(t, engine)
  for (const path of ['/limits/', '/limits/a/b', '/limits/%zz', '/limit', '/anomalies/x']) t.equal((await send('PATCH', path, '{}')).status, 404, path)
  const wrong = await send('GET', '/limits/battery')
  t.match(wrong, { status: 405, headers: { allow: 'PATCH' } })
  t.match(await send('PATCH', '/limits/history', '{}'), { status: 405, headers: { allow: 'GET, HEAD' } })
  t.strictSame(questions, [])
})

onBothEngines('the largest set of limits arrives whole; one of more parts than it can have is refused unparsed', async (t, engine) => {
  const { questions, send } = await rig(t, engine)
  const side = { warning: 1, critical: 0 }
  const limits = Object.fromEntries(METRICS.map(({ name }) => [name, { low: side, high: { warning: 2, critical: 3 } }]))
  const set = { default: limits, overrides: Object.fromEntries(Array.from({ length: OVERRIDES_MAX }, (_, index) => [`SAT-${index}`, limits])) }
  t.equal((await send('PUT', '/limits', JSON.stringify(set))).status, 200)
  t.strictSame(questions.at(-1), { kind: 'replace-limits', value: set, ifMatch: '', changedBy: 'http' })
  t.match(await send('PUT', '/limits', `{${Array.from({ length: 300_000 }, (_, index) => `"${index.toString(36)}":1`).join(',')}}`), { status: 400, text: /fields and elements/ })
})

onBothEngines('X-Changed-By: a name of any script, percent-encoded everywhere, as UTF-8 or Latin-1 where the engine passes it on', async (t, engine) => {
  const { questions, send } = await rig(t, engine)
  const nameOf = async (header: string): Promise<string> => {
    await send('PATCH', '/limits/x', '{}', { 'x-changed-by': header })
    const question = questions.at(-1)
    return question?.kind === 'patch-limits' ? question.changedBy : ''
  }
  for (const name of ['Zoë', '宇航员 🛰', '100%']) t.equal(await nameOf(name === '100%' ? name : encodeURIComponent(name)), `http: ${name}`)
  t.equal(await nameOf(encodeURIComponent(' A\u0000n\u2028n\r\n')), 'http: A?n?n??')
  t.equal(await nameOf(encodeURIComponent('x'.repeat(60) + '🛰'.repeat(9))), `http: ${'x'.repeat(60)}${'🛰'.repeat(4)}`)
  if (engine.name === 'node') {
    for (const encoding of ['utf8', 'latin1'] as const) t.equal(await nameOf(Buffer.from('Zoë', encoding).toString('latin1')), 'http: Zoë', encoding)
  }
})

onBothEngines('bodies that are none never reach the primary', async (t, engine) => {
  const { questions, counters, send } = await rig(t, engine)
  for (const body of ['', '{', '\ufeff{}', '['.repeat(1_000), '{"a":NaN}']) t.match(await send('PUT', '/limits', body), { status: 400, text: /"invalid_json"/ }, JSON.stringify(body.slice(0, 20)))
  t.match(await send('PUT', '/limits', ' '.repeat(4 * 1024 * 1024 + 1)), { status: 413, text: /larger than 4194304 bytes/ })
  t.equal((await send('PUT', '/limits', `{"default":{}}${' '.repeat(2_000)}`)).status, 200, 'MAX_BODY_BYTES is for points')
  t.equal(questions.length, 1)
  t.match(counters.requests.limits, { ok: 1, clientError: 6 })
})

onBothEngines('a change is noted with the name of its token, whatever its sender claims to be', async (t, engine) => {
  const { questions, send } = await rig(t, engine, [TOKEN])
  for (const [method, path] of [['PUT', '/limits'], ['PATCH', '/limits/x']] as const) {
    t.equal((await send(method, path, '{}', { 'x-changed-by': 'Ann', authorization: `Bearer ${TOKEN}` })).status, 200)
    t.match(questions.at(-1), { changedBy: 'token: token-1' })
  }
  t.equal(questions.length, 2)
})
