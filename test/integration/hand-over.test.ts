/** Two hosts behind a real HAProxy, taken out, restarted and put back one after another, as in docs/OPERATE.md. */
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { findProgram, startProxy } from '../lib/ingress/http/engines/proxy.js'
import { eventually } from '../support/eventually.js'
import { freePort } from '../support/programs/free-port.js'
import { JournalClient } from '../support/load/journal-client.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { verify } from '../support/load/verify.js'

t.setTimeout(240_000)

const HAPROXY = findProgram('haproxy')
const POINTS_PER_SECOND = 500
const PATIENCE_MS = 60_000
/** Column of `show stat`: current sessions. */
const SESSIONS = 4

t.test('a hand-over of two hosts', { skip: HAPROXY === undefined && 'haproxy is not installed' }, async (t) => {
  const postgres = await startTestPostgres(t)
  const directory = await temporaryDirectory(t)
  const ports = [await freePort(), await freePort()]
  const directories = await Promise.all(ports.map(async () => await temporaryDirectory(t)))
  const start = async (host: number): Promise<Ingest> => await startIngest(t, {
    dataDir: directories[host] ?? '', databaseUrl: postgres.url, port: String(ports[host]), args: ['--workers', '1']
  })
  const hosts = [await start(0), await start(1)]
  const front = await freePort()
  const admin = join(directory, 'admin.sock')
  const file = join(directory, 'haproxy.cfg')
  await writeFile(file, `
global
  stats socket ${admin} level admin
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend telemetry
  bind 127.0.0.1:${front}
  default_backend orbitstream
backend orbitstream
  balance roundrobin
  option httpchk
  http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost
  default-server check inter 100ms
${ports.map((port, host) => `  server host${host} 127.0.0.1:${port}`).join('\n')}
`)
  await startProxy(t, HAPROXY ?? '', ['-db', '-f', file], front)
  const ask = async (command: string): Promise<string> => await text(connect(admin).end(`${command}\n`))
  const show = async (host: number): Promise<string[]> => {
    const line = (await ask('show stat')).split('\n').find((each) => each.startsWith(`orbitstream,host${host},`))
    return line?.split(',') ?? []
  }

  const client = new JournalClient({ url: `http://127.0.0.1:${front}`, pointsPerRequest: 1 })
  client.start(POINTS_PER_SECOND)
  await client.acknowledgedMore(100)
  for (const [host, before] of hosts.entries()) {
    await ask(`set server orbitstream/host${host} state drain`)
    await eventually('its requests are answered', PATIENCE_MS, async () =>
      (await show(host))[SESSIONS] === '0' ? true : undefined)
    t.equal(await before.program.stop(), 0)
    await client.acknowledgedMore(100)
    hosts[host] = await start(host)
    await ask(`set server orbitstream/host${host} state ready`)
    await eventually('it is up', PATIENCE_MS, async () => (await show(host)).includes('UP') ? true : undefined)
    await client.acknowledgedMore(100)
  }
  await client.stop()
  t.same([...client.failures], [], `of ${client.acknowledged.size} requests`)
  for (const { program } of hosts) t.equal(await program.stop(), 0)
  await verify(t, postgres, [client])
})
