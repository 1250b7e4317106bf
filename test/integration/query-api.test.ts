/**
 * The query API of running servers, on both HTTP engines, by what GET /openapi.json says alone: every endpoint is
 * asked, and every answer has the status, the type and the schema that the document gives it.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { once } from 'node:events'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import t, { type Test } from 'tap'
import { Agent, request, type Dispatcher } from 'undici'
import { connect } from '../../lib/database/connection.js'
import { METRICS } from '../support/points/built-in.js'
import { eventually } from '../support/eventually.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'

const DEADLINE_MS = 60_000
const [BATTERY, STORAGE] = METRICS
const ID = 'A/B 100%'
const SECOND_MS = 1_000
const NOW_MS = Date.now()
const DENSE_ROWS = 300_000

type Json = Record<string, unknown>

/** Fields of any answer, of which each has some; the document says which. */
interface Fields {
  readonly endpoints: string[]
  readonly next: string | null
  readonly satellites: unknown[]
  readonly streams: { readonly telemetry: { readonly metrics: Json } }
  readonly time_ms: number[]
  readonly counts: number[]
  readonly metrics: Record<string, { readonly values: Array<number | null> }>
  readonly error: unknown
}

interface Answer {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly text: string
  readonly json: Fields
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH'

interface OpenApi {
  readonly openapi: string
  readonly paths: Record<string, Record<string, {
    readonly operationId: string
    readonly responses: Record<string, { readonly content: Record<string, { readonly schema: Json }> }>
  }>>
  readonly components: { readonly schemas: Record<string, Json> }
}

const directory = await temporaryDirectory(t)
const postgres = await startTestPostgres(t)
const agent = new Agent()
t.teardown(async () => { await agent.destroy() })
const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: DEADLINE_MS })
t.teardown(async () => { await db.close() })

async function start (engine: 'node' | 'uws'): Promise<string> {
  const { url } = await startIngest(t, {
    dataDir: join(directory, engine), databaseUrl: postgres.url, args: ['--workers', '1'], env: { HTTP_ENGINE: engine }
  })
  return url
}

const urls = [await start('node'), await start('uws')]
const [first = ''] = urls

/** A client that knows nothing but the document. */
class Client {
  readonly asked = new Set<string>()

  private constructor (readonly url: string, readonly document: OpenApi, private readonly ajv: Ajv2020) {}

  static async open (url: string): Promise<Client> {
    const document = await (await request(`${url}/openapi.json`)).body.json() as OpenApi
    const ajv = new Ajv2020({ strict: false, allErrors: true })
    formats.default(ajv)
    // Fields that the document does not have are mistakes of the document.
    ajv.addSchema(JSON.parse(JSON.stringify(document), (_, value: Json | null) => (
      value !== null && typeof value === 'object' && 'properties' in value && !('additionalProperties' in value)
        ? { ...value, additionalProperties: false }
        : value
    )) as Json, 'document')
    return new Client(url, document, ajv)
  }

  /** Asks, and checks the answer against the document. */
  async ask (
    path: string, target: string, method: Method = 'GET', headers: Record<string, string> = {}, body?: string
  ): Promise<Answer> {
    this.asked.add(`${method} ${path}`)
    const answer = await request(this.url + target, { method, headers, ...body === undefined ? {} : { body } })
    const text = await answer.body.text()
    const status = String(answer.statusCode)
    const type = String(answer.headers['content-type']).split(';')[0] ?? ''
    const operation = this.document.paths[path]?.[method.toLowerCase()]
    const content = operation?.responses[status]?.content[type]
    assert.ok(content !== undefined, `${method} ${target}: ${status} ${type} is not in the document: ${text}`)
    const [isJson, given] = [type === 'application/json', { status: answer.statusCode, headers: answer.headers, text }]
    const json = (isJson ? JSON.parse(text) : {}) as Fields
    if (!isJson) return { ...given, json }
    const pointer = ['paths', path, method.toLowerCase(), 'responses', status, 'content', type, 'schema']
      .map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const validate = this.ajv.getSchema(`document#/${pointer}`)
    assert.ok(validate?.(json), `${method} ${target}: ${this.ajv.errorsText(validate?.errors)}\n${text.slice(0, 500)}`)
    return { ...given, json }
  }
}

function iso (ms: number): string {
  return new Date(ms).toISOString()
}

const POINTS = Array.from({ length: 30 }, (_, index) => ({
  satellite_id: ID,
  time: NOW_MS - index * SECOND_MS,
  [BATTERY.name]: 50 + index,
  [STORAGE.name]: index === 0 ? BATTERY.limit.value * 1e6 : index
}))

t.test('points, and an answer from every endpoint', async (t) => {
  const sender = await Client.open(first)
  const points = [...POINTS, { satellite_id: 'SAT-1', time: NOW_MS - 5_000, [BATTERY.name]: 20 }]
  const one = { satellite_id: 'SAT-2', time: iso(NOW_MS - 4_000), [BATTERY.name]: 90 }
  const headers = { 'content-type': 'application/json' }
  await sender.ask(
    '/telemetry/batch', '/telemetry/batch?ack=committed', 'POST', headers, JSON.stringify(points))
  await sender.ask('/telemetry', '/telemetry?ack=committed', 'POST', headers, JSON.stringify(one))
  const again = { ...one, time: iso(NOW_MS - 6_000) }
  await sender.ask('/telemetry/{stream}', '/telemetry/telemetry', 'POST', headers, JSON.stringify(again))
  await sender.ask('/telemetry/{stream}/batch', '/telemetry/telemetry/batch', 'POST', headers, '[]')
  const version = (await sender.ask('/limits', '/limits')).headers.etag as string
  const set = {
    default: { [BATTERY.name]: { low: { warning: 30, critical: 10 } }, [STORAGE.name]: { high: { critical: 95_000 } } }
  }
  await sender.ask('/limits', '/limits', 'PUT', { 'if-match': version }, JSON.stringify(set))
  await sender.ask('/limits/{metric}', `/limits/${BATTERY.name}`, 'PATCH', {}, '{"low":{"warning":25}}')
  for (const url of urls) {
    const client = await Client.open(url)
    await t.test(`at ${url}`, async (t) => await everything(t, client))
    const listed = (await client.ask('/', '/')).json.endpoints
    const documented = Object.entries(client.document.paths).flatMap(([path, methods]) => (
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)))
    t.strictSame(documented.sort(), ['GET /', ...listed].sort(), 'the document has every route, and none else')
    for (const each of sender.asked) client.asked.add(each)
    const endless = ['GET /anomalies/stream', 'GET /feed']
    t.strictSame([...client.asked, ...endless].sort(), documented, 'every operation was asked')
  }
})

async function everything (t: Test, client: Client): Promise<void> {
  const simple = ['/live', '/ready', '/health', '/metrics', '/udp/senders', '/catalogue', '/openapi.json', '/limits']
  for (const path of simple) await client.ask(path, path)
  await client.ask('/limits/history', '/limits/history?limit=5')
  await client.ask('/anomalies', '/anomalies?limit=10')

  const page = await client.ask('/satellites', '/satellites?limit=2')
  const worst = [{ satellite_id: ID, state: 'critical' }, { satellite_id: 'SAT-1', state: 'warning' }]
  t.match(page.json, { total: 3, satellites: worst })
  const rest = await client.ask('/satellites', `/satellites?limit=2&cursor=${String(page.json.next)}`)
  t.match(rest.json, { total: 3, next: null, satellites: [{ satellite_id: 'SAT-2', state: 'ok' }] })
  t.match((await client.ask('/satellites', '/satellites?match=b+1')).json.satellites, [{ satellite_id: ID }])
  t.strictSame((await client.ask('/satellites', '/satellites?match=sat&stale=1h')).json.satellites, [])
  const text = (await client.ask('/satellites', '/satellites?match=SAT-1', 'GET', { accept: 'text/csv' })).text
  t.match(text, /^satellite_id,state,stream,time\nSAT-1,warning,telemetry,2\S+Z\n$/)

  const target = `/satellites/${encodeURIComponent(ID)}`
  const last = (await client.ask('/satellites/{id}', target)).json
  t.match(last.streams.telemetry, { state: 'critical', time: iso(NOW_MS).replace('Z', '000Z') })
  const limits = { low: { warning: 25, critical: 10 } }
  t.strictSame(last.streams.telemetry.metrics[BATTERY.name],
    { title: BATTERY.title, unit: '%', type: 'float', value: 50, state: 'ok', limits })
  t.match(last.streams.telemetry.metrics[METRICS[2].name], { value: null, state: 'unchecked' })
  await client.ask('/satellites/{id}', `${target}?metrics=${BATTERY.name}`, 'GET', { accept: 'application/x-ndjson' })
  t.equal((await client.ask('/satellites/{id}', '/satellites/nobody')).status, 404)

  const range = `from=${NOW_MS - 29_500}&to=${encodeURIComponent(iso(NOW_MS + 1))}`
  const past = `${target}/telemetry?${range}&metrics=${BATTERY.name}`
  const raw = (await client.ask('/satellites/{id}/{stream}', past)).json
  t.match(raw, { kind: 'raw', bucket_ms: null })
  t.equal(raw.time_ms.length, 30)
  t.equal(raw.time_ms.at(-1), NOW_MS)
  t.equal(raw.metrics[BATTERY.name]?.values.at(-1), 50)
  const few = (await client.ask('/satellites/{id}/{stream}', `${target}/telemetry?${range}&points=4`)).json
  t.match(few, { kind: 'buckets', source: 'telemetry' })
  t.ok(few.time_ms.length <= 4)
  t.equal(few.counts.reduce((sum, each) => sum + each, 0), 30)
  const lines = (await client.ask('/satellites/{id}/{stream}', past, 'GET', { accept: 'application/x-ndjson' }))
    .text.trimEnd().split('\n')
  t.strictSame(JSON.parse(lines.at(-1) ?? ''), { time: iso(NOW_MS).replace('Z', '000Z'), [BATTERY.name]: 50 })
  t.strictSame((await client.ask('/satellites/{id}/{stream}', '/satellites/nobody/telemetry')).json.time_ms, [])
  t.equal((await client.ask('/satellites/{id}/{stream}', `${target}/other`)).status, 404)

  const history = `satellite=${encodeURIComponent(ID)}&metric=${BATTERY.name}`
  t.strictSame((await client.ask('/query/latest', `/query/latest?${history}`)).json, [{ timestamp: NOW_MS, value: 50 }])
  t.strictSame(
    (await client.ask('/query/latest', `/query/latest?${history}&size=2&end=${NOW_MS - 1_500.5}`)).json,
    [{ timestamp: NOW_MS - 3_000, value: 53 }, { timestamp: NOW_MS - 2_000, value: 52 }])
  const { text: minmax } = await client.ask(
    '/query/minmax', `/query/minmax?${history}&start=${NOW_MS - 29_500}&end=${NOW_MS + 1}&size=3`)
  const values = (JSON.parse(minmax) as Array<{ readonly value: number }>).map(({ value }) => value)
  t.ok(values.length <= 6)
  t.strictSame([Math.min(...values), Math.max(...values)], [50, 79])

  const { text: exported } = await client.ask(
    '/export', `/export?from=0&satellite=${encodeURIComponent(ID)}&metrics=${BATTERY.name}`)
  t.match(exported, new RegExp(`^time,satellite_id,${BATTERY.name}\n2\\S+Z,A/B 100%,79\n`))
  t.equal(exported.trimEnd().split('\n').length, 31)

  const bad: ReadonlyArray<readonly [path: string, target: string, message: RegExp]> = [
    ['/satellites', '/satellites?limit=0&stale=5&x=1', /unknown parameter "x".*stale must be.*limit must be/],
    ['/satellites', '/satellites?cursor=%00', /cursor must be/],
    ['/satellites', `/satellites?match=${'*'.repeat(9)}`, /match must have/],
    ['/satellites/{id}', '/satellites/%20', /satellite in the path/],
    ['/satellites/{id}/{stream}', `${target}/telemetry?from=2&to=1`, /from must be before to/],
    ['/satellites/{id}/{stream}', `${target}/telemetry?metrics=nothing&points=1`, /known metrics are.*points must be/],
    ['/query/latest', '/query/latest?size=x', /satellite is required.*metric is required.*size must be/],
    ['/query/minmax', `/query/minmax?${history}&stream=other`, /stream must be telemetry/],
    ['/export', '/export?satellite=%01', /from is required.*satellite must be/]
  ]
  for (const [path, target, message] of bad) {
    const { status, json } = await client.ask(path, target)
    t.equal(status, 400, target)
    t.match(json.error, { code: 'invalid_query', message }, target)
  }
}

/** Connections of exports. */
async function exporting (): Promise<number[]> {
  const { rows } = await db.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'orbitstream export'")
  return rows.map(({ pid }) => pid)
}

t.test('exports are bounded, and cut off with their clients', async (t) => {
  await db.query(`
    INSERT INTO telemetry (time, satellite_id, battery_charge_percent)
    SELECT now() - interval '30 minutes' + i * interval '2 ms', 'DENSE', i FROM generate_series(1, ${DENSE_ROWS}) i`)
  for (const url of urls) {
    await t.test(`at ${url}`, async (t) => {
      const target = `${url}/export?from=${NOW_MS - 86_400_000}`
      const headers = { 'accept-encoding': 'gzip', accept: 'application/x-ndjson' }
      const whole = await request(target, { headers })
      t.match(whole.headers, { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' })
      const lines = gunzipSync(Buffer.from(await whole.body.arrayBuffer())).toString().trimEnd().split('\n')
      t.equal(lines.length, DENSE_ROWS + POINTS.length + 3)

      const head = await request(target, { method: 'HEAD' })
      t.match(head, { statusCode: 200, headers: { 'content-type': /^text\/csv/ } })
      await head.body.dump()

      // Four are served at a time; none of them is read.
      const open = await Promise.all(
        Array.from({ length: 4 }, async () => await request(target, { dispatcher: agent })))
      for (const each of open) each.body.on('error', () => {})
      const refused = await request(target)
      t.match(refused, { statusCode: 429, headers: { 'retry-after': '10' } })
      t.match(await refused.body.json(), { error: { code: 'too_busy' } })

      const [gone, ...others] = open
      gone?.body.destroy()
      await eventually('its place is free again', DEADLINE_MS, async () => {
        const again = await request(target, { dispatcher: agent })
        again.body.on('error', () => {})
        others.push(again)
        return again.statusCode === 200 ? true : undefined
      })

      // The server loses them in the middle: no client takes what it has for the whole.
      const [cut] = others
      assert.ok(cut !== undefined)
      const failed = once(cut.body, 'error')
      for (const pid of await exporting()) await db.query('SELECT pg_terminate_backend($1)', [pid])
      cut.body.resume()
      t.ok(await failed, 'the answer is cut')
      for (const each of others) each.body.destroy()
      await eventually('no connection is left', DEADLINE_MS, async () =>
        (await exporting()).length === 0 ? true : undefined)
      t.equal((await request(`${url}/live`)).statusCode, 200)
    })
  }
})
