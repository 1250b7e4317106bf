/** The HTTP contract, on both engines: questions to the primary about limits and anomalies, path parameters, tokens. */
import type { Test } from 'tap'
import { Client } from 'undici'
import { createDataRoutes } from '../../../../../lib/ingress/http/api/data-routes.js'
import { HttpCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { createHandler } from '../../../../../lib/ingress/http/api/routes.js'
import type { HttpEngine } from '../../../../../lib/ingress/http/engines/engine.js'
import type { Intake } from '../../../../../lib/pipeline/intake.js'
import type { DataQuestion, StatusAnswer, StatusPort } from '../../../../../lib/ingress/http/api/status-port.js'
import { OVERRIDES_MAX, limitSetPartsMax } from '../../../../../lib/limits/validate.js'
import { METRICS, TELEMETRY } from '../../../../support/points/built-in.js'
import { onBothEngines, startServer, tokenCheckOf, type Answer } from '../engines/rig.js'

const TOKEN = 'a-token-of-some-length'
const ANSWER: StatusAnswer = {
  status: 200,
  contentType: 'application/json',
  headers: [['etag', '"7"']],
  body: '{"version":7}'
}

interface DataRig {
  readonly questions: DataQuestion[]
  readonly counters: HttpCounters
  readonly send: (method: string, path: string, body?: string, headers?: Record<string, string>) => Promise<Answer>
}

async function rig (t: Test, engine: HttpEngine, apiTokens: readonly string[] = []): Promise<DataRig> {
  const questions: DataQuestion[] = []
  const counters = new HttpCounters(() => {})
  const port = {
    ask: async (question: DataQuestion) => {
      questions.push(question)
      return await Promise.resolve(ANSWER)
    }
  }
  const routes = createDataRoutes(port, ({ exchange }) => exchange.reply(200, [], 'stream'), TELEMETRY)
  const config = { maxBodyBytes: 1_000, allowedOrigins: [] }
  const [intake, status] = [{} as Intake, {} as StatusPort]
  const tokens = tokenCheckOf(apiTokens)
  const handler = createHandler({ intake, streams: new Map(), status, config, tokens, counters, now: () => 0, routes })
  const server = await startServer(t, engine, handler)
  const client = new Client(`http://127.0.0.1:${server.port}`)
  t.teardown(async () => await client.destroy())
  const send = async (
    method: string, path: string, body: string | null = null, headers: Record<string, string> = {}
  ): Promise<Answer> => {
    const answer = await client.request({ path, method, body, headers })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  }
  return { questions, counters, send }
}

onBothEngines('questions go to the primary, and its answers to the client', async (t, engine) => {
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

onBothEngines('unknown paths and methods', async (t, engine) => {
  const { questions, send } = await rig(t, engine)
  for (const path of ['/limits/', '/limits/a/b', '/limits/%zz', '/limit', '/anomalies/x']) {
    t.equal((await send('PATCH', path, '{}')).status, 404, path)
  }
  const wrong = await send('GET', '/limits/battery')
  t.match(wrong, { status: 405, headers: { allow: 'PATCH' } })
  t.match(await send('PATCH', '/limits/history', '{}'), { status: 405, headers: { allow: 'GET, HEAD' } })
  t.strictSame(questions, [])
})

onBothEngines('the largest set of limits is accepted; too many parts are refused unparsed', async (t, engine) => {
  const { questions, send } = await rig(t, engine)
  const side = { warning: 1, critical: 0 }
  const limits = Object.fromEntries(METRICS.map(({ name }) => [name, { low: side, high: { warning: 2, critical: 3 } }]))
  const overrides = Object.fromEntries(Array.from({ length: OVERRIDES_MAX }, (_, index) => [`SAT-${index}`, limits]))
  const set = { default: limits, overrides }
  t.equal((await send('PUT', '/limits', JSON.stringify(set))).status, 200)
  t.strictSame(questions.at(-1), { kind: 'replace-limits', value: set, ifMatch: '', changedBy: 'http' })
  const members = Array.from({ length: limitSetPartsMax(TELEMETRY) + 10 }, (_, index) => `"${index.toString(36)}":1`)
  t.match(await send('PUT', '/limits', `{${members.join(',')}}`), { status: 400, text: /fields and elements/ })
})

// UTF-8 and Latin-1 only where the engine passes them on.
onBothEngines('X-Changed-By: a name in any script, percent-encoded, as UTF-8 or as Latin-1', async (t, engine) => {
  const { questions, send } = await rig(t, engine)
  const nameOf = async (header: string): Promise<string> => {
    await send('PATCH', '/limits/x', '{}', { 'x-changed-by': header })
    const question = questions.at(-1)
    return question?.kind === 'patch-limits' ? question.changedBy : ''
  }
  for (const name of ['Zoë', '宇航员 🛰']) t.equal(await nameOf(encodeURIComponent(name)), `http: ${name}`)
  t.equal(await nameOf('100%'), 'http: 100%')
  t.equal(await nameOf(encodeURIComponent(' A\u0000n\u2028n\r\n')), 'http: A?n?n??')
  t.equal(await nameOf(encodeURIComponent('x'.repeat(60) + '🛰'.repeat(9))), `http: ${'x'.repeat(60)}${'🛰'.repeat(4)}`)
  if (engine.name === 'node') {
    for (const encoding of ['utf8', 'latin1'] as const) {
      t.equal(await nameOf(Buffer.from('Zoë', encoding).toString('latin1')), 'http: Zoë', encoding)
    }
  }
})

onBothEngines('invalid bodies never reach the primary', async (t, engine) => {
  const { questions, counters, send } = await rig(t, engine)
  for (const body of ['', '{', '\ufeff{}', '['.repeat(1_000), '{"a":NaN}']) {
    const answer = await send('PUT', '/limits', body)
    t.match(answer, { status: 400, text: /"invalid_json"/ }, JSON.stringify(body.slice(0, 20)))
  }
  const tooLarge = await send('PUT', '/limits', ' '.repeat(4 * 1024 * 1024 + 1))
  t.match(tooLarge, { status: 413, text: /larger than 4194304 bytes/ })
  const longer = await send('PUT', '/limits', `{"default":{}}${' '.repeat(2_000)}`)
  t.equal(longer.status, 200, 'MAX_BODY_BYTES is for points')
  t.equal(questions.length, 1)
  t.match(counters.requests.limits, { ok: 1, clientError: 6 })
})

onBothEngines('a change is recorded with the name of its token, not with X-Changed-By', async (t, engine) => {
  const { questions, send } = await rig(t, engine, [TOKEN])
  for (const [method, path] of [['PUT', '/limits'], ['PATCH', '/limits/x']] as const) {
    t.equal((await send(method, path, '{}', { 'x-changed-by': 'Ann', authorization: `Bearer ${TOKEN}` })).status, 200)
    t.match(questions.at(-1), { changedBy: 'token: token-1' })
  }
  t.equal(questions.length, 2)
})
