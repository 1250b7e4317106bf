/** The server starts before its replicated log, as when a host comes back first: it says so, and ends when told to. */
import t from 'tap'
import { join } from 'node:path'
import { request } from 'undici'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { quietPort } from '../support/programs/free-port.js'
import { startProgram } from '../support/programs/program.js'

t.test('while the log is away probes are answered, and /health says what the start waits for', async (t) => {
  const databaseUrl = await createTestDatabase(await startTestPostgres(t))
  const [port, logPort] = [await quietPort(), await quietPort()]
  const program = startProgram(t, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', String(port), '--udp-port', 'off', '--workers', '1',
    '--data-dir', join(await temporaryDirectory(t), 'data'), '--database-url', databaseUrl
  ], { env: { LOG_LEVEL: 'info', SPOOL_DIR: `nats://127.0.0.1:${logPort}` } })
  await program.line(({ msg }) => msg?.startsWith('waiting for the replicated log') === true)
  const live = await request(`http://127.0.0.1:${port}/live`)
  t.equal(live.statusCode, 200, 'or an orchestrator would restart it for as long as the log is away')
  await live.body.dump()
  const health = await request(`http://127.0.0.1:${port}/health`)
  t.equal(health.statusCode, 503)
  t.match(await health.body.json(), { reasons: [/^waiting for the replicated log; is SPOOL_DIR right\?/] })
  t.equal(await program.stop(), 1)
  t.match(program.stderr, 'error: Stopped while waiting for the log.')
})
