/** Limits and anomalies through the programs as people run them: one database, two instances. */
import { once } from 'node:events'
import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { connect, type Database } from '../../lib/database/connection.js'
import { METRICS } from '../../protocol/metrics.js'
import { startTestPostgres, type TestPostgres, temporaryDirectory } from '../support/postgres.js'
import { startIngest, startProgram, type Ingest } from '../support/program.js'

const [BATTERY] = METRICS
const IN_FORCE_HERE_MS = 100
const IN_FORCE_THERE_MS = 500
/** Of a shared machine: what must hold is measured where nothing else runs. */
const SLOWNESS = 4

interface LimitsView { readonly version: number, readonly workers: ReadonlyArray<{ slot: number, version: number }>, readonly limits: { default: Record<string, unknown>, overrides: object } }

async function call (url: string, method: 'GET' | 'PUT' | 'PATCH' = 'GET', value?: object, headers: Record<string, string> = {}): Promise<{ status: number, body: unknown }> {
  const answer = await request(url, { method, headers, ...value === undefined ? {} : { body: JSON.stringify(value) } })
  return { status: answer.statusCode, body: JSON.parse(await answer.body.text()) }
}

const limitsOf = async ({ url }: Ingest): Promise<LimitsView> => (await call(`${url}/limits`)).body as LimitsView

async function until (isDone: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!await isDone()) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Points beyond a limit that have no anomaly, and anomalies without such a point, each judged by the version that it carries. */
const DISAGREEMENT = `
  WITH sent AS (
    SELECT t."time", t.satellite_id, m.metric, m.value
    FROM telemetry t CROSS JOIN LATERAL (VALUES ${METRICS.map(({ name }) => `('${name}', t.${name})`).join(', ')}) AS m (metric, value)
  ), expected AS (
    SELECT * FROM sent JOIN (VALUES ${METRICS.map(({ name, limit }) => `('${name}', ${limit.side === 'low' ? -1 : 1}, ${limit.value}::float8)`).join(', ')}) AS l (metric, sign, bound) USING (metric)
    WHERE sign * value > sign * bound
  ), e AS (SELECT "time", satellite_id, metric, value FROM expected), a AS (SELECT "time", satellite_id, metric, value FROM anomalies)
  SELECT (SELECT count(*) FROM e)::int AS expected, (SELECT count(*) FROM (SELECT * FROM e EXCEPT ALL SELECT * FROM a) x)::int AS missing,
         (SELECT count(*) FROM (SELECT * FROM a EXCEPT ALL SELECT * FROM e) x)::int AS surplus`

interface Rig { readonly postgres: TestPostgres, readonly db: Database, readonly here: Ingest, readonly there: Ingest }

async function rig (t: Test): Promise<Rig> {
  const postgres = await startTestPostgres(t)
  const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await db.close())
  const start = async (env: Record<string, string> = {}): Promise<Ingest> =>
    await startIngest(t, { dataDir: join(await temporaryDirectory(t), 'data'), databaseUrl: postgres.url, args: ['--workers', '2'], env: { LOG_LEVEL: 'info', ...env } })
  return { postgres, db, here: await start(), there: await start({ ANOMALY_THRESHOLD_BATTERY: '12.5' }) }
}

t.test('limits and anomalies from end to end', async (t) => {
  const { db, here, there } = await rig(t)

  await t.test('a start with other variables says that the database counts', async (t) => {
    t.match(there.program.stdout, /the limits in the database differ from those of the configuration/)
    t.notMatch(here.program.stdout, /differ/)
    t.match((await limitsOf(there)).limits.default[BATTERY.name], { low: { critical: BATTERY.limit.value } })
  })

  await t.test('every point beyond a limit has its anomaly, none else has', async (t) => {
    const truth = join(here.dataDir, '..', 'truth.ndjson')
    const simulator = startProgram(t, 'orbitstream-sim', ['-s', '50', '-r', '40', '-d', '5', '--batch-size', '10', '--anomaly-rate', '0.05', '--truth', truth, '--api-url', here.url])
    await simulator.exit
    t.ok((await readFile(truth, 'utf8')).split('\n').length > 50)
    const check = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', here.url, '--wait', '15s'])
    t.equal(await check.exit, 0, check.stdout + check.stderr)
    t.match(check.stdout, /^found [\d,]+, missed 0, false 0/)
    t.match((await db.query(DISAGREEMENT)).rows, [{ missing: 0, surplus: 0 }])
    await db.query('DELETE FROM anomalies WHERE ctid IN (SELECT ctid FROM anomalies LIMIT 1)')
    const wrong = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', here.url, '--wait', '0s'])
    t.equal(await wrong.exit, 1, 'a missing one is seen')
    t.match(wrong.stdout, /missed 1, false 0/)
  })

  await t.test('a change under load: soon in force everywhere, and never judged by a mix', async (t) => {
    await db.query('TRUNCATE telemetry, anomalies')
    const simulator = startProgram(t, 'orbitstream-sim', ['-s', '50', '-r', '40', '-d', '4', '--batch-size', '10', '--anomaly-rate', '0', '--api-url', here.url])
    await once(simulator.child.stderr!, 'data')
    for (const critical of [99, 10, 99.5]) {
      const { version } = await limitsOf(here)
      const startedMs = performance.now()
      const { status, body } = await call(`${here.url}/limits/${BATTERY.name}`, 'PATCH', { low: { critical } })
      const hereMs = performance.now() - startedMs
      t.equal(status, 200)
      t.strictSame((body as LimitsView).workers, [{ slot: 0, version: version + 1 }, { slot: 1, version: version + 1 }])
      await until(async () => (await limitsOf(there)).workers.every((worker) => worker.version === version + 1), 'the other instance has the change')
      const thereMs = performance.now() - startedMs
      t.comment(`in force here after ${hereMs.toFixed(1)} ms, on the other instance after ${thereMs.toFixed(1)} ms`)
      t.ok(hereMs < IN_FORCE_HERE_MS * SLOWNESS && thereMs < IN_FORCE_THERE_MS * SLOWNESS)
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    await simulator.exit
    await until(async () => ((await call(`${here.url}/health`)).body as { points: { waiting: number } }).points.waiting === 0, 'all is stored')
    const { rows } = await db.query<{ wrong: number, all: number }>(`
      SELECT count(*)::int AS all, (count(*) FILTER (WHERE (h.limits #>> ARRAY['default', a.metric, 'low', 'critical'])::float8 IS DISTINCT FROM a.limit_value OR a.value >= a.limit_value))::int AS wrong
      FROM anomalies a LEFT JOIN limits_history h ON h.version = a.limits_version`)
    t.equal(rows[0]?.wrong, 0)
    t.ok((rows[0]?.all ?? 0) > 100)
  })
})

t.test('changes, deaths and a database that is away', async (t) => {
  const { postgres, here, there } = await rig(t)

  await t.test('two changes at once: one wins', async (t) => {
    const { version, limits } = await limitsOf(here)
    await until(async () => (await limitsOf(there)).version === version, 'both are at one version')
    const put = async ({ url }: Ingest, critical: number): Promise<number> => {
      const set = { ...limits as object, default: { [BATTERY.name]: { low: { critical } } } }
      return (await call(`${url}/limits`, 'PUT', set, { 'if-match': `"${version}"` })).status
    }
    t.strictSame((await Promise.all([put(here, 1), put(there, 2), put(here, 3)])).sort(), [200, 412, 412])
    t.equal((await call(`${here.url}/limits`, 'PUT', limits)).status, 428)
    t.equal((await call(`${here.url}/limits`, 'PUT', { default: { voltage: {} } }, { 'if-match': '*' })).status, 400)
  })

  await t.test('a worker that is killed is followed by one with the current limits', async (t) => {
    const health = async (): Promise<{ workers: Array<{ pid: number, state: string, limits_version: number | null }> }> => (await call(`${here.url}/health`)).body as never
    const before = (await health()).workers[0]!
    await call(`${here.url}/limits/${BATTERY.name}`, 'PATCH', { low: { warning: 15 } })
    process.kill(before.pid, 'SIGKILL')
    await until(async () => {
      const now = (await health().catch(() => null))?.workers[0]
      return now !== undefined && now.pid !== before.pid && now.state === 'ready' && now.limits_version !== null
    }, 'a new worker')
    const { version } = await limitsOf(here)
    t.equal((await health()).workers[0]?.limits_version, version)
  })

  await t.test('database away: limits stay, a change is refused; ingest goes on', async (t) => {
    const { version, limits } = await limitsOf(here)
    await postgres.kill()
    t.equal((await call(`${here.url}/limits`, 'PUT', limits, { 'if-match': `"${version}"` })).status, 503)
    t.equal((await call(`${here.url}/limits/history`)).status, 503)
    t.equal((await limitsOf(here)).version, version)
    const body = JSON.stringify({ satellite_id: 'AWAY', [BATTERY.name]: 1 })
    t.equal((await request(`${here.url}/telemetry?ack=received`, { method: 'POST', body })).statusCode, 202)
    await postgres.start()
    const found = async (): Promise<boolean> => ((await call(`${here.url}/anomalies?satellite=AWAY`)).body as { anomalies?: unknown[] }).anomalies?.length === 1
    await until(found, 'the anomaly of a point that came meanwhile')
    await until(async () => (await call(`${here.url}/limits`, 'PUT', limits, { 'if-match': '*' })).status === 200, 'changes are possible again')
  })

  await t.test('the command line and the stream', async (t) => {
    const { version } = await limitsOf(here)
    const stream = await request(`${there.url}/anomalies/stream`)
    t.equal(stream.headers['content-type'], 'text/event-stream')
    let text = ''
    stream.body.on('data', (chunk: Buffer) => { text += chunk.toString() })
    stream.body.on('error', () => {})
    await until(() => Promise.resolve(text.includes('retry:')), 'the stream has begun')
    const set = startProgram(t, 'orbitstream-ingest', ['limits', 'set', '/dev/stdin', '--database-url', postgres.url], {})
    t.equal(await set.exit, 1, 'no input, no set')
    const get = startProgram(t, 'orbitstream-ingest', ['limits', 'get', '--json', '--database-url', postgres.url])
    t.equal(await get.exit, 0)
    t.match(JSON.parse(get.stdout), { version })
    const history = startProgram(t, 'orbitstream-ingest', ['limits', 'history', '--count', '2', '--database-url', postgres.url])
    t.equal(await history.exit, 0)
    t.equal(history.stdout.trim().split('\n').length, 2)
    for (let worker = 0; worker < 4; worker++) await request(`${there.url}/telemetry`, { method: 'POST', body: JSON.stringify({ satellite_id: 'LIVE', [BATTERY.name]: worker }) })
    await until(() => Promise.resolve(text.split('event: anomaly').length === 5), 'four anomalies')
    t.match(text, /id: \w+-\d+\nevent: anomaly\ndata: \{.*"satellite_id":"LIVE"/)
    stream.body.destroy()
  })
})
