/** The main job, with real programs: points go in over HTTP and are found in PostgreSQL. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { request } from 'undici'
import type { Summary } from '../../lib/sim/summary.js'
import { connect, type Database } from '../../lib/database/connection.js'
import { startIngest, startProgram, type Ingest } from '../support/program.js'
import { temporaryDirectory } from '../support/postgres.js'

interface Health {
  readonly status: string
  readonly points: Record<string, number>
  readonly workers: ReadonlyArray<{ readonly pid: number, readonly state: string }>
}

async function open (ingest: Ingest): Promise<Database> {
  const urlProgram = startProgram(t, 'orbitstream-ingest', ['database-url', '--data-dir', ingest.dataDir])
  await urlProgram.exit
  return await connect(urlProgram.stdout.trim(), { applicationName: 'test', connectTimeoutMs: 5_000 })
}

async function health (ingest: Ingest): Promise<Health> {
  const { body } = await request(`${ingest.url}/health`)
  return await body.json() as Health
}

t.test('one point, a batch and NDJSON are stored with their exact values', async (t) => {
  const ingest = await startIngest(t, { dataDir: await temporaryDirectory(t), args: ['--workers', '2'] })
  const time = new Date(Date.now() - 1000).toISOString()
  const post = async (path: string, body: string, type: string): Promise<unknown> => {
    const answer = await request(`${ingest.url}${path}`, { method: 'POST', headers: { 'content-type': type }, body })
    t.equal(answer.statusCode, 202)
    return await answer.body.json()
  }
  t.same(await post('/telemetry', JSON.stringify({ satellite_id: 'ISS (ZARYA)', time, battery_charge_percent: 0.1, storage_usage_mb: null }), 'application/json'),
    { status: 'accepted', satellite_id: 'ISS (ZARYA)' })
  t.same(await post('/telemetry/batch', JSON.stringify([
    { satellite_id: 'NOAA 19', time, signal_strength_dbm: -71.300000000000011 },
    { satellite_id: 'Ünï-🛰', time, storage_usage_mb: 1e-300 }
  ]), 'application/json'), { status: 'accepted', count: 2 })
  t.same(await post('/telemetry/batch', '{"satellite_id":"A","battery_charge_percent":-0}\n{"satellite_id":"B","battery_charge_percent":1}\n', 'application/x-ndjson'),
    { status: 'accepted', count: 2 })
  const db = await open(ingest)
  const { rows } = await db.query('SELECT * FROM telemetry ORDER BY satellite_id')
  await db.close()
  t.equal(rows.length, 5)
  t.match(rows[2], { satellite_id: 'ISS (ZARYA)', time: new Date(time), battery_charge_percent: 0.1, storage_usage_mb: null, signal_strength_dbm: null })
  t.match(rows[3], { satellite_id: 'NOAA 19', signal_strength_dbm: -71.300000000000011 })
  t.match(rows[4], { satellite_id: 'Ünï-🛰', storage_usage_mb: 1e-300 })
  const state = await health(ingest)
  t.match(state.points, { received: 5, accepted: 5, committed: 5, waiting: 0, rejected: 0 })
})

t.test('the simulator: every accepted point is in the database, and the sums agree', async (t) => {
  const ingest = await startIngest(t, { dataDir: await temporaryDirectory(t) })
  const simulator = startProgram(t, 'orbitstream-sim', ['-s', '20', '-r', '50', '-d', '3', '--json', '--seed', '7', '--api-url', ingest.url])
  t.equal(await simulator.exit, 0, simulator.stderr)
  const { accepted, sent, skipped_late: late, skipped_unanswered: unanswered } = JSON.parse(simulator.stdout) as Summary
  t.ok(accepted > 0)
  t.equal(accepted, sent)
  t.equal(sent + late + unanswered, 20 * 50 * 3, 'a machine may be too slow to send all, and says so')
  const db = await open(ingest)
  const { rows } = await db.query<{ count: string, satellites: string }>('SELECT count(*), count(DISTINCT satellite_id) AS satellites FROM telemetry')
  await db.close()
  t.same(rows[0], { count: String(accepted), satellites: '20' })
  const { body } = await request(`${ingest.url}/metrics`)
  const metrics = await body.text()
  t.ok(metrics.includes(`orbitstream_points_total{outcome="committed"} ${accepted}`))
  t.equal((await health(ingest)).points['committed'], accepted)
})

t.test('starts again on its data, and refuses a second one beside it', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const first = await startIngest(t, { dataDir })
  await request(`${first.url}/telemetry`, { method: 'POST', body: '{"satellite_id":"A","battery_charge_percent":1}' })
  const second = startProgram(t, 'orbitstream-ingest', ['start', '--port', '0', '--udp-port', 'off', '--data-dir', dataDir])
  t.equal(await second.exit, 1)
  t.match(second.stderr, new RegExp(`${first.program.pid}`), 'names the process that holds the directory')
  t.equal(await first.program.stop(), 0)
  const again = await startIngest(t, { dataDir })
  const db = await open(again)
  t.equal((await db.query('SELECT FROM telemetry')).rowCount, 1)
  await db.close()
  t.match(await readFile(`${dataDir}/instance-id`, 'utf8'), /^[0-9a-f-]{36}\n$/)
})

t.test('a port that somebody holds is said clearly', async (t) => {
  const ingest = await startIngest(t, { dataDir: await temporaryDirectory(t) })
  const port = new URL(ingest.url).port
  const other = startProgram(t, 'orbitstream-ingest', ['start', '--host', '127.0.0.1', '--port', port, '--udp-port', 'off', '--data-dir', await temporaryDirectory(t)])
  t.equal(await other.exit, 1)
  t.match(other.stderr, new RegExp(`Port ${port} is in use`))
  t.notMatch(other.stderr, /at .*\.js/, 'no stack for an operating error')
})
