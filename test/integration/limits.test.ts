/** Limits and anomalies with real programs: two instances on one database. */
import { once } from 'node:events'
import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { request } from 'undici'
import { limits as limitsCommand } from '../../lib/cli/commands/limits.js'
import { connect } from '../../lib/database/connection.js'
import { userAtHost } from '../../lib/host/user-at-host.js'
import type { Anomaly } from '../../lib/pipeline/rows/anomaly-rows.js'
import { METRICS } from '../support/points/built-in.js'
import { runHere, runIngest, type Outcome } from '../support/programs/command.js'
import { eventually } from '../support/eventually.js'
import { readHealth } from '../support/programs/health.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, startProgram, type Ingest, type Program } from '../support/programs/program.js'

const [BATTERY] = METRICS
const DEADLINE_MS = 20_000
const POLL_MS = 10

interface LimitsView {
  readonly version: number
  readonly workers: ReadonlyArray<{ slot: number, version: number }>
  readonly limits: { default: Record<string, unknown>, overrides: object }
}

async function call (
  url: string, method: 'GET' | 'PUT' | 'PATCH' = 'GET', value?: object, headers: Record<string, string> = {}
): Promise<{ status: number, body: unknown }> {
  const answer = await request(url, { method, headers, ...value === undefined ? {} : { body: JSON.stringify(value) } })
  return { status: answer.statusCode, body: JSON.parse(await answer.body.text()) }
}

const limitsOf = async ({ url }: Ingest): Promise<LimitsView> => (await call(`${url}/limits`)).body as LimitsView

async function until (what: string, isDone: () => Promise<boolean>): Promise<void> {
  await eventually(what, DEADLINE_MS, async () => await isDone() ? true : undefined, POLL_MS)
}

const VALUES = METRICS.map(({ name }) => `('${name}', t.${name})`).join(', ')
const LIMITS = METRICS.map(({ name, limit }) => `('${name}', ${limit.side === 'low' ? -1 : 1}, ${limit.value}::float8)`)

/** Points beyond a limit without an anomaly, and anomalies without such a point. */
const DISAGREEMENT = `
  WITH sent AS (
    SELECT t."time", t.satellite_id, m.metric, m.value
    FROM telemetry t CROSS JOIN LATERAL (VALUES ${VALUES}) AS m (metric, value)
  ), expected AS (
    SELECT * FROM sent JOIN (VALUES ${LIMITS.join(', ')}) AS l (metric, sign, bound) USING (metric)
    WHERE sign * value > sign * bound
  ), e AS (
    SELECT "time", satellite_id, metric, value FROM expected
  ), a AS (
    SELECT "time", satellite_id, metric, value FROM anomalies
  )
  SELECT (SELECT count(*) FROM e)::int AS expected,
         (SELECT count(*) FROM (SELECT * FROM e EXCEPT ALL SELECT * FROM a) x)::int AS missing,
         (SELECT count(*) FROM (SELECT * FROM a EXCEPT ALL SELECT * FROM e) x)::int AS surplus`

const postgres = await startTestPostgres(t)
const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
t.teardown(async () => await db.close())

async function start (env: Record<string, string> = {}): Promise<Ingest> {
  const dataDir = join(await temporaryDirectory(t), 'data')
  return await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '2'], env })
}

function simulate (seconds: string, anomalyRate: string, ...args: string[]): Program {
  const fleet = ['-s', '50', '-r', '40', '-d', seconds, '--batch-size', '10', '--anomaly-rate', anomalyRate]
  return startProgram(t, 'orbitstream-sim', [...fleet, '--api-url', here.url, ...args])
}

const here = await start()
const there = await start({ ANOMALY_THRESHOLD_BATTERY: '12.5' })

t.test('the limits in the database take precedence over the configuration, which a start reports', async (t) => {
  t.match(there.program.stdout, /the limits in the database differ from the configuration/)
  t.notMatch(here.program.stdout, /differ/)
  t.match((await limitsOf(there)).limits.default[BATTERY.name], { low: { critical: BATTERY.limit.value } })
})

t.test('every point beyond a limit has an anomaly, and no other point', async (t) => {
  const truth = join(here.dataDir, '..', 'truth.ndjson')
  await simulate('5', '0.05', '--truth', truth).exit
  t.ok((await readFile(truth, 'utf8')).split('\n').length > 50)
  const check = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', here.url, '--wait', '15s'])
  t.equal(await check.exit, 0, check.stdout + check.stderr)
  t.match(check.stdout, /^found [\d,]+, missed 0, false 0/)
  t.match((await db.query(DISAGREEMENT)).rows, [{ missing: 0, surplus: 0 }])
  await db.query('DELETE FROM anomalies WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM anomalies LIMIT 1)')
  const wrong = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', here.url, '--wait', '0s'])
  t.equal(await wrong.exit, 1, 'detects a missing anomaly')
  t.match(wrong.stdout, /missed 1, false 0/)
})

t.test('a change under load is soon in force everywhere, and every point is checked against one version', async (t) => {
  await db.query('TRUNCATE telemetry, anomalies')
  const simulator = simulate('4', '0')
  await once(simulator.child.stderr!, 'data')
  for (const critical of [99, 10, 99.5]) {
    const { version } = await limitsOf(here)
    const startedMs = performance.now()
    const { status, body } = await call(`${here.url}/limits/${BATTERY.name}`, 'PATCH', { low: { critical } })
    const hereMs = performance.now() - startedMs
    t.equal(status, 200)
    t.strictSame((body as LimitsView).workers, [{ slot: 0, version: version + 1 }, { slot: 1, version: version + 1 }])
    await until('the other instance has the change', async () => (
      (await limitsOf(there)).workers.every((worker) => worker.version === version + 1)))
    const thereMs = performance.now() - startedMs
    t.comment(`in force here after ${hereMs.toFixed(1)} ms, on the other instance after ${thereMs.toFixed(1)} ms`)
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  await simulator.exit
  await until('all points are stored', async () => (await readHealth(here.url)).points['waiting'] === 0)
  const { rows } = await db.query<{ wrong: number, all: number }>(`
    SELECT count(*)::int AS all, (count(*) FILTER (WHERE
      (h.limits #>> ARRAY['default', a.metric, 'low', 'critical'])::float8 IS DISTINCT FROM a.limit_value
      OR a.value >= a.limit_value))::int AS wrong
    FROM anomalies a LEFT JOIN limits_history h ON h.version = a.limits_version`)
  t.equal(rows[0]?.wrong, 0)
  t.ok((rows[0]?.all ?? 0) > 100)
})

t.test('two changes at once: one wins', async (t) => {
  const { version, limits } = await limitsOf(here)
  await until('both are at the same version', async () => (await limitsOf(there)).version === version)
  const put = async ({ url }: Ingest, critical: number): Promise<number> => {
    const set = { ...limits as object, default: { [BATTERY.name]: { low: { critical } } } }
    return (await call(`${url}/limits`, 'PUT', set, { 'if-match': `"${version}"` })).status
  }
  t.strictSame((await Promise.all([put(here, 1), put(there, 2), put(here, 3)])).sort(), [200, 412, 412])
  t.equal((await call(`${here.url}/limits`, 'PUT', limits)).status, 428)
  t.equal((await call(`${here.url}/limits`, 'PUT', { default: { voltage: {} } }, { 'if-match': '*' })).status, 400)
})

t.test('the successor of a killed worker has the current limits', async (t) => {
  const firstWorker = async (): Promise<{ pid: number, state: string, limits_version: number | null }> => {
    const { workers: [worker] } = (await call(`${here.url}/health`)).body as { workers: never[] }
    return worker!
  }
  const before = await firstWorker()
  await call(`${here.url}/limits/${BATTERY.name}`, 'PATCH', { low: { warning: 15 } })
  process.kill(before.pid, 'SIGKILL')
  await until('a new worker is ready', async () => {
    const now = await firstWorker()
    return now.pid !== before.pid && now.state === 'ready' && now.limits_version !== null
  })
  const { version } = await limitsOf(here)
  t.equal((await firstWorker()).limits_version, version)
})

t.test('without the database limits stay in force, changes are refused and ingest continues', async (t) => {
  const { version, limits } = await limitsOf(here)
  await postgres.kill()
  t.equal((await call(`${here.url}/limits`, 'PUT', limits, { 'if-match': `"${version}"` })).status, 503)
  t.equal((await call(`${here.url}/limits/history`)).status, 503)
  t.equal((await limitsOf(here)).version, version)
  const body = JSON.stringify({ satellite_id: 'AWAY', [BATTERY.name]: 1 })
  t.equal((await request(`${here.url}/telemetry?ack=received`, { method: 'POST', body })).statusCode, 202)
  await postgres.start()
  await until('the anomaly of the point sent during the outage', async () => {
    const { anomalies } = (await call(`${here.url}/anomalies?satellite=AWAY`)).body as { anomalies?: unknown[] }
    return anomalies?.length === 1
  })
  await until('changes are possible again', async () => (
    (await call(`${here.url}/limits`, 'PUT', limits, { 'if-match': '*' })).status === 200))
})

t.test('the command before the first start, and what it refuses', async (t) => {
  const url = await createTestDatabase(postgres)
  const directory = t.testdir({
    'bad.json': '{"default":{"speed":{}}}', 'no.json': 'limits', 'empty.json': '{"default":{}}'
  })
  const run = async (...words: string[]): Promise<Outcome> =>
    await runHere(limitsCommand, words, { 'database-url': url })
  const bad = join(directory, 'bad.json')
  t.same(await run('get'), {
    code: 1, out: '', err: 'error: the database has no limits yet: run start or migrate first\n'
  })
  t.match(await runIngest(['migrate', '--database-url', url]), { code: 0 })
  const { out } = await run('get')
  t.same(JSON.parse((await run('get', '--json')).out), {
    version: 0, changed_at: null, changed_by: null, limits: JSON.parse(out) as object
  })
  t.same(await run('history'), { code: 0, out: '', err: '' })
  t.match(await run('set', bad), { code: 1, out: '', err: /^error: default\.speed is not known/ })
  t.match(await run('set', join(directory, 'no.json')), { code: 1, err: /^error: \S+no\.json is not valid JSON: / })
  await t.rejects(run('set', join(directory, 'none.json')), { code: 'ENOENT' })
  t.match(await run('sett'), { code: 2, err: /^error: "sett" is not one of get, set, history\nTry: / })
  t.match(await run('get', bad), { code: 2, err: /^error: get takes no file\n/ })
  t.equal((await run('history')).out, '', 'nothing was changed')
  const empty = join(directory, 'empty.json')
  t.same(await run('set', empty, '--if-version', '7'), {
    code: 1, out: '', err: 'error: the limits are no longer at version 7, but at 1; nothing was changed\n'
  })
  t.match(await run('set', empty, '--if-version', '1'), { code: 0, out: 'The limits are now at version 2.\n' })
  t.match(await run('set', empty), { code: 0, out: 'The limits are unchanged (version 2).\n' })
  t.match(JSON.parse((await run('history', '--json')).out), [
    { version: 2, changed_by: `limits set: ${userAtHost()}` },
    { version: 1, changed_by: 'configuration' }
  ])
})

t.test('the command line and the stream', async (t) => {
  const { version } = await limitsOf(here)
  const stream = await request(`${there.url}/anomalies/stream`)
  t.equal(stream.headers['content-type'], 'text/event-stream')
  let text = ''
  stream.body.on('data', (chunk: Buffer) => { text += chunk.toString() })
  stream.body.on('error', () => {})
  await until('the stream has begun', () => Promise.resolve(text.includes('retry:')))
  const limits = async (...words: string[]): Promise<Outcome> => (
    await runIngest(['limits', ...words, '--database-url', postgres.url]))
  t.match(await limits('set', '/dev/null'), { code: 1 }, 'no input, no set')
  const get = await limits('get', '--json')
  t.equal(get.code, 0)
  t.match(JSON.parse(get.out), { version })
  const history = await limits('history', '--count', '2')
  t.equal(history.code, 0)
  t.equal(history.out.trim().split('\n').length, 2)
  for (let value = 0; value < 4; value++) {
    const body = JSON.stringify({ satellite_id: 'LIVE', [BATTERY.name]: value })
    await request(`${there.url}/telemetry`, { method: 'POST', body })
  }
  await until('four anomalies', () => Promise.resolve(text.split('event: anomaly').length === 5))
  t.match(text, /id: \w+-\d+\nevent: anomaly\ndata: \{.*"satellite_id":"LIVE"/)
  const change = { change: { critical: 'any' } }
  t.equal((await call(`${there.url}/limits/${BATTERY.name}`, 'PATCH', change)).status, 200)
  await until('the other instance has the limit on change', async () => {
    const { limits, workers, version } = await limitsOf(here)
    return JSON.stringify(limits.default[BATTERY.name]).includes('change') &&
      workers.every((worker) => worker.version === version)
  })
  for (const [ingest, value] of [[here, 50], [there, 50], [there, 51], [here, 51], [there, 51]] as const) {
    const body = JSON.stringify({ satellite_id: 'MOVED', [BATTERY.name]: value })
    await request(`${ingest.url}/telemetry?ack=committed`, { method: 'POST', body })
  }
  await until('a change, in the stream', () => Promise.resolve(text.includes('"side":"change"')))
  const { anomalies } = (await call(`${there.url}/anomalies?satellite=MOVED`)).body as { anomalies: Anomaly[] }
  t.match(anomalies.filter(({ side }) => side === 'change'), [{ value: 51, limit: 50, severity: 'critical' }])
  t.equal(anomalies.filter(({ side }) => side === 'change').length, 1)
  stream.body.destroy()
})
