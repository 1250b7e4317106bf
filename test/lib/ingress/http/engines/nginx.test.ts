/** A real nginx in front of both engines: with its defaults, with the lines of docs/HTTP.md, and with TLS. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { checkEngine } from '../../../../../lib/ingress/http/engines/self-check/engine-check.js'
import { NO_CERTIFICATES } from '../../../../support/programs/certificates.js'
import { freePort } from '../../../../support/programs/free-port.js'
import { temporaryDirectory } from '../../../../support/database/postgres.js'
import { ProxyClient, findProgram, proxyTls, startProxy, type ProxyTls } from './proxy.js'
import { POINT, batch, onBothEngines, startRig } from './rig.js'
import type { Test } from 'tap'

const NGINX = findProgram('nginx')
const PERSISTENT = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;'

interface NginxOptions {
  readonly port: number
  /** The server behind it. */
  readonly upstream: string
  /** Added to the location. */
  readonly lines: string
  /** Null: plain HTTP on both sides. */
  readonly tls: ProxyTls | null
}

/** The defaults of nginx, with all files in its own folder. */
function configuration ({ port, upstream, lines, tls }: NginxOptions): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const temporary = kinds.map((kind) => `${kind}_temp_path ${kind};`).join(' ')
  const [ssl, upstreamSsl] = tls === null
    ? ['', '']
    : [
        `ssl_certificate ${tls.certFile}; ssl_certificate_key ${tls.keyFile};`,
        `proxy_ssl_trusted_certificate ${tls.certFile}; proxy_ssl_verify on; proxy_ssl_name localhost;`
      ]
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid nginx.pid; error_log stderr notice;
    events {}
    http { access_log off; ${temporary}
      server { listen 127.0.0.1:${port}${tls === null ? '' : ' ssl'}; ${ssl}
        location / { proxy_pass ${upstream}; ${upstreamSsl} ${lines} } } }`
}

async function startNginx (
  t: Test, upstream: string, lines: string, tls: ProxyTls | null = null
): Promise<ProxyClient> {
  const folder = await temporaryDirectory(t)
  const port = await freePort()
  await writeFile(join(folder, 'nginx.conf'), configuration({ port, upstream, lines, tls }))
  await startProxy(t, NGINX ?? '', ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf'], port)
  return new ProxyClient(t, `http${tls === null ? '' : 's'}://127.0.0.1:${port}`, tls?.cert ?? null)
}

if (NGINX === undefined) {
  t.test('nginx in front', { skip: 'nginx is not installed (Debian: nginx-light)' }, async () => {})
} else {
  onBothEngines('nginx with its defaults, which uses HTTP/1.0', async (t, engine) => {
    const { cannot } = await checkEngine(engine)
    const { origin, intake } = await startRig(t, engine)
    const nginx = await startNginx(t, origin, '')
    const statuses = [await nginx.send('/telemetry', POINT), await nginx.send('/telemetry/batch', batch(10_000))]
    if (cannot.includes('HTTP/1.0')) {
      const [small, large = 0] = statuses
      t.equal(small, 505, 'as docs/HTTP.md says')
      t.ok([502, 505].includes(large), 'the connection may be closed while nginx is still sending')
      t.same(intake.offers, [])
    } else {
      t.same(statuses, [202, 202])
      t.equal(intake.offers.length, 2)
    }
  })

  onBothEngines('nginx with HTTP/1.1 and persistent connections', async (t, engine) => {
    const { origin, intake } = await startRig(t, engine)
    const nginx = await startNginx(t, origin, `${PERSISTENT} proxy_request_buffering off;`)
    for (let turn = 0; turn < 20; turn++) t.equal(await nginx.send('/telemetry', POINT), 202)
    t.equal(await nginx.send('/telemetry/batch', batch(10_000)), 202)
    const { host } = new URL(nginx.origin)
    t.equal(await nginx.send('/telemetry', POINT, { origin: `https://${host}` }), 202, 'a page from this server')
    t.equal(await nginx.send('/telemetry', POINT, { origin: 'https://elsewhere' }), 403)
    t.equal(await nginx.send('/telemetry', Readable.from([Buffer.from(POINT)])), 202, 'chunks are passed on')
    t.equal(intake.offers.length, 23)
    for (let turn = 0; turn < 10; turn++) {
      t.equal(await nginx.send('/nowhere', ' '.repeat(1_000_000)), 404, 'answered before the body is read')
    }
  })

  if (NO_CERTIFICATES === false) {
    onBothEngines('nginx with TLS on both sides', async (t, engine) => {
      const tls = await proxyTls(t)
      const { origin, intake } = await startRig(t, engine, { tls: { material: tls, directory: tls.directory } })
      const nginx = await startNginx(t, origin, PERSISTENT, tls)
      for (let turn = 0; turn < 3; turn++) t.equal(await nginx.send('/telemetry', POINT), 202)
      t.equal(await nginx.send('/telemetry/batch', batch(10_000)), 202)
      t.equal(intake.offers.length, 4)
    })
  }
}
