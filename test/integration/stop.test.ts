/** Graceful shutdown with the real program: what is stored at the last moment is counted too. */
import t from 'tap'
import { request } from 'undici'
import { connect } from '../../lib/database/connection.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'

const POINTS = 30
const CONNECT = { applicationName: 'test', connectTimeoutMs: 5_000 }
const BATCH = JSON.stringify(Array.from({ length: POINTS }, (_, index) => (
  { satellite_id: `SAT-${index}`, battery_charge_percent: 50 })))

async function send (url: string): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  return (await request(`${url}/telemetry/batch`, { method: 'POST', headers, body: BATCH })).statusCode
}

t.test('points stored during the shutdown are in ingest_stats', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '2'] })
  const database = await connect(postgres.url, CONNECT)
  t.teardown(() => database.close())
  await database.query('BEGIN; LOCK TABLE telemetry IN SHARE MODE')
  t.equal(await send(ingest.url), 202)
  const stopped = ingest.program.stop()
  await ingest.program.line(({ msg }) => msg?.startsWith('stopping') === true)
  await database.query('COMMIT')
  t.equal(await stopped, 0)
  const { rows } = await database.query(`
    SELECT sum(http_points)::int AS taken, sum(committed_points)::int AS stored,
           (array_agg(points_waiting ORDER BY time DESC))[1]::int AS waiting
    FROM ingest_stats`)
  t.same(rows, [{ taken: POINTS, stored: POINTS, waiting: 0 }])
})

t.test('without the database a shutdown does not wait for its deadline, and points stay on disk', async (t) => {
  const postgres = await startTestPostgres(t)
  const args = ['--workers', '2', '--shutdown-deadline', '1h']
  const options = { dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, args }
  const { url, program } = await startIngest(t, options)
  await postgres.kill()
  await program.line(({ msg }) => msg?.startsWith('database writes are failing') === true)
  t.equal(await send(url), 202)
  t.equal(await program.stop(), 0)
  t.match(program.lines.filter(({ msg }) => msg?.includes('shutdown does not wait')), [{ waiting: POINTS }])
  await postgres.start()
  const again = await startIngest(t, options)
  t.equal(await again.program.stop(), 0)
  const database = await connect(postgres.url, CONNECT)
  t.teardown(() => database.close())
  t.same((await database.query('SELECT count(*)::int AS stored FROM telemetry')).rows, [{ stored: POINTS }])
})
