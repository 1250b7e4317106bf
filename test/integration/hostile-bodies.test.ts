/** Small bodies that expand to large ones: workers survive them. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { request } from 'undici'
import { POINTS_MAX } from '../../protocol/columns.js'
import { connect } from '../../lib/database/connection.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'

/** One metric beyond its default limit, so that each row causes an anomaly. */
const ROW = Buffer.from('93a161c001', 'hex')

/** A gzipped frame of many five-byte rows. */
function packed (rows: number): Buffer {
  const head = Buffer.from([0x95, 0x01, 0xa1, 0x78, 0x01, 0x00, 0xdd, 0, 0, 0, 0])
  head.writeUInt32BE(rows, 7)
  return gzipSync(Buffer.concat([head, Buffer.alloc(rows * ROW.length, ROW)]))
}

t.test('kilobyte bodies with the most points allowed, and with more', async t => {
  const postgres = await startTestPostgres(t)
  const { url } = await startIngest(t, {
    dataDir: join(await temporaryDirectory(t), 'data'), databaseUrl: postgres.url, env: { WORKERS: '1' }
  })
  const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await db.close())
  const post = async (body: Buffer, ack: string): Promise<number> => {
    const headers = { 'content-type': 'application/msgpack', 'content-encoding': 'gzip' }
    const answer = await request(`${url}/telemetry/batch?ack=${ack}`, { method: 'POST', headers, body })
    await answer.body.dump()
    return answer.statusCode
  }
  const [most, more] = [packed(POINTS_MAX), packed(483_000)]
  t.ok(more.length < 4_000)
  t.same(await Promise.all([post(most, 'spooled'), post(more, 'spooled'), post(more, 'committed')]), [202, 413, 413])
  // Frames commit in order: everything spooled earlier is committed too.
  t.equal(await post(most, 'committed'), 202)
  const { rows } = await db.query(
    'SELECT (SELECT count(*) FROM telemetry)::int AS points, (SELECT count(*) FROM anomalies)::int AS anomalies')
  t.same(rows, [{ points: 2 * POINTS_MAX, anomalies: 2 * POINTS_MAX }])
  const health = await (await request(`${url}/health`)).body.json() as { workers: Array<{ restarts: number }> }
  t.same(health.workers.map(({ restarts }) => restarts), [0])
})
