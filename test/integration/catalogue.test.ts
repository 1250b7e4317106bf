/**
 * A user's own metrics, with real programs: from `catalogue init` to stored points, and changes of a catalogue under
 * way.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { catalogue } from '../../lib/cli/commands/catalogue/catalogue.js'
import { loadConfig } from '../../lib/config/config.js'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import type { Summary } from '../../lib/sim/summary.js'
import { drained } from '../support/programs/health.js'
import { runIngest } from '../support/programs/command.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, startProgram, type Ingest } from '../support/programs/program.js'

const fileOf = (metrics: string): string => `{ catalogue: 1, streams: { telemetry: { metrics: { ${metrics} } } } }`
const ONE = fileOf('voltage: { id: 1, aliases: [volts] }, current: { id: 2 }')
const TWO = fileOf('voltage: { id: 1, aliases: [volts] }, current: { id: 2 }, power: { id: 3 }')

async function open (t: Test, postgres: TestPostgres): Promise<Database> {
  const database = await connect(postgres.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await database.close())
  return database
}

async function post (url: string, path: string, body: object): Promise<{ status: number, text: string }> {
  const answer = await fetch(
    `${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: answer.status, text: await answer.text() }
}

t.test('from the example to stored points: HTTP, UDP, limits, and what people look at', async (t) => {
  const directory = await temporaryDirectory(t)
  const postgres = await startTestPostgres(t)
  const file = join(directory, 'catalogue.yaml')
  t.match(await runIngest(['catalogue', 'init', file]), { code: 0, out: /CATALOGUE=.*start/ })
  t.match(await runIngest(['catalogue', 'init', file]), { code: 1, err: /already exists/ })
  t.match(
    await runIngest(['catalogue', 'check', file]),
    { code: 0, out: /is valid: 4 streams with 15 metrics in use, 2 retired/ })
  const ingest = await startIngest(
    t, { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, args: ['--catalogue', file], udpPort: '0' })
  for (const way of [
    ['--format', 'json'], ['--format', 'msgpack', '--batch-size', '10'],
    ['--transport', 'udp', '--udp-url', `udp://127.0.0.1:${ingest.udpPorts[0]}`]
  ]) {
    const simulator = startProgram(
      t, 'orbitstream-sim',
      ['-s', '10', '-r', '20', '-d', '1', '--anomaly-rate', '0.2', '--json', '--api-url', ingest.url, ...way])
    t.equal(await simulator.exit, 0, simulator.stderr)
    const { accepted, sent } = JSON.parse(simulator.stdout) as Summary
    t.ok(sent > 0 && accepted === sent, way.join(' '))
  }
  t.match(
    await post(ingest.url, '/telemetry', { satellite_id: 'A', tx_power: 12.5 }), { status: 202 }, 'an earlier name')
  t.match(
    await post(ingest.url, '/telemetry', { satellite_id: 'A', bus_volt: 12.5 }),
    { status: 400, text: /did you mean bus_voltage/ })
  t.match(
    await post(ingest.url, '/telemetry', { satellite_id: 'A', mode: 'NOMINL' }),
    { status: 400, text: /did you mean NOMINAL/ })
  await drained(ingest.url)
  const database = await open(t, postgres)
  const { rows: [sums] } = await database.query<Record<string, string | null>>(`
    SELECT count(*) AS points, count(battery_charge_percent) AS battery, count(frames_lost) AS lost,
           count(mode) AS mode, count(heater_on) AS heater, count(storage_usage_mb) AS old,
           max(transmitter_power) FILTER (WHERE satellite_id = 'A')::text AS power FROM telemetry`)
  const points = Number(sums?.['points'])
  const all = String(points - 1)
  t.match(sums, { battery: all, lost: all, mode: all, heater: all, old: '0', power: '12.5' })
  const { rows: kinds } = await database.query<{ metric: string }>(
    "SELECT DISTINCT metric FROM anomalies WHERE metric NOT LIKE '%.%' ORDER BY 1")
  t.same(
    kinds.map(({ metric }) => metric),
    ['battery_charge_percent', 'bus_voltage', 'frames_lost', 'mode', 'panel_temperature'])
  t.match(
    await (await fetch(`${ingest.url}/catalogue`)).json(),
    { catalogue: 1, streams: { telemetry: { metrics: { bus_voltage: { id: 4, unit: 'V' } } } } })
  t.match(
    await runIngest(['catalogue', 'show', '--database-url', postgres.url]), { code: 0, out: /bus_voltage:\n +id: 4/ })
  t.match(
    await runIngest(['limits', 'get', '--database-url', postgres.url]),
    { code: 0, out: /"bus_voltage": \{\s+"low": \{\s+"warning": 27/ })
})

t.test('a faulty file: every fault with its place, exit code 2, nothing changed', async (t) => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'c.yaml')
  await writeFile(
    file, 'catalogue: 1\nstreams:\n  telemetry:\n    metrics:\n      a: { id: 1, unit: 5 }\n      a_b: { id: 1 }\n')
  const wanted = /c\.yaml:5:19: .*\.unit must be text.*\n.*c\.yaml:6:14: .*\.id 1 is already the id of a/
  t.match(await runIngest(['catalogue', 'check', file]), { code: 2, err: wanted })
  t.match(
    await runIngest(['start', '--catalogue', file, '--data-dir', join(directory, 'data')]), { code: 2, err: wanted })
  t.match(
    await runIngest(['catalogue', 'check', join(directory, 'none.yaml')]), { code: 2, err: /cannot be read: ENOENT/ })
  t.match(await runIngest(['catalogue', 'chekc', file]), { code: 2, err: /is not one of init, import, check/ })
  await t.rejects(readFile(join(directory, 'data', 'spool')), { code: 'ENOENT' })
})

t.test('what diff, apply, show and history say of each change, and what is refused', async (t) => {
  const directory = await temporaryDirectory(t)
  const postgres = await startTestPostgres(t)
  const loaded = loadConfig({ env: { DATABASE_URL: postgres.url } })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const values = { from: undefined, out: undefined, stream: [], count: 20, json: false }
  const run = async (...positionals: string[]): Promise<{ code: number, out: string, err: string }> => {
    const texts = { out: '', err: '' }
    const code = await catalogue.run({
      config: loaded.config,
      sources: {},
      values,
      positionals,
      print: (text) => { texts.out += `${text}\n` },
      complain: (text) => { texts.err += `${text}\n` }
    })
    return { code, ...texts }
  }
  const file = join(directory, 'c.yaml')
  const write = async (...streams: string[]): Promise<void> => await writeFile(
    file, `{ catalogue: 1, streams: { ${streams.join(', ')} } }`)
  for (const [words, problem] of [
    [['show', file], 'show takes no file'], [['check'], 'check needs a file'],
    [['import', file], 'import needs --from with one of csv, cosmos, xtce']
  ] as const) t.match(await run(...words), { code: 2, out: '', err: `error: ${problem}\nTry: ` })
  const old = 'old: { id: 2, metrics: { x: { id: 1 } } }'
  await write('telemetry: { metrics: { a: { id: 1 }, b: { id: 2, unit: V } } }', old)
  t.match(await run('apply', file), { code: 0, out: '+ old (id 2): a new table, with 1 metric, and its rollups\n' })
  t.match(await run('apply', file), { code: 0, out: /^The catalogue is already in force\.\n$/ })
  await write('telemetry: { metrics: { a: { id: 1 } } }', old)
  await t.rejects(run('apply', file), { name: 'StartupError', message: /b \(id 2\) is missing/ })
  await write(
    'telemetry: { interval: 1s, metrics: { a: { id: 1, retired: true }, b: { id: 2, simulate: { kind: constant } }, ' +
    'c: { id: 3, unit: A } } }', 'old: { id: 2, retired: true, metrics: { x: { id: 1 } } }')
  const said = '+ c (id 3, A): a new column\n- old: retired; its tables and points stay\n' +
    '- a: retired; its column and points stay\n~ telemetry: interval\n~ b: unit, simulate\n'
  t.match(await run('diff', file), { code: 0, out: `${said}ALTER TABLE ` })
  t.match(await run('apply', file), { code: 0, out: `${said}Restart running servers, one at a time` })
  t.match(await run('history'), { code: 0, out: /^ {5}2 .* 2 metrics .*\n {5}1 .* 2 streams with 3 metrics .*\n$/ })
  t.match(await run('show'), { code: 0, out: /^catalogue: 1\nstreams:\n/ })
})

t.test('frames of an earlier catalogue are stored after a kill and a start with a new metric', async (t) => {
  const directory = await temporaryDirectory(t)
  const postgres = await startTestPostgres(t)
  const file = join(directory, 'c.yaml')
  await writeFile(file, ONE)
  const options = { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, args: ['--catalogue', file] }
  const first = await startIngest(t, options)
  const blocker = await open(t, postgres)
  await blocker.query('BEGIN; LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE')
  for (let n = 0; n < 20; n++) {
    t.match(
      await post(
        first.url, '/telemetry/batch',
        [{ satellite_id: 'A', volts: n, current: 1 }, { satellite_id: `B${n}`, current: 2 }]),
      { status: 202 })
  }
  t.equal(await first.program.stop('SIGKILL'), 'SIGKILL')
  await blocker.query('ROLLBACK')
  await writeFile(file, TWO)
  t.match(
    await runIngest(['catalogue', 'diff', file, '--database-url', postgres.url]),
    { code: 0, out: /\+ power \(id 3\): a new column[^]*ALTER TABLE public.telemetry ADD COLUMN "power"/ })
  const second = await startIngest(t, options)
  t.match(
    await post(
      second.url, '/telemetry/batch', [{ satellite_id: 'C', power: 5 }, { satellite_id: 'A', voltage: 99, power: 6 }]),
    { status: 202 })
  await drained(second.url)
  const { rows: [sums] } = await blocker.query(
    'SELECT count(*)::int AS points, sum(voltage) AS voltage, sum(current) AS current, sum(power) AS power ' +
    'FROM telemetry')
  t.same(sums, { points: 42, voltage: 190 + 99, current: 20 * 3, power: 11 })
  t.match(
    await runIngest(['catalogue', 'history', '--database-url', postgres.url]),
    { code: 0, out: / 2 .*3 metrics.*\n.* 1 .*2 metrics/ })
  const out = join(directory, 'grafana')
  t.match(await runIngest(['grafana', '--out', out, '--database-url', postgres.url]), { code: 0, out: /^6 files/ })
  t.match(await readFile(join(out, 'dashboards/satellite.json'), 'utf8'), /power/, 'of the catalogue in force')
  await writeFile(file, TWO.replace('metrics:', 'retention: 7d, metrics:'))
  t.match(
    await runIngest(['catalogue', 'diff', file, '--database-url', postgres.url]), {
      code: 0,
      out: '~ telemetry: retention 7d instead of the server\'s setting\n' +
        '! telemetry: points older than 7d will be deleted, with their rollups'
    })
})

t.test('a host with the earlier catalogue goes on beside one with the new one', async (t) => {
  const directory = await temporaryDirectory(t)
  const postgres = await startTestPostgres(t)
  const [old, young] = [join(directory, 'old.yaml'), join(directory, 'new.yaml')]
  await writeFile(old, ONE)
  await writeFile(young, TWO)
  const start = async (file: string): Promise<Ingest> => await startIngest(
    t, { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, args: ['--catalogue', file] })
  const first = await start(old)
  const second = await start(young)
  for (let n = 0; n < 10; n++) {
    t.match(await post(first.url, '/telemetry', { satellite_id: 'A', voltage: 1 }), { status: 202 })
    t.match(await post(second.url, '/telemetry', { satellite_id: 'B', power: 1 }), { status: 202 })
  }
  t.match(await post(first.url, '/telemetry', { satellite_id: 'A', power: 1 }), { status: 400 }, 'not known there')
  await Promise.all([drained(first.url), drained(second.url)])
  t.equal(await first.program.stop(), 0)
  const third = await start(old)
  t.ok(third.program.lines.some(({ msg }) => /follows the database/.test(msg ?? '')), 'its file is older')
  t.match(await post(third.url, '/telemetry', { satellite_id: 'A', power: 1 }), { status: 202 })
  await drained(third.url)
  const database = await open(t, postgres)
  const { rows: [sums] } = await database.query('SELECT sum(voltage) AS voltage, sum(power) AS power FROM telemetry')
  t.same(sums, { voltage: 10, power: 11 })
})
