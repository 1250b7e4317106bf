/** TLS with real programs: a start with faulty files, clients, and another certificate without a stop. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Agent, request } from 'undici'
import type { Summary } from '../../lib/sim/summary.js'
import { makeCertificate, needCertificates } from '../support/programs/certificates.js'
import { runIngest } from '../support/programs/command.js'
import { eventually } from '../support/eventually.js'
import type { Health } from '../support/programs/health.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, startProgram } from '../support/programs/program.js'

needCertificates()

const TAKEN_UP_MS_MAX = 20_000

const directory = await temporaryDirectory(t)
const dataDir = join(directory, 'data')
const [first, second] = await Promise.all([makeCertificate(directory, 'first'), makeCertificate(directory, 'second')])
const [certFile, keyFile] = [join(directory, 'server.crt'), join(directory, 'server.key')]
const env = { TLS_CERT: certFile, TLS_KEY: keyFile }

async function install ({ certFile: cert, keyFile: key }: typeof first): Promise<void> {
  await Promise.all([copyFile(cert, certFile), copyFile(key, keyFile)])
}

await install(first)
const postgres = await startTestPostgres(t)
const { program, url: plainUrl } = await startIngest(t, {
  dataDir, databaseUrl: postgres.url, args: ['--workers', '2'], env
})
const url = plainUrl.replace('http:', 'https:')
const port = new URL(url).port

/** Of a new connection. */
async function ask (path: string, ca: string): Promise<{ readonly status: number, readonly text: string }> {
  const dispatcher = new Agent({ connect: { ca } })
  try {
    const { statusCode, body } = await request(url + path, { dispatcher })
    return { status: statusCode, text: await body.text() }
  } finally {
    await dispatcher.destroy()
  }
}

t.test('a start with faulty files names them', async (t) => {
  const settings = { TLS_CERT: first.certFile, TLS_KEY: second.keyFile }
  const { code, err } = await runIngest(['start', '--data-dir', join(directory, 'unused')], settings)
  t.equal(code, 2)
  t.match(err, `TLS_KEY ${second.keyFile} is not the key of TLS_CERT ${first.certFile}`)
})

t.test('the simulator', async (t) => {
  const words = ['-s', '5', '-r', '20', '-d', '1', '--json', '--api-url', url]
  const distrustful = startProgram(t, 'orbitstream-sim', words)
  t.equal(await distrustful.exit, 1)
  t.match(distrustful.stderr, /certificate is not trusted; name its root with --ca/)
  const truth = join(directory, 'truth.ndjson')
  const trust = ['--ca', first.certFile]
  const sent = startProgram(t, 'orbitstream-sim', [...words, ...trust, '--truth', truth, '--anomaly-rate', '0.2'])
  t.equal(await sent.exit, 0, sent.stderr)
  t.match(JSON.parse(sent.stdout) as Summary, { failed: 0 })
  const check = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', url, ...trust])
  t.equal(await check.exit, 0, check.stdout + check.stderr)
})

t.test('the command health', async (t) => {
  const words = ['health', '--host', '127.0.0.1', '--port', port]
  t.strictSame(await runIngest(words, env), { code: 0, out: 'healthy\n', err: '' })
  t.match(await runIngest([...words, '--ca', second.certFile]), { code: 1, err: /not trusted/ })
})

t.test('reload: faulty files change nothing, valid ones are served by every worker', async (t) => {
  const words = ['reload', '--data-dir', dataDir]
  await copyFile(second.certFile, certFile)
  t.match(await runIngest(words, env), { code: 1, err: /is not the key of/ })
  program.child.kill('SIGHUP')
  await program.line(({ level, msg }) => level === 'error' && /previous TLS certificate stays/.test(msg ?? ''))
  const before = JSON.parse((await ask('/health', first.cert)).text) as Health
  t.match(before, { status: 'degraded', reasons: [/not reloaded; .* is not the key of TLS_CERT/] })
  await install(second)
  t.match(await runIngest(words, env), { code: 0, out: new RegExp(`Process ${program.pid} is reloading`) })
  await program.line(({ msg }) => msg === 'TLS_CERT reloaded')
  // The kernel assigns the connections to either worker.
  let inARow = 0
  await eventually('every worker serves the new certificate', TAKEN_UP_MS_MAX, async () => {
    inARow = await ask('/live', second.cert).then(() => inARow + 1, () => 0)
    return inARow >= 10 ? true : undefined
  })
  const after = await eventually('nothing is wrong any more', TAKEN_UP_MS_MAX, async () => {
    const health = JSON.parse((await ask('/health', second.cert)).text) as Health
    return health.status === 'healthy' ? health : undefined
  })
  t.same(after.workers.map(({ pid }) => pid), before.workers.map(({ pid }) => pid), 'no worker exited')
  const metrics = (await ask('/metrics', second.cert)).text
  t.match(metrics, /^orbitstream_reloads_total\{outcome="ok"\} 1$/m)
  t.match(metrics, /^orbitstream_reloads_total\{outcome="failed"\} 1$/m)
  t.match(metrics, /^orbitstream_tls_certificate_expiry_timestamp_seconds 1[0-9]{9}$/m)
})

t.test('reload without a server, or without anything to reload', async (t) => {
  const elsewhere = join(directory, 'elsewhere')
  t.match(await runIngest(['reload', '--data-dir', elsewhere], env), { code: 1, err: /No server is running on / })
  t.match(await runIngest(['reload', '--data-dir', dataDir]), { code: 1, err: /nothing to reload/ })
})
