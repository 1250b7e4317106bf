/** Tokens with real programs: who is let in, who changed the limits, a file that is read again, and clients that send a token. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { sha256Of, type Role } from '../../lib/access/token.js'
import type { Summary } from '../../lib/sim/summary.js'
import { METRICS } from '../../protocol/metrics.js'
import { runIngest } from '../support/command.js'
import { eventually } from '../support/eventually.js'
import type { Health } from '../support/health.js'
import { startTestPostgres, temporaryDirectory } from '../support/postgres.js'
import { startIngest, startProgram } from '../support/program.js'

const SENDER = 'sends-and-reads'
const OPERATOR = 'changes-and-reads'
const LATER = 'is-new'
const RELOADED_MS_MAX = 20_000

function file (tokens: Record<string, readonly Role[]>): string {
  return JSON.stringify({ tokens: Object.entries(tokens).map(([text, roles], index) => ({ name: `n${index}`, sha256: sha256Of(text), roles })) })
}

const directory = await temporaryDirectory(t)
const path = join(directory, 'tokens.json')
await writeFile(path, file({ [SENDER]: ['ingest', 'read'], [OPERATOR]: ['operate', 'read'] }))
const postgres = await startTestPostgres(t)
const { program, url, udpPorts } = await startIngest(t, { dataDir: join(directory, 'data'), databaseUrl: postgres.url, args: ['--workers', '2'], udpPort: '0', env: { API_TOKENS_FILE: path } })

async function ask (path: string, token: string | null, method: 'GET' | 'PATCH' = 'GET'): Promise<{ status: number, text: string }> {
  const authorization = token === null ? {} : { authorization: `Bearer ${token}` }
  const { statusCode, body } = await request(url + path, { method, headers: { ...authorization, 'x-changed-by': 'somebody' }, ...method === 'GET' ? {} : { body: '{"low":{"warning":21}}' } })
  return { status: statusCode, text: await body.text() }
}

t.test('the simulator and its check', async (t) => {
  const truth = join(directory, 'truth.ndjson')
  const words = ['-s', '5', '-r', '20', '-d', '1', '--json', '--api-url', url]
  const refused = startProgram(t, 'orbitstream-sim', words)
  t.equal(await refused.exit, 1)
  t.match(JSON.parse(refused.stdout), { accepted: 0, failures: [{ cause: /401/ }] })
  const env = { API_TOKEN: SENDER }
  const sent = startProgram(t, 'orbitstream-sim', [...words, '--truth', truth, '--anomaly-rate', '0.2'], { env })
  t.equal(await sent.exit, 0, sent.stderr)
  const check = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', url], { env })
  t.equal(await check.exit, 0, check.stdout + check.stderr)
  const udp = startProgram(t, 'orbitstream-sim', [...words, '--transport', 'udp', '--udp-url', `udp://127.0.0.1:${String(udpPorts[0])}`], { env })
  t.equal(await udp.exit, 0, udp.stderr)
  t.match((JSON.parse(udp.stdout) as Summary).udp, { missing: 0, malformed: 0 }, 'the server gave an account')
})

t.test('the command health', async (t) => {
  const { port } = new URL(url)
  t.strictSame(await runIngest(['health', '--host', '127.0.0.1', '--port', port]), { code: 0, out: 'healthy\n', err: '' })
  const { out, err } = await runIngest(['health', '--host', '127.0.0.1', '--port', port, '--json'], { API_TOKEN: SENDER })
  t.equal(err, '', 'API_TOKEN is no misspelt API_TOKENS')
  t.ok((JSON.parse(out) as Health).workers.length === 3)
})

t.test('limits: changed by whom the token says', async (t) => {
  const [{ name }] = METRICS
  t.equal((await ask(`/limits/${name}`, SENDER, 'PATCH')).status, 403)
  t.equal((await ask(`/limits/${name}`, OPERATOR, 'PATCH')).status, 200)
  t.match(JSON.parse((await ask('/limits', OPERATOR)).text), { changed_by: 'token: n1' })
})

t.test('SIGHUP: a file with faults changes nothing, another one counts everywhere', async (t) => {
  const { workers } = JSON.parse((await ask('/health', SENDER)).text) as Health
  for (const { pid } of workers) process.kill(pid, 'SIGHUP')
  await writeFile(path, file({ [LATER]: ['read'] }).replace('"read"', '"reed"'))
  program.child.kill('SIGHUP')
  t.match(await program.line(({ level, file }) => level === 'error' && file === path), { faults: [/did you mean read/] })
  t.equal((await ask('/limits', SENDER)).status, 200)
  await writeFile(path, file({ [LATER]: ['read'] }))
  program.child.kill('SIGHUP')
  t.match(await program.line(({ level, file }) => level === 'info' && file === path), { count: 1 })
  // Over few connections, which the kernel gives to either worker.
  let inARow = 0
  await eventually('every worker knows the new tokens', RELOADED_MS_MAX, async () => {
    const [before, after] = [await ask('/limits', SENDER), await ask('/limits', LATER)]
    inARow = before.status === 401 && after.status === 200 ? inARow + 1 : 0
    return inARow >= 5 ? true : undefined
  })
  t.match(JSON.parse((await ask('/health', LATER)).text), { workers: workers.map(({ pid }) => ({ pid })) }, 'no worker ended')
  t.notMatch(program.stdout, new RegExp([SENDER, OPERATOR, LATER].join('|')))
})
