/** Tokens with real programs: authorization, attribution of changes, reloading the file, and clients with a token. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Agent, request } from 'undici'
import { sha256Of, type Role } from '../../lib/access/token.js'
import type { Summary } from '../../lib/sim/summary.js'
import { METRICS } from '../support/points/built-in.js'
import { runIngest } from '../support/programs/command.js'
import { eventually } from '../support/eventually.js'
import type { Health } from '../support/programs/health.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, startProgram } from '../support/programs/program.js'

const SENDER = 'sends-and-reads'
const OPERATOR = 'changes-and-reads'
const LATER = 'is-new'
const SLOW = 'sends-one-point-a-second'
const RELOADED_MS_MAX = 20_000

function file (tokens: Record<string, readonly Role[]>): string {
  const list = Object.entries(tokens).map(([text, roles], index) => ({
    name: `n${index}`, sha256: sha256Of(text), roles, ...text === SLOW ? { points_per_second: 1 } : {}
  }))
  return JSON.stringify({ tokens: list })
}

const directory = await temporaryDirectory(t)
const path = join(directory, 'tokens.json')
await writeFile(path, file({
  [SENDER]: ['ingest', 'read'], [OPERATOR]: ['operate', 'read'], [SLOW]: ['ingest', 'read']
}))
const postgres = await startTestPostgres(t)
const { program, url, udpPorts } = await startIngest(t, {
  dataDir: join(directory, 'data'),
  databaseUrl: postgres.url,
  args: ['--workers', '2'],
  udpPort: '0',
  env: { API_TOKENS_FILE: path }
})

interface Answer { readonly status: number, readonly text: string }

async function ask (path: string, token: string, method: 'GET' | 'PATCH' = 'GET'): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}`, 'x-changed-by': 'somebody' }
  const change = method === 'GET' ? {} : { body: '{"low":{"warning":21}}' }
  const { statusCode, body } = await request(url + path, { method, headers, ...change })
  return { status: statusCode, text: await body.text() }
}

t.test('the simulator and its check', async (t) => {
  const truth = join(directory, 'truth.ndjson')
  const words = ['-s', '5', '-r', '20', '-d', '1', '--json', '--api-url', url]
  const refused = startProgram(t, 'orbitstream-sim', words)
  t.equal(await refused.exit, 1)
  t.match(refused.stderr, /\/catalogue answers 401/)
  const env = { API_TOKEN: SENDER }
  const sent = startProgram(t, 'orbitstream-sim', [...words, '--truth', truth, '--anomaly-rate', '0.2'], { env })
  t.equal(await sent.exit, 0, sent.stderr)
  const check = startProgram(t, 'orbitstream-sim', ['check', truth, '--api-url', url], { env })
  t.equal(await check.exit, 0, check.stdout + check.stderr)
  const udpUrl = `udp://127.0.0.1:${String(udpPorts[0])}`
  const udp = startProgram(t, 'orbitstream-sim', [...words, '--transport', 'udp', '--udp-url', udpUrl], { env })
  t.equal(await udp.exit, 0, udp.stderr)
  t.match((JSON.parse(udp.stdout) as Summary).udp, { missing: 0, malformed: 0 }, 'the server reported its counts')
})

t.test('the command health', async (t) => {
  const words = ['health', '--host', '127.0.0.1', '--port', new URL(url).port]
  t.strictSame(await runIngest(words), { code: 0, out: 'healthy\n', err: '' })
  const { out, err } = await runIngest([...words, '--json'], { API_TOKEN: SENDER })
  t.equal(err, '', 'API_TOKEN is not mistaken for a misspelt API_TOKENS')
  t.ok((JSON.parse(out) as Health).workers.length === 3)
})

t.test('limits are changed in the name of the token', async (t) => {
  const [{ name }] = METRICS
  t.equal((await ask(`/limits/${name}`, SENDER, 'PATCH')).status, 403)
  t.equal((await ask(`/limits/${name}`, OPERATOR, 'PATCH')).status, 200)
  t.match(JSON.parse((await ask('/limits', OPERATOR)).text), { changed_by: 'token: n1' })
})

t.test('a client that owes points is refused by every worker', async (t) => {
  const send = async (points: number): Promise<number> => {
    // A connection of its own: the kernel assigns it to either worker.
    const dispatcher = new Agent({ pipelining: 0 })
    const [{ name }] = METRICS
    const { statusCode, body } = await request(`${url}/telemetry/batch`, {
      method: 'POST',
      body: JSON.stringify(Array.from({ length: points }, () => ({ satellite_id: 'SAT-0001', [name]: 50 }))),
      headers: { authorization: `Bearer ${SLOW}`, 'content-type': 'application/json' },
      dispatcher
    })
    await body.dump()
    await dispatcher.close()
    return statusCode
  }
  t.equal(await send(5_000), 202)
  let inARow = 0
  await eventually('both workers know', RELOADED_MS_MAX, async () => {
    inARow = await send(1) === 429 ? inARow + 1 : 0
    return inARow >= 20 ? true : undefined
  })
  t.equal((await ask('/health', SLOW)).status, 200, 'it may still read')
})

t.test('SIGHUP: a faulty file changes nothing, a valid one takes effect in every worker', async (t) => {
  const { workers } = JSON.parse((await ask('/health', SENDER)).text) as Health
  for (const { pid } of workers) process.kill(pid, 'SIGHUP')
  await writeFile(path, file({ [LATER]: ['read'] }).replace('"read"', '"reed"'))
  program.child.kill('SIGHUP')
  const refused = await program.line(({ level, file }) => level === 'error' && file === path)
  t.match(refused, { faults: [/did you mean read/] })
  t.equal((await ask('/limits', SENDER)).status, 200)
  await writeFile(path, file({ [LATER]: ['read'] }))
  program.child.kill('SIGHUP')
  t.match(await program.line(({ level, file }) => level === 'info' && file === path), { count: 1 })
  // The kernel assigns the connections to either worker.
  let inARow = 0
  await eventually('every worker knows the new tokens', RELOADED_MS_MAX, async () => {
    const [before, after] = [await ask('/limits', SENDER), await ask('/limits', LATER)]
    inARow = before.status === 401 && after.status === 200 ? inARow + 1 : 0
    return inARow >= 5 ? true : undefined
  })
  const after = JSON.parse((await ask('/health', LATER)).text) as Health
  t.match(after, { workers: workers.map(({ pid }) => ({ pid })) }, 'no worker exited')
  t.notMatch(program.stdout, new RegExp([SENDER, OPERATOR, LATER].join('|')))
})
