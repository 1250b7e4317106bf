/** Several streams, with real programs: each has a table, rollups, limits, last values and queries of its own. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Packr } from 'msgpackr'
import t, { type Test } from 'tap'
import { HttpSender, UdpSender } from '../../lib/client/client.js'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import type { Summary } from '../../lib/sim/summary.js'
import { runIngest } from '../support/programs/command.js'
import { drained } from '../support/programs/health.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, startProgram, type Ingest } from '../support/programs/program.js'
import { settled } from '../support/programs/udp.js'

const POWER = `power: { id: 2, title: Power, metrics: {
  voltage: { id: 1, unit: V, aliases: [volts], limits: { low: { critical: 20 } } },
  cycles: { id: 2, type: int, range: { min: 0, outside: refuse } }, heater: { id: 3, type: bool },
  mode: { id: 4, type: state, states: { SAFE: 0, NOMINAL: 1 }, limits: { states: { warning: [SAFE] } } } } }`
const RADIO = 'radio: { id: 7, metrics: { rssi: { id: 1, unit: dBm, range: { min: -200, outside: null } } } }'
const RATE = '{ id: 1, range: { max: 1000 } }'
const fileOf = (...streams: string[]): string =>
  `{ catalogue: 1, streams: { telemetry: { metrics: { rate: ${RATE} } }, ${streams.join(', ')} } }`
const JSON_TYPE = 'application/json'

async function open (t: Test, { url }: TestPostgres): Promise<Database> {
  const database = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await database.close())
  return database
}

async function post (
  url: string, path: string, body: object | string | Buffer, type = JSON_TYPE
): Promise<{ status: number, text: string }> {
  const sent = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const answer = await fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': type }, body: sent })
  return { status: answer.status, text: await answer.text() }
}

async function get (url: string): Promise<Record<string, unknown>> {
  return await (await fetch(url)).json() as Record<string, unknown>
}

async function values<T> (database: Database, sql: string): Promise<T[]> {
  return (await database.query<{ value: T }>(sql)).rows.map(({ value }) => value)
}

async function startWith (
  t: Test, postgres: TestPostgres, catalogue: string, dataDir: string, udpPort?: string
): Promise<Ingest> {
  const file = join(dataDir, 'catalogue.yaml')
  await writeFile(file, catalogue)
  return await startIngest(t, {
    dataDir, databaseUrl: postgres.url, args: ['--catalogue', file], ...udpPort === undefined ? {} : { udpPort }
  })
}

/** Values outside the valid ranges of three metrics, each with another fate. */
async function outOfRange (t: Test, url: string): Promise<void> {
  const { status, text } = await post(url, '/telemetry/power', { satellite_id: 'B', cycles: -1 })
  const message = /^must be a whole number from 0 on, its valid range, or null, but is -1$/
  t.equal(status, 400)
  t.match(JSON.parse(text), { error: { details: [{ index: 0, field: 'cycles', message }] } })
  t.equal((await post(url, '/telemetry?ack=committed', { satellite_id: 'B', rate: 1001 })).status, 202)
  t.equal((await post(url, '/telemetry/radio?ack=committed', { satellite_id: 'B', rssi: -201 })).status, 202)
  t.match(await get(`${url}/anomalies?metric=rate&limit=1`), {
    anomalies: [{ value: 1001, limit: 1000, severity: 'warning', side: 'range_high' }]
  })
  const rssi = { value: null }
  t.match(await get(`${url}/satellites/B?metrics=radio.rssi`), { streams: { radio: { metrics: { rssi } } } })
  const counts = await (await fetch(`${url}/metrics`)).text()
  t.match(counts, /orbitstream_values_out_of_range_total\{stream="radio",metric="radio.rssi",outside="null"\} 1\b/)
  t.match(counts, /orbitstream_values_out_of_range_total\{stream="telemetry",metric="rate",outside="flag"\} 1\b/)
}

t.test('points of every stream are checked, stored, rolled up and shown apart', async (t) => {
  const postgres = await startTestPostgres(t)
  const { url } = await startWith(t, postgres, fileOf(POWER, RADIO), await temporaryDirectory(t))
  const sent = [
    await post(url, '/telemetry', { satellite_id: 'A', rate: 3 }),
    await post(url, '/telemetry/telemetry', { satellite_id: 'A', rate: 4 }),
    await post(url, '/telemetry/power', { satellite_id: 'A', volts: 19.5, cycles: 7, heater: true, mode: 'NOMINAL' }),
    await post(
      url, '/telemetry/power/batch', [{ satellite_id: 'A', mode: 'SAFE' }, { satellite_id: 'B', voltage: 28 }]),
    await post(url, '/telemetry/power/batch', '{"satellite_id":"B","cycles":9}\n', 'application/x-ndjson'),
    await post(
      url, '/telemetry/power', new Packr({ useRecords: false }).pack({ satellite_id: 'C', heater: false }),
      'application/msgpack'),
    await post(url, '/telemetry/radio?ack=committed', { satellite_id: 'C', rssi: -80 })
  ]
  t.same(sent.map(({ status }) => status), sent.map(() => 202), JSON.stringify(sent))
  t.match(
    await post(url, '/telemetry/powr', { satellite_id: 'A' }), { status: 404, text: /did you mean power\? The stre/ })
  t.match(await post(url, '/telemetry/power', { satellite_id: 'A', rate: 1 }), { status: 400, text: /rate/ })
  t.match(await post(url, '/telemetry/batch', [{ satellite_id: 'A', voltage: 1 }]), { status: 400, text: /voltage/ })
  await drained(url)
  const database = await open(t, postgres)
  t.same(await values(database, 'SELECT rate AS value FROM telemetry ORDER BY 1'), [3, 4])
  t.same(await values(database, 'SELECT rssi AS value FROM radio'), [-80])
  t.same(await values(database, `SELECT concat_ws(' ', satellite_id, voltage, cycles, heater, mode) AS value
    FROM power ORDER BY 1`), ['A 0', 'A 19.5 7 t 1', 'B 28', 'B 9', 'C f'])
  t.same(await values(database, 'SELECT sum(points)::int AS value FROM power_10s'), [5])
  t.same(await values(database, 'SELECT satellite_id AS value FROM power_latest ORDER BY 1'), ['A', 'B', 'C'])
  t.same(await values(database, "SELECT metric || ' ' || severity AS value FROM anomalies ORDER BY 1"),
    ['power.mode warning', 'power.voltage critical'])
  t.same(await values(
    database, "SELECT name AS value FROM metric_states s WHERE metric = 'power.mode' ORDER BY s.value"),
  ['SAFE', 'NOMINAL'])

  t.match(await get(`${url}/satellites`), {
    total: 3,
    satellites: [
      { satellite_id: 'A', state: 'warning', streams: { telemetry: {}, power: { state: 'warning' } } },
      { satellite_id: 'B', streams: { power: {} } },
      { satellite_id: 'C', streams: { power: {}, radio: {} } }
    ]
  })
  t.match(await get(`${url}/satellites/A`), {
    streams: { telemetry: { metrics: { rate: { value: 4 } } }, power: { metrics: { mode: { value: 'SAFE' } } } }
  })
  t.strictSame(Object.keys((await get(`${url}/satellites/C?metrics=radio.rssi`))['streams'] as object), ['radio'])
  t.match(await get(`${url}/satellites/C?metrics=radio.rsi`), { error: { message: /power\.voltage/ } })
  t.match(await get(`${url}/satellites/A/power?metrics=volts`), {
    kind: 'raw', source: 'power', metrics: { voltage: { values: [19.5, null] } }
  })
  t.match(await get(`${url}/satellites/A/thermal`), { error: { code: 'not_found', message: /power, radio/ } })
  t.match(await get(`${url}/query/latest?satellite=C&stream=radio&metric=rssi`), [{ value: -80 }])
  const exported = await (await fetch(`${url}/export?stream=power&from=0&satellite=A`)).text()
  t.match(exported, /^time,satellite_id,voltage,cycles,heater,mode\n.*,A,19\.5,7,true,NOMINAL\n.*,A,,,,SAFE\n$/)

  const patch = { method: 'PATCH', headers: { 'content-type': JSON_TYPE }, body: '{"high":{"warning":30}}' }
  t.equal((await fetch(`${url}/limits/power.voltage`, patch)).status, 200)
  await post(url, '/telemetry/power?ack=committed', { satellite_id: 'B', voltage: 31 })
  t.match(
    await get(`${url}/anomalies?metric=power.voltage&limit=1`), { anomalies: [{ value: 31, severity: 'warning' }] })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /orbitstream_stream_points_total\{stream="power",outcome="accepted"\} 6\b/)
  t.match(metrics, /orbitstream_anomalies_total\{metric="power.voltage",severity="critical"\} 1\b/)
  await outOfRange(t, url)
})

t.test('senders and the simulator send every stream, over UDP too', async (t) => {
  const postgres = await startTestPostgres(t)
  const { url, udpPorts } = await startWith(t, postgres, fileOf(POWER, RADIO), await temporaryDirectory(t), '0')
  const udpUrl = `udp://127.0.0.1:${String(udpPorts[0])}`
  const udp = await UdpSender.open({ url: udpUrl, sender: 'test' })
  udp.add('A', null, [1])
  udp.add('A', null, [19.5, 2 ** 40 + 1, 1, 0], 'power')
  udp.add('A', null, [-80.5], 'radio')
  udp.add('A', null, [1], 'thermal')
  await udp.close()
  const http = new HttpSender({ url, ack: 'committed' })
  await http.send([{ satellite_id: 'B', mode: 'NOMINAL' }], 'power')
  await http.close()
  // Four packets, and the last heartbeat four times.
  const health = await settled(url, ({ udp: { packets } }) => packets === 8)
  t.match(health.udp, { taken: 4, points: 3, duplicates: 3, missing: 0, malformed: { unknown_stream: 1 } })
  const database = await open(t, postgres)
  t.same(await values(database, `SELECT concat_ws(' ', satellite_id, voltage, cycles, heater, mode) AS value
    FROM power ORDER BY 1`), ['A 19.5 1099511627777 t 0', 'B 1'])
  t.same(await values(database, 'SELECT rssi AS value FROM radio'), [-80.5])
  t.same(await values(database, 'SELECT metric AS value FROM anomalies ORDER BY 1'), ['power.mode', 'power.voltage'])

  const words = ['--transport', 'udp', '--udp-url', udpUrl, '--api-url', url]
  const simulator = startProgram(t, 'orbitstream-sim', [...words, '-s', '5', '-r', '20', '-d', '1', '--json'])
  t.equal(await simulator.exit, 0, simulator.stderr)
  const { sent, udp: account } = JSON.parse(simulator.stdout) as Summary
  t.match(account, { missing: 0, malformed: 0 })
  await drained(url)
  const simulated = "WHERE satellite_id LIKE 'SAT-%'"
  const counts = await Promise.all(['telemetry', 'power', 'radio'].map(async (stream) => (
    (await values<number>(database, `SELECT count(*)::int AS value FROM ${stream} ${simulated}`))[0])))
  t.ok(counts.every((count = 0) => count > 50), counts.join())
  t.equal(counts.reduce((sum = 0, count = 0) => sum + count, 0), sent)
})

t.test('a stream is added beside a host that does not know it; its frames outlive a kill', async (t) => {
  const postgres = await startTestPostgres(t)
  const [oldDir, newDir] = [await temporaryDirectory(t), await temporaryDirectory(t)]
  const older = await startWith(t, postgres, fileOf(POWER), oldDir)
  const newer = await startWith(t, postgres, fileOf(POWER, RADIO), newDir)
  const database = await open(t, postgres)
  await database.query('BEGIN; LOCK TABLE telemetry, power, radio IN ACCESS EXCLUSIVE MODE')
  for (let n = 0; n < 10; n++) {
    for (const [url, path, body] of [
      [newer.url, '/telemetry', { rate: n }], [newer.url, '/telemetry/radio', { rssi: n }],
      [older.url, '/telemetry/power', { voltage: n }], [newer.url, '/telemetry/power', { voltage: n }]
    ] as const) t.match(await post(url, path, { satellite_id: 'A', ...body }), { status: 202 })
  }
  t.match(await post(older.url, '/telemetry/radio', { satellite_id: 'A', rssi: 1 }), { status: 404 })
  await newer.program.stop('SIGKILL')
  await database.query('ROLLBACK')
  const again = await startWith(t, postgres, fileOf(POWER, RADIO), newDir)
  await drained(again.url)
  await drained(older.url)
  for (const [stream, count] of [['telemetry', 10], ['radio', 10], ['power', 20]] as const) {
    t.same(await values(database, `SELECT count(*)::int AS value FROM ${stream}`), [count], stream)
  }
  t.same(await values(database, "SELECT count(*)::int AS value FROM anomalies WHERE metric = 'power.voltage'"), [20])
})

t.test('frames of a stream that only a later catalogue has wait in quarantine', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  const server = await startWith(t, postgres, fileOf(RADIO), dataDir)
  const database = await open(t, postgres)
  await database.query('BEGIN; LOCK TABLE telemetry, radio IN ACCESS EXCLUSIVE MODE')
  t.match(await post(server.url, '/telemetry/radio', { satellite_id: 'A', rssi: 1 }), { status: 202 })
  t.match(await post(server.url, '/telemetry', { satellite_id: 'A', rate: 1 }), { status: 202 })
  await server.program.stop('SIGKILL')
  await database.query('ROLLBACK')
  // As on a host whose database was restored to the time before the stream.
  await database.query('UPDATE catalogue SET catalogue = catalogue #- \'{streams,radio}\'')
  const earlier = await startWith(t, postgres, fileOf().replace(', }', ' }'), dataDir)
  await drained(earlier.url)
  await earlier.program.stop()
  t.same(await values(database, 'SELECT rate AS value FROM telemetry'), [1])
  t.same(await values(database, 'SELECT stream AS value FROM quarantined_rows'), ['#7'])
  t.match(await runIngest(['quarantine', 'retry', '--all', '--database-url', postgres.url]), {
    code: 1, err: /does not have the stream/
  })
  const file = join(dataDir, 'catalogue.yaml')
  await writeFile(file, fileOf(RADIO))
  t.match(await runIngest(['catalogue', 'apply', file, '--database-url', postgres.url]), { code: 0, out: /radio/ })
  t.match(await runIngest(['quarantine', 'retry', '--all', '--database-url', postgres.url]), { code: 0 })
  t.same(await values(database, 'SELECT rssi AS value FROM radio'), [1])
})
