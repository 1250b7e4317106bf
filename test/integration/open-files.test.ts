/** More connections than a process may have open files: those beyond the limit are refused, and nothing else fails. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { Client, Pool } from 'undici'
import { eventually } from '../support/eventually.js'
import { readHealth } from '../support/programs/health.js'
import { createTestDatabase, startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import type { Test } from 'tap'

const OPEN_FILES_MAX = 260
const SOCKETS = 2 * OPEN_FILES_MAX
const PATIENCE_MS = 30_000
const POINT = '{"satellite_id":"HONEST","battery_charge_percent":50}'

/** Sockets with half a request head each, as far as they are accepted; closed ones leave the set. */
async function crowd (t: Test, port: number): Promise<Set<Socket>> {
  const open = new Set<Socket>()
  t.teardown(() => { for (const socket of open) socket.destroy() })
  await Promise.all(Array.from({ length: SOCKETS }, async () => {
    const socket = connect({ port, host: '127.0.0.1' })
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    socket.resume()
    await once(socket, 'connect').catch(() => {})
    if (socket.writable) socket.write('GET /health HTTP/1.1\r\nhost: x\r\nx: ')
  }))
  return open
}

/** Sends points one after another on one connection; returns a function that stops it and counts answers by status. */
function sendSteadily (t: Test, client: Client): () => Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  const stopping = new AbortController()
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { statusCode, body } = await client.request({ path: '/telemetry', method: 'POST', body: POINT })
      await body.dump()
      statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1)
    }
  }
  const running = run()
  t.teardown(() => stopping.abort())
  return async () => {
    stopping.abort()
    await running
    return statuses
  }
}

t.test('more connections than open files', async (t) => {
  const postgres = await startTestPostgres(t)
  for (const engine of ['uws', 'node']) {
    t.test(engine, async (t) => {
      const { url } = await startIngest(t, {
        dataDir: await temporaryDirectory(t),
        databaseUrl: await createTestDatabase(postgres),
        udpPort: '0',
        args: ['--workers', '1'],
        env: { HTTP_ENGINE: engine },
        openFilesMax: OPEN_FILES_MAX
      })
      const pidsBefore = (await readHealth(url)).workers.map(({ pid }) => pid)
      const honest = new Client(url)
      const asking = new Client(url)
      t.teardown(async () => { await Promise.all([honest.destroy(), asking.destroy()]) })
      const ask = async (path: string): Promise<string> => {
        const { statusCode, body } = await asking.request({ path, method: 'GET' })
        t.equal(statusCode, 200, path)
        return await body.text()
      }
      await ask('/health')
      const stop = sendSteadily(t, honest)
      const open = await crowd(t, Number(new URL(url).port))
      await eventually('connections beyond the limit are closed', PATIENCE_MS, async () => (
        await Promise.resolve(open.size < OPEN_FILES_MAX ? true : undefined)))
      for (let turn = 0; turn < 5; turn++) t.match(JSON.parse(await ask('/health')), { status: 'healthy' })
      // Metrics may be some hundred milliseconds old.
      const metrics = await eventually('the metrics count the refused connections', PATIENCE_MS, async () => {
        const text = await ask('/metrics')
        return /^orbitstream_http_refused_total\{code="too_many_connections"\} [1-9]/m.test(text) ? text : undefined
      })
      t.match(metrics, /^orbitstream_process_resident_bytes\{slot="0"\} [1-9]/m)
      const statuses = await stop()
      t.same([...statuses.keys()], [202], 'connected clients notice nothing')
      for (const socket of open) socket.destroy()
      const pool = new Pool(url)
      t.teardown(async () => await pool.destroy())
      await eventually('connections are accepted again', PATIENCE_MS, async () => {
        const { statusCode, body } = await pool.request({ path: '/', method: 'GET' })
        await body.dump()
        return statusCode === 200 ? true : undefined
      })
      t.same((await readHealth(url)).workers.map(({ pid }) => pid), pidsBefore, 'no worker exited')
    })
  }
})
