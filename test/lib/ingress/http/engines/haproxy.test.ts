/** A real HAProxy in front of both engines, as in docs/HTTP.md: plain, and with TLS. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { NO_CERTIFICATES } from '../../../../support/programs/certificates.js'
import { freePort } from '../../../../support/programs/free-port.js'
import { temporaryDirectory } from '../../../../support/database/postgres.js'
import { ProxyClient, findProgram, proxyTls, startProxy, type ProxyTls } from './proxy.js'
import { POINT, batch, onBothEngines, startRig } from './rig.js'
import type { Test } from 'tap'
import type { Rig } from './rig.js'

const HAPROXY = findProgram('haproxy')

/** @param tls null: plain HTTP on both sides */
async function startHaproxy (t: Test, upstream: number, tls: ProxyTls | null): Promise<ProxyClient> {
  const file = join(await temporaryDirectory(t), 'haproxy.cfg')
  const port = await freePort()
  const [ssl, upstreamSsl] = tls === null
    ? ['', '']
    : [`ssl crt ${tls.pemFile}`, `ssl verify required ca-file ${tls.certFile} verifyhost localhost`]
  await writeFile(file, `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend telemetry
  bind 127.0.0.1:${port} ${ssl}
  default_backend orbitstream
backend orbitstream
  option httpchk
  http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost
  server first 127.0.0.1:${upstream} check ${upstreamSsl}
`)
  await startProxy(t, HAPROXY ?? '', ['-db', '-f', file], port)
  return new ProxyClient(t, `http${tls === null ? '' : 's'}://127.0.0.1:${port}`, tls?.cert ?? null)
}

async function sendThrough (t: Test, haproxy: ProxyClient, { intake }: Rig): Promise<void> {
  for (let turn = 0; turn < 20; turn++) t.equal(await haproxy.send('/telemetry', POINT), 202)
  t.equal(await haproxy.send('/telemetry/batch', batch(10_000)), 202)
  const { origin } = haproxy
  t.equal(await haproxy.send('/telemetry', POINT, { origin }), 202, 'a page from this server')
  t.equal(await haproxy.send('/telemetry', POINT, { origin: 'https://elsewhere' }), 403)
  t.equal(await haproxy.send('/telemetry', Readable.from([Buffer.from(POINT)])), 202, 'chunks are passed on')
  t.equal(intake.offers.length, 23)
}

if (HAPROXY === undefined) {
  t.test('HAProxy in front', { skip: 'haproxy is not installed' }, async () => {})
} else {
  onBothEngines('HAProxy', async (t, engine) => {
    const rig = await startRig(t, engine)
    await sendThrough(t, await startHaproxy(t, rig.server.port, null), rig)
  })

  if (NO_CERTIFICATES === false) {
    onBothEngines('HAProxy with TLS on both sides', async (t, engine) => {
      const tls = await proxyTls(t)
      const rig = await startRig(t, engine, { tls: { material: tls, directory: tls.directory } })
      await sendThrough(t, await startHaproxy(t, rig.server.port, tls), rig)
    })
  }
}
