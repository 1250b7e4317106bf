/** The HTTP contract, on both engines: accepted requests, errors, and the form of answers. */
import { ERRORS } from '../../../../../lib/support/errors.js'
import { NOW_MICROS, POINT, RawClient, errorOf, onBothEngines, startRig } from '../engines/rig.js'
import type { ErrorCode } from '../../../../../lib/support/errors.js'

onBothEngines('one point is accepted after its acknowledgement', async (t, engine) => {
  const { intake, acksMs, counters, send } = await startRig(t, engine)
  intake.hold = true
  const sent = send('/telemetry', { body: POINT })
  await intake.offered(1)
  t.same(acksMs, [])
  intake.release()
  const answer = await sent
  t.equal(answer.status, 202)
  t.equal(answer.headers['content-type'], 'application/json')
  t.equal(answer.text, '{"status":"accepted","satellite_id":"SAT-0001"}')
  t.same(intake.offers, [{ ack: 'spooled', ids: ['SAT-0001'], timesMicros: [NOW_MICROS] }])
  t.equal(acksMs.length, 1)
  t.ok(acksMs[0]! >= 0)
  t.match(counters.requests.telemetry, { ok: 1, clientError: 0, serverError: 0, aborted: 0 })
  t.equal(counters.bodyBytes, POINT.length)
})

onBothEngines('an id that needs escaping is returned unchanged', async (t, engine) => {
  const { send } = await startRig(t, engine)
  for (const id of ['ISS "ZARYA" \\', '衛星 🛰', '</script>']) {
    for (let turn = 0; turn < 2; turn++) {
      const answer = await send('/telemetry', { body: JSON.stringify({ satellite_id: id, storage_usage_mb: 1 }) })
      t.same(JSON.parse(answer.text), { status: 'accepted', satellite_id: id })
    }
  }
})

onBothEngines('batches as JSON and NDJSON, including empty ones', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  const points = ['A', 'B', 'A'].map((id) => JSON.stringify({ satellite_id: id, battery_charge_percent: 1 }))
  const bodies: Array<[string, string, number]> = [
    ['application/json', `[${points.join(',')}]`, 3],
    ['application/x-ndjson', points.join('\n'), 3],
    ['application/ndjson', points.join('\r\n') + '\r\n', 3],
    ['application/jsonl', points.join('\n') + '\n\n', 3],
    ['application/json', '[]', 0],
    ['application/x-ndjson', '', 0]
  ]
  for (const [type, body, count] of bodies) {
    const answer = await send('/telemetry/batch', { body, headers: { 'content-type': type } })
    t.equal(answer.status, 202, type)
    t.equal(answer.text, `{"status":"accepted","count":${count}}`)
  }
  t.same(intake.offers.map(({ ids }) => ids.join()), Array(4).fill('A,B,A'), 'nothing is offered for an empty batch')
})

onBothEngines('content types', async (t, engine) => {
  const { send } = await startRig(t, engine)
  const good = [
    '', 'application/json', 'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset="UTF-8"',
    'application/json; version=1', 'application/x-www-form-urlencoded'
  ]
  for (const type of good) {
    const answer = await send('/telemetry', { body: POINT, headers: type === '' ? {} : { 'Content-Type': type } })
    t.equal(answer.status, 202, type)
  }
  const bad = ['text/plain', 'application/json; charset=latin1', 'application/xml', 'json', 'application/msgpackk']
  for (const type of bad) {
    const answer = await send('/telemetry/batch', { body: '[]', headers: { 'content-type': type } })
    t.equal(answer.status, 415, type)
    t.match(errorOf(answer), { code: 'unsupported_media_type', message: /application\/json, application\/x-ndjson/ })
  }
  const answer = await send('/telemetry', { body: POINT, headers: { 'content-type': 'application/x-ndjson' } })
  t.equal(answer.status, 415)
  t.match(errorOf(answer).message, '/telemetry/batch')
})

onBothEngines('the query', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  const levels = [
    ['', 'spooled'],
    ['?', 'spooled'],
    ['?ack=received', 'received'],
    ['?ack=spooled', 'spooled'],
    ['?%61ck=committed', 'committed']
  ] as const
  for (const [query, level] of levels) {
    t.equal((await send(`/telemetry${query}`, { body: POINT })).status, 202, query)
    t.equal(intake.offers.pop()?.ack, level)
  }
  const bad = ['?ack=', '?ack', '?ack=Spooled', '?ack=spooled&ack=received', '?acc=committed', '?ack=spooled&x=1']
  for (const query of bad) {
    const answer = await send(`/telemetry/batch${query}`, { body: '[]' })
    t.equal(answer.status, 400, query)
    t.equal(errorOf(answer).code, 'invalid_query')
  }
  t.match(errorOf(await send('/telemetry?ack=no', { body: POINT })).message, 'received, spooled, committed')
  t.match(errorOf(await send('/telemetry?a%22k=1', { body: POINT })).message, '"a\\"k"')
  t.ok((await send(`/telemetry?${'%00'.repeat(5_000)}`, { body: POINT })).text.length < 1_000)
})

onBothEngines('faults of a body are reported and counted, and nothing is offered', async (t, engine) => {
  const { intake, counters, send } = await startRig(t, engine)
  const broken = await send('/telemetry', { body: '{' })
  t.equal(broken.status, 400)
  t.equal(errorOf(broken).code, 'invalid_json')
  const wrong = await send('/telemetry/batch', { body: `[${POINT},{"satellite_id":7,"battery_charge_percent":1}]` })
  t.equal(wrong.status, 400)
  t.match(errorOf(wrong), { code: 'invalid_point', details: [{ index: 1, field: 'satellite_id' }] })
  t.notOk('retry-after' in wrong.headers)
  t.equal((await send('/telemetry', { body: '' })).status, 400, 'no body')
  t.same(intake.offers, [])
  t.ok(intake.rejected >= 3)
  t.equal(counters.requests.telemetry.clientError, 2)
  t.equal(counters.requests.batch.clientError, 1)
})

onBothEngines('a failure of the intake is answered with its code and status', async (t, engine) => {
  const { intake, acksMs, counters, send } = await startRig(t, engine)
  const codes: ErrorCode[] = ['too_busy', 'overloaded', 'database_unavailable', 'outcome_unknown', 'shutting_down']
  for (const code of codes) {
    intake.answer = code
    const answer = await send('/telemetry', { body: POINT })
    t.equal(answer.status, ERRORS[code].status)
    t.same(errorOf(answer), { code, message: ERRORS[code].message })
    t.equal(answer.headers['retry-after'], code === 'outcome_unknown' ? undefined : '1')
  }
  t.match(counters.requests.telemetry, { clientError: 1, serverError: 4 })
  t.same(acksMs, [], 'only acceptances count as acknowledged')
})

onBothEngines('points not committed in time are accepted, and reported to be on disk only', async (t, engine) => {
  const { intake, acksMs, counters, send } = await startRig(t, engine)
  intake.answer = 'on_disk'
  const answer = await send('/telemetry?ack=committed', { body: POINT })
  t.equal(answer.status, 202)
  t.match(JSON.parse(answer.text), { status: 'spooled', satellite_id: /./ })
  t.match(counters.requests.telemetry, { ok: 1 })
  t.same(acksMs, [])
})

onBothEngines('a refusal is sent before the body arrives, and the connection stays usable', async (t, engine) => {
  const { intake, server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  for (const [code, status] of [['overloaded', 503], ['too_busy', 429]] as const) {
    intake.refused = { code, retryAfterSeconds: 7 }
    const body = `[${Array(5_000).fill(POINT).join(',')}]`
    client.write(`POST /telemetry/batch HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`)
    const answer = await client.answer()
    t.equal(answer.status, status)
    t.equal(errorOf(answer).code, code)
    t.equal(answer.headers['retry-after'], '7')
    client.write(body)
    intake.refused = null
    client.post()
    t.equal((await client.answer()).status, 202)
  }
  t.equal(intake.offers.length, 2)
})

onBothEngines('web pages of allowed origins', async (t, engine) => {
  const { send } = await startRig(t, engine, { allowedOrigins: ['https://console.example'] })
  const origins = [
    ['https://Console.example', 202],
    ['http://console.example', 403],
    ['https://console.example:444', 403],
    ['null', 403]
  ] as const
  for (const [origin, status] of origins) {
    t.equal((await send('/telemetry', { body: POINT, headers: { origin } })).status, status, origin)
  }
})

onBothEngines('paths and methods', async (t, engine) => {
  const { counters, send } = await startRig(t, engine)
  for (const path of ['/nothing', '/telemetry/', '/Telemetry', '/telemetry/batch/x', '//', '/%74elemetry']) {
    const answer = await send(path, { method: 'GET' })
    t.equal(answer.status, 404, path)
    t.equal(errorOf(answer).code, 'not_found')
  }
  t.equal(counters.requests.unknown.clientError, 6)
  const allowed = [
    ['/telemetry', 'POST, OPTIONS'],
    ['/telemetry/batch', 'POST, OPTIONS'],
    ['/health', 'GET, HEAD, OPTIONS'],
    ['/metrics', 'GET, HEAD, OPTIONS'],
    ['/', 'GET, HEAD, OPTIONS']
  ]
  for (const [path = '', allow] of allowed) {
    for (const method of ['DELETE', 'PUT', 'PATCH', allow === 'POST, OPTIONS' ? 'GET' : 'POST']) {
      const answer = await send(path, { method, body: method === 'POST' ? '{}' : null })
      t.equal(answer.status, 405, `${method} ${path}`)
      t.equal(answer.headers['allow'], allow)
      t.equal(errorOf(answer).code, 'method_not_allowed')
    }
    const options = await send(path, { method: 'OPTIONS' })
    t.match(options, { status: 200, text: `${allow}\n`, headers: { allow } })
    const names = Object.keys(options.headers)
    t.notOk(names.some((name) => name.startsWith('access-control-')), 'browsers get no permission')
  }
})

onBothEngines('a method in lower case is another method', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  client.write('get /health HTTP/1.1\r\nhost: x\r\n\r\n')
  const { status } = await client.answer()
  t.ok(status === 405 || status === 400, 'node:http refuses it as malformed')
})

onBothEngines('tokens', async (t, engine) => {
  const { intake, send } = await startRig(t, engine, { apiTokens: ['first-token', 'zweites Geheimnis'] })
  const bad = ['', 'Bearer', 'Bearer ', 'Bearer nope', 'Basic first-token', 'first-token', 'Bearer first-token2']
  for (const authorization of bad) {
    const answer = await send('/telemetry', { body: POINT, headers: authorization === '' ? {} : { authorization } })
    t.equal(answer.status, 401, authorization)
    t.equal(answer.headers['www-authenticate'], 'Bearer')
    t.equal(errorOf(answer).code, 'unauthorized')
    t.notMatch(answer.text, 'first-token')
  }
  t.same(intake.offers, [])
  for (const authorization of ['Bearer first-token', 'bearer first-token', 'BEARER  zweites Geheimnis']) {
    const answer = await send('/telemetry', { body: POINT, headers: { AUTHORIZATION: authorization } })
    t.equal(answer.status, 202, authorization)
  }
  const { status, text } = await send('/health', { method: 'GET' })
  t.strictSame([status, text], [200, '{"status":"healthy"}'], 'the status needs none')
})

onBothEngines('header names in any case', async (t, engine) => {
  const { intake, server } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  const line = `${POINT}\n${POINT}`
  const headers = ['HOST: x', `CONTENT-LENGTH: ${line.length}`, 'cOnTeNt-TyPe: APPLICATION/X-NDJSON']
  client.write(`POST /telemetry/batch HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${line}`)
  t.equal((await client.answer()).text, '{"status":"accepted","count":2}')
  t.equal(intake.offers.length, 1)
})

onBothEngines('GET / lists every endpoint', async (t, engine) => {
  const { send } = await startRig(t, engine)
  const answer = await send('/', { method: 'GET' })
  t.equal(answer.status, 200)
  const endpoints = [
    'POST /telemetry', 'POST /telemetry/batch', 'POST /telemetry/{stream}', 'POST /telemetry/{stream}/batch',
    'GET /live', 'GET /ready', 'GET /health', 'GET /metrics',
    'GET /udp/senders'
  ]
  t.same(JSON.parse(answer.text), { name: 'OrbitStream', endpoints })
})

onBothEngines('what an acknowledgement is worth with a replicated log, and without one', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  const answer = await send('/telemetry?ack=replicated', { body: POINT })
  t.match([answer.status, errorOf(answer).message], [400, /this server has no replicated log/])
  t.same(intake.offers, [])
})
