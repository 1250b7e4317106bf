/** The HTTP contract, on both engines: bodies and answers in msgpack. */
import { pack, unpack } from 'msgpackr'
import t from 'tap'
import { request } from 'undici'
import { MsgpackExchange, acceptsMsgpack } from '../../../../../lib/ingress/http/api/msgpack-answers.js'
import type { HttpExchange } from '../../../../../lib/ingress/http/engines/engine.js'
import { PacketEncoder } from '../../../../../protocol/packet/packet-encoder.js'
import { NOW_MICROS, errorOf, onBothEngines, startRig } from '../engines/rig.js'

const POINTS = [
  { satellite_id: 'SAT-0001', battery_charge_percent: 73.21 },
  { satellite_id: 'Ünï-🛰', time: NOW_MICROS / 1000 - 5, signal_strength_dbm: null, storage_usage_mb: 1 }
]
const TYPES = ['application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack', 'Application/MsgPack']

function frame (points: number): Buffer {
  const encoder = new PacketEncoder()
  encoder.begin('http', 1, 0)
  for (let index = 0; index < points; index++) encoder.add(`SAT-${index}`, NOW_MICROS - index, [index])
  return Buffer.from(encoder.finish())
}

onBothEngines('msgpack bodies, plain and frame, get the same answers as JSON', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  for (const type of TYPES) {
    const cases = [
      ['/telemetry', pack(POINTS[1]), '"satellite_id":"Ünï-🛰"'],
      ['/telemetry', frame(1), '"satellite_id":"SAT-0"'],
      ['/telemetry/batch', pack(POINTS), '"count":2'],
      ['/telemetry/batch', frame(3), '"count":3'],
      ['/telemetry/batch', frame(0), '"count":0']
    ] as const
    for (const [path, body, fields] of cases) {
      const answer = await send(path, { body, headers: { 'content-type': type } })
      t.equal(answer.text, `{"status":"accepted",${fields}}`)
    }
  }
  t.strictSame(intake.offers.slice(0, 4), [
    { ack: 'spooled', ids: ['Ünï-🛰'], timesMicros: [NOW_MICROS - 5000] },
    { ack: 'spooled', ids: ['SAT-0'], timesMicros: [NOW_MICROS] },
    { ack: 'spooled', ids: ['SAT-0001', 'Ünï-🛰'], timesMicros: [NOW_MICROS, NOW_MICROS - 5000] },
    { ack: 'spooled', ids: ['SAT-0', 'SAT-1', 'SAT-2'], timesMicros: [NOW_MICROS, NOW_MICROS - 1, NOW_MICROS - 2] }
  ])
})

onBothEngines('refused msgpack bodies', async (t, engine) => {
  const { intake, send } = await startRig(t, engine)
  const headers = { 'content-type': 'application/msgpack' }
  const cases: Array<[string, Buffer, string]> = [
    ['/telemetry/batch', Buffer.from('92', 'hex'), 'invalid_msgpack'],
    ['/telemetry', pack(POINTS), 'invalid_point'],
    ['/telemetry', frame(2), 'invalid_point'],
    ['/telemetry/batch', pack(POINTS[0]), 'invalid_point'],
    ['/telemetry/batch', pack([{ satellite_id: 'A', battery: 1 }]), 'invalid_point']
  ]
  for (const [path, body, code] of cases) {
    const answer = await send(path, { body, headers })
    t.equal(answer.status, 400)
    t.equal(errorOf(answer).code, code)
  }
  t.equal(intake.offers.length, 0)
  t.ok(intake.rejected > 0)
})

onBothEngines('with Accept: application/msgpack, every answer is in msgpack', async (t, engine) => {
  const { counters, origin, status } = await startRig(t, engine, { apiTokens: ['0123456789abcdef'] })
  const token = 'Bearer 0123456789abcdef'
  const type = 'application/msgpack'
  const ask = async (
    path: string, method: 'GET' | 'POST', body: Buffer | null, authorization = token
  ): Promise<readonly [number, unknown]> => {
    const headers = { accept: type, 'content-type': type, authorization }
    const answer = await request(origin + path, { method, body, headers })
    t.equal(answer.headers['content-type'], 'application/msgpack')
    return [answer.statusCode, unpack(Buffer.from(await answer.body.arrayBuffer()))]
  }
  t.strictSame(await ask('/telemetry', 'POST', pack(POINTS[1])), [202, { status: 'accepted', satellite_id: 'Ünï-🛰' }])
  t.strictSame(await ask('/telemetry/batch', 'POST', frame(3)), [202, { status: 'accepted', count: 3 }])
  const invalid = pack([{ satellite_id: 'A', battery_charge_percent: 'x' }])
  const error = { code: 'invalid_point', details: [{ index: 0, field: 'battery_charge_percent' }] }
  t.match(await ask('/telemetry/batch', 'POST', invalid), [400, { error }])
  t.match(await ask('/telemetry', 'POST', pack(POINTS[0]), ''), [401, { error: { code: 'unauthorized' } }])
  t.match(await ask('/nothing', 'GET', null), [404, { error: { code: 'not_found' } }])
  t.match(await ask('/telemetry', 'GET', null), [405, { error: { code: 'method_not_allowed' } }])
  t.strictSame(await ask('/health', 'GET', null), [200, { status: 'healthy' }])
  status.answer = { status: 200, contentType: 'text/plain', body: 'metric 1\n' }
  const metrics = await request(`${origin}/metrics`, { headers: { accept: type, authorization: token } })
  t.equal(await metrics.body.text(), 'metric 1\n', 'anything but JSON is left unchanged')
  t.match(counters.requests, { telemetry: { ok: 1, clientError: 2 }, batch: { ok: 1, clientError: 1 } })
})

t.test('Accept headers that prefer msgpack', (t) => {
  const yes = [
    'application/msgpack', 'application/x-msgpack', 'APPLICATION/VND.MSGPACK ; q=0.5',
    'application/msgpack, application/json', '*/*, application/msgpack;q=0.1'
  ]
  const no = [
    '', '*/*', 'application/json', 'application/json, application/msgpack;q=0.9', 'application/msgpack;q=0',
    'text/msgpack'
  ]
  for (const accept of yes) t.ok(acceptsMsgpack(accept), accept)
  for (const accept of no) t.notOk(acceptsMsgpack(accept), accept)
  t.end()
})

t.test('a large answer that many get at once is made once', (t) => {
  const sent: Array<string | Buffer> = []
  const exchange = {
    reply: (_status: number, _headers: unknown, body: string | Buffer) => {
      sent.push(body)
      return true
    }
  } as unknown as HttpExchange
  const answers = [10_000, 10].map((length) => (
    JSON.stringify({ values: Array.from({ length }, (_, index) => index / 8) })))
  for (const answer of answers) {
    for (let client = 0; client < 3; client++) {
      new MsgpackExchange(exchange).reply(200, [['content-type', 'application/json']], answer)
    }
  }
  t.equal(new Set(sent.slice(0, 3)).size, 1)
  t.strictSame(sent.map((each) => unpack(each as Buffer) as object), [0, 0, 0, 1, 1, 1].map((index) => (
    JSON.parse(answers[index] ?? '') as object)))
  t.end()
})
