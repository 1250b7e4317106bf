/** The main job with real programs: points go in over HTTP and come out of the embedded PostgreSQL. */
import { readFile } from 'node:fs/promises'
import { constants, getPriority } from 'node:os'
import t from 'tap'
import { request } from 'undici'
import type { Summary } from '../../lib/sim/summary.js'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { runIngest } from '../support/programs/command.js'
import { startIngest, startProgram } from '../support/programs/program.js'
import { drained, readHealth } from '../support/programs/health.js'
import { temporaryDirectory } from '../support/database/postgres.js'

const dataDir = await temporaryDirectory(t)
const ingest = await startIngest(t, { dataDir, args: ['--workers', '2'] })
const databaseUrl = (await runIngest(['database-url', '--data-dir', dataDir])).out.trim()

async function open (): Promise<Database> {
  return await connect(databaseUrl, { applicationName: 'test', connectTimeoutMs: 5_000 })
}

/** Starts a second server that must not come up. */
async function failedStart (...args: string[]): Promise<string> {
  const second = startProgram(t, 'orbitstream-ingest', ['start', '--host', '127.0.0.1', '--udp-port', 'off', ...args])
  t.equal(await second.exit, 1)
  t.notMatch(second.stderr, /at .*\.js/, 'no stack for an operating error')
  return second.stderr
}

t.test('one point, a batch and NDJSON are stored with their exact values', async (t) => {
  const time = new Date(Date.now() - 1000).toISOString()
  const post = async (path: string, body: string, type = 'application/json'): Promise<unknown> => {
    const answer = await request(`${ingest.url}${path}`, { method: 'POST', headers: { 'content-type': type }, body })
    t.equal(answer.statusCode, 202)
    return await answer.body.json()
  }
  const point = { satellite_id: 'ISS (ZARYA)', time, battery_charge_percent: 0.1, storage_usage_mb: null }
  t.same(await post('/telemetry', JSON.stringify(point)), { status: 'accepted', satellite_id: 'ISS (ZARYA)' })
  t.same(await post('/telemetry/batch', JSON.stringify([
    { satellite_id: 'NOAA 19', time, signal_strength_dbm: -71.300000000000011 },
    { satellite_id: 'Ünï-🛰', time, storage_usage_mb: 1e-300 }
  ])), { status: 'accepted', count: 2 })
  const lines = '{"satellite_id":"A","battery_charge_percent":-0}\n{"satellite_id":"B","battery_charge_percent":1}\n'
  t.same(await post('/telemetry/batch', lines, 'application/x-ndjson'), { status: 'accepted', count: 2 })
  // A 202 comes before COMMIT.
  await drained(ingest.url)
  const db = await open()
  const { rows } = await db.query('SELECT * FROM telemetry ORDER BY satellite_id')
  await db.close()
  t.equal(rows.length, 5)
  t.match(rows[2], { ...point, time: new Date(time), signal_strength_dbm: null })
  t.match(rows[3], { satellite_id: 'NOAA 19', signal_strength_dbm: -71.300000000000011 })
  t.match(rows[4], { satellite_id: 'Ünï-🛰', storage_usage_mb: 1e-300 })
  const { points } = await readHealth(ingest.url)
  t.match(points, { received: 5, accepted: 5, committed: 5, waiting: 0, rejected: 0 })
})

t.test('the simulator: every accepted point is in the database, and the sums agree', async (t) => {
  const before = (await readHealth(ingest.url)).points['committed'] ?? NaN
  const args = ['-s', '20', '-r', '50', '-d', '3', '--json', '--seed', '7', '--api-url', ingest.url]
  const simulator = startProgram(t, 'orbitstream-sim', args)
  t.equal(await simulator.exit, 0, simulator.stderr)
  const summary = JSON.parse(simulator.stdout) as Summary
  const { accepted, sent, skipped_late: late, skipped_unanswered: unanswered } = summary
  t.ok(accepted > 0)
  t.equal(accepted, sent)
  t.equal(sent + late + unanswered, 20 * 50 * 3, 'points that a slow machine could not send are reported as skipped')
  // A 202 comes before COMMIT.
  await drained(ingest.url)
  const db = await open()
  const { rows } = await db.query<{ count: string, satellites: string }>(
    "SELECT count(*), count(DISTINCT satellite_id) AS satellites FROM telemetry WHERE satellite_id LIKE 'SAT-____'")
  await db.close()
  t.same(rows[0], { count: String(accepted), satellites: '20' })
  const { body } = await request(`${ingest.url}/metrics`)
  t.match(await body.text(), `orbitstream_points_total{outcome="committed"} ${before + accepted}\n`)
  t.equal((await readHealth(ingest.url)).points['committed'], before + accepted)
})

t.test('an export gets what points leave of the processors', async (t) => {
  const db = await open()
  t.teardown(async () => await db.close())
  await db.query(`
    INSERT INTO telemetry (time, satellite_id, battery_charge_percent)
    SELECT now() - i * interval '1 us', 'DENSE', i FROM generate_series(1, 400000) i`)
  const unread = await request(`${ingest.url}/export?from=${Date.now() - 86_400_000}`)
  t.teardown(() => {
    unread.body.on('error', () => {})
    unread.body.destroy()
  })
  const { rows } = await db.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'orbitstream export'")
  t.same(rows.map(({ pid }) => getPriority(pid)), [constants.priority.PRIORITY_BELOW_NORMAL])
})

t.test('a port in use is reported clearly', async (t) => {
  const { port } = new URL(ingest.url)
  const otherDir = await temporaryDirectory(t)
  const stderr = await failedStart('--port', port, '--data-dir', otherDir, '--database-url', databaseUrl)
  t.match(stderr, `Port ${port} is in use`)
})

t.test('a data directory in use is refused, and a later start finds its points', async (t) => {
  const stderr = await failedStart('--port', '0', '--data-dir', dataDir)
  t.match(stderr, String(ingest.program.pid), 'names the process that holds the directory')
  const count = async (): Promise<number> => {
    const db = await open()
    const { rowCount } = await db.query('SELECT FROM telemetry')
    await db.close()
    return rowCount
  }
  const before = await count()
  t.equal(await ingest.program.stop(), 0)
  const again = await startIngest(t, { dataDir, args: ['--workers', '1'] })
  t.equal(await count(), before)
  t.equal(await again.program.stop(), 0)
  t.match(await readFile(`${dataDir}/instance-id`, 'utf8'), /^[0-9a-f-]{36}\n$/)
})
