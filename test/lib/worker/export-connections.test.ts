/** Leases of exports: each one that was granted is given back once, whatever happens. */
import t from 'tap'
import { ExportConnections } from '../../../lib/worker/export-connections.js'
import { silentLog, startTestPostgres } from '../../support/database/postgres.js'
import { STREAM } from '../../support/points/built-in.js'

const REQUEST = { satellite: null, stream: STREAM, metrics: STREAM.metrics, fromMicros: 0, toMicros: 1 }
/** The discard port: nobody listens there. */
const NOBODY = 'postgres://postgres@127.0.0.1:9/postgres'

interface Rig {
  readonly exporting: ExportConnections
  readonly leases: { granted: boolean, ended: number }
}

function rigOf (url: string): Rig {
  const leases = { granted: true, ended: 0 }
  const exporting = new ExportConnections(url, false, {
    lease: async () => await Promise.resolve(leases.granted),
    endLease: () => { leases.ended++ }
  }, silentLog)
  return { exporting, leases }
}

t.test('without a lease there is nothing to give back', async (t) => {
  const { exporting, leases } = rigOf(NOBODY)
  leases.granted = false
  await t.rejects(exporting.open(REQUEST, 'csv'), { code: 'too_busy', message: /retry when one has finished/ })
  t.equal(leases.ended, 0)
})

t.test('a database that cannot be reached', async (t) => {
  const { exporting, leases } = rigOf(NOBODY)
  await t.rejects(exporting.open(REQUEST, 'csv'), { code: 'database_unavailable' })
  t.equal(leases.ended, 1)
})

t.test('an export that fails, and is closed twice', async (t) => {
  const postgres = await startTestPostgres(t)
  const { exporting, leases } = rigOf(postgres.url)
  const opened = await exporting.open(REQUEST, 'ndjson')
  const reading = (async () => { for await (const chunk of opened.rows) t.fail(chunk.toString()) })()
  await t.rejects(reading, /"public.telemetry" does not exist/, 'an error of ours is not taken for one of the connection')
  opened.close()
  opened.close()
  t.equal(leases.ended, 1)
})
