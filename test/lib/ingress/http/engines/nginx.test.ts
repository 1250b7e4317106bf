/** A real nginx in front of both engines: with its defaults, and with the line that uWebSockets.js needs. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { request } from 'undici'
import { checkEngine } from '../../../../../lib/ingress/http/engines/self-check/check.js'
import { onProcessEnd } from '../../../../support/process-end.js'
import { temporaryDirectory } from '../../../../support/postgres.js'
import { POINT, batch, onBothEngines, startRig } from './rig.js'
import type { Test } from 'tap'
import type { Rig } from './rig.js'

const NGINX = ['nginx', '/usr/sbin/nginx'].find((each) => spawnSync(each, ['-v']).status === 0)
const READY_TIMEOUT_MS = 30_000

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}

/** The defaults of nginx, with all files in its own folder. @param lines added to the location */
function configuration (port: number, upstream: number, lines: string): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const temporary = kinds.map((kind) => `${kind}_temp_path ${kind};`).join(' ')
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid nginx.pid; error_log stderr notice;
    events {}
    http { access_log off; ${temporary}
      server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${upstream}; ${lines} } } }`
}

/** Resolves to its origin, once it is listening. */
async function startNginx (t: Test, rig: Rig, lines: string): Promise<string> {
  const folder = await temporaryDirectory(t)
  const port = await freePort()
  await writeFile(join(folder, 'nginx.conf'), configuration(port, rig.server.port, lines))
  const options = ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf']
  const child = spawn(NGINX ?? '', options, { stdio: ['ignore', 'ignore', 'pipe'] })
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => { said += chunk.toString() })
  while (!said.includes('start worker process ')) {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${said}`)
    await once(child.stderr, 'data', { signal: AbortSignal.timeout(READY_TIMEOUT_MS) })
  }
  return `http://127.0.0.1:${port}`
}

async function send (
  origin: string, path: string, body: string, headers: Record<string, string> = {}
): Promise<number> {
  const answer = await request(`${origin}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers }
  })
  await answer.body.dump()
  return answer.statusCode
}

if (NGINX === undefined) {
  t.test('nginx in front', { skip: 'nginx is not installed (Debian: nginx-light)' }, async () => {})
} else {
  onBothEngines('nginx with its defaults, which uses HTTP/1.0', async (t, engine) => {
    const { cannot } = await checkEngine(engine)
    const rig = await startRig(t, engine)
    const origin = await startNginx(t, rig, '')
    const statuses = [await send(origin, '/telemetry', POINT), await send(origin, '/telemetry/batch', batch(10_000))]
    if (cannot.includes('HTTP/1.0')) {
      t.same(statuses, [505, 505], 'as docs/HTTP.md says')
      t.same(rig.intake.offers, [])
    } else {
      t.same(statuses, [202, 202])
      t.equal(rig.intake.offers.length, 2)
    }
  })

  onBothEngines('nginx with HTTP/1.1 and persistent connections', async (t, engine) => {
    const rig = await startRig(t, engine)
    const lines = [
      'proxy_http_version 1.1;', 'proxy_set_header Connection "";', 'proxy_set_header Host $http_host;',
      'proxy_request_buffering off;'
    ]
    const origin = await startNginx(t, rig, lines.join(' '))
    for (let turn = 0; turn < 20; turn++) t.equal(await send(origin, '/telemetry', POINT), 202)
    t.equal(await send(origin, '/telemetry/batch', batch(10_000)), 202)
    const { host } = new URL(origin)
    t.equal(await send(origin, '/telemetry', POINT, { origin: `https://${host}` }), 202, 'a page from this server')
    t.equal(await send(origin, '/telemetry', POINT, { origin: 'https://elsewhere' }), 403)
    const chunks = await request(`${origin}/telemetry`, { method: 'POST', body: Readable.from([Buffer.from(POINT)]) })
    t.equal(chunks.statusCode, 202, 'chunks are passed on')
    await chunks.body.dump()
    t.equal(rig.intake.offers.length, 23)
  })
}
