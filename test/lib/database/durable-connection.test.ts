/** What is told to be stored must survive a crash of PostgreSQL, also where its owner made it quicker. */
import { once } from 'node:events'
import * as net from 'node:net'
import t from 'tap'
import { connect, isConnectionError } from '../../../lib/database/connection.js'
import { connectDurably } from '../../../lib/database/durable-connection.js'
import { createTestDatabase, startTestPostgres } from '../../support/database/postgres.js'
import { eventually } from '../../support/eventually.js'

const OPTIONS = { applicationName: 'test', connectTimeoutMs: 10_000 }
const server = await startTestPostgres(t)

t.test('synchronous_commit stays on in open sessions when the configuration of the server changes', async (t) => {
  const database = await connectDurably(server.url, OPTIONS)
  const owner = await connect(server.url, OPTIONS)
  await owner.query('ALTER SYSTEM SET synchronous_commit = off')
  await owner.query("ALTER SYSTEM SET work_mem = '5MB'")
  t.teardown(async () => {
    await owner.query('ALTER SYSTEM RESET ALL')
    await owner.query('SELECT pg_reload_conf()')
    await owner.close()
  })
  await owner.query('SELECT pg_reload_conf()')
  await eventually('the session has read the configuration', 30_000, async () => {
    const { rows } = await database.query<{ work_mem: string }>('SHOW work_mem')
    return rows[0]?.work_mem === '5MB' ? true : undefined
  })
  t.same((await database.query('SHOW synchronous_commit')).rows, [{ synchronous_commit: 'on' }])
  await database.close()
})

for (const [given, expected] of [['off', 'on'], ['local', 'local'], ['remote_apply', 'remote_apply']] as const) {
  t.test(`synchronous_commit ${given} becomes ${expected}`, async (t) => {
    const url = await createTestDatabase(server)
    const owner = await connect(url, OPTIONS)
    await owner.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET synchronous_commit = ${given}`)
    await owner.close()
    const database = await connectDurably(url, OPTIONS)
    t.same((await database.query('SHOW synchronous_commit')).rows, [{ synchronous_commit: expected }])
    t.same(
      (await database.query('SHOW idle_in_transaction_session_timeout')).rows,
      [{ idle_in_transaction_session_timeout: '1min' }])
    await database.close()
  })
}

t.test('a server that vanishes before the last setting costs as long as one that cannot be reached', async (t) => {
  const sockets: net.Socket[] = []
  const proxy = net.createServer((client) => {
    const upstream = net.connect(Number(new URL(server.url).port), '127.0.0.1')
    sockets.push(client, upstream)
    upstream.on('data', (bytes) => client.write(bytes))
    client.on('data', (bytes) => { if (!bytes.includes('synchronous_commit')) upstream.write(bytes) })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const url = new URL(server.url)
  url.port = String((proxy.address() as net.AddressInfo).port)
  const connecting = connectDurably(url.href, { ...OPTIONS, connectTimeoutMs: 1_000 })
  const error: unknown = await connecting.catch((error: unknown) => error)
  t.ok(isConnectionError(error), String(error))
})
