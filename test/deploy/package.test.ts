/** The npm package: what is in it, and that it works in an empty folder. */
import t from 'tap'
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { version } from '../../lib/support/version.js'
import type { Owner } from '../support/owner.js'
import { temporaryDirectory } from '../support/database/postgres.js'
import { onProcessEnd } from '../support/programs/process-end.js'
import { Program } from '../support/programs/program.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Packages may have to be downloaded. */
const INSTALL_TIMEOUT_MS = 240_000
const run = promisify(execFile)

/** Everything in the package matches one of these, and every one of these is there. */
const ALLOWED = [
  /^(README|CHANGELOG|SECURITY)\.md$/, /^LICENSE$/, /^package\.json$/, /^bin\/orbitstream(-ingest|-sim)?$/,
  /^dist\/lib\/.+\.js$/, /^dist\/protocol\/.+\.js$/, /^dist\/lib\/client\/[\w-]+\.d\.ts$/,
  /^dist\/protocol\/packet\/packet-encoder\.d\.ts$/, /^sql\/\d{4}-[\w.-]+\.sql$/, /^protocol\/(SPEC\.md|catalogue\.schema\.json)$/,
  /^dist\/page\/\w+\.(css|js|svg|html)$/, /^dist\/grafana\/bundle\/(generator\.js|LICENSE-[\w-]+\.txt)$/,
  /^protocol\/vectors\/\w+\.json$/, /^docs\/[\w-]+\.md$/, /^docs\/decisions\/[\w-]+\.md$/, /^docs\/images\/\w+\.webp$/,
  /^grafana\/dashboards\/\w+\.json$/, /^grafana\/provisioning\/.+\.yml$/, /^deploy\/[\w.-]+$/,
  /^deploy\/(systemd|kubernetes|cluster)\/[\w.-]+$/, /^docker-compose\.yml$/, /^\.env\.example$/
]

t.setTimeout(INSTALL_TIMEOUT_MS + 60_000)

/** As for a user: nothing of the test runner, nor of the npm that may have started it. */
const ENVIRONMENT = {
  PATH: process.env['PATH'],
  HOME: process.env['HOME'],
  npm_config_cache: process.env['npm_config_cache'],
  npm_config_prefer_offline: 'true',
  npm_config_update_notifier: 'false'
}

interface Packed { readonly filename: string, readonly files: ReadonlyArray<{ readonly path: string }> }

/** Packs what is built: a build would change files under the other tests. */
async function pack (directory: string): Promise<Packed> {
  const words = ['pack', '--ignore-scripts', '--json', '--pack-destination', directory]
  const { stdout } = await run('npm', words, { cwd: ROOT, env: ENVIRONMENT, maxBuffer: 2 ** 24 })
  const [packed] = JSON.parse(stdout) as Packed[]
  if (packed === undefined) throw new Error(stdout)
  return packed
}

/** Starts the installed program in an empty folder; ends with the test. */
function start (owner: Owner, installed: string, cwd: string, words: readonly string[]): Program {
  const child = spawn(join(installed, 'node_modules/.bin/orbitstream'), words, {
    cwd, env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe']
  })
  const program = new Program(child)
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  owner.teardown(async () => { await program.stop('SIGTERM') })
  return program
}

/** Sends a point with the exported encoder, and one with the exported sender. */
const SENDER = `
  import { HttpSender, PacketEncoder } from 'orbitstream/client'
  const frame = new PacketEncoder()
  frame.begin('package-test', 1, 0)
  frame.add('TEST-01', null, [85.5])
  const headers = { 'content-type': 'application/msgpack' }
  const answer = await fetch(process.argv[1] + '/telemetry', { method: 'POST', headers, body: frame.finish() })
  const sender = new HttpSender({ url: process.argv[1], ack: 'committed' })
  await sender.send([{ satellite_id: 'TEST-01', battery_charge_percent: 85 }])
  await sender.close()
  console.log(answer.status)
`

t.test('the package has what people need and nothing else, and works where it is installed', async t => {
  const directory = await temporaryDirectory(t)
  const { filename, files } = await pack(directory)
  const paths = files.map(({ path }) => path)
  t.same(paths.filter((path) => !ALLOWED.some((pattern) => pattern.test(path))), [])
  t.same(ALLOWED.filter((pattern) => !paths.some((path) => pattern.test(path))).map(String), [], 'nothing is missing')
  const compose = await readFile(join(ROOT, 'docker-compose.yml'), 'utf8')
  for (const [, source = ''] of compose.matchAll(/- \.\/([^:\s]+):/g)) {
    t.ok(paths.some((path) => path.startsWith(source)), `docker-compose.yml mounts ${source}`)
  }
  for (const path of paths.filter((path) => path.endsWith('.d.ts'))) {
    const types = await readFile(join(ROOT, path), 'utf8')
    for (const [, module = ''] of types.matchAll(/from '(\.[^']+)\.js'/g)) {
      t.ok(paths.includes(normalize(join(dirname(path), `${module}.d.ts`))), `${path} imports ${module}`)
    }
  }

  const installed = join(directory, 'installed')
  const empty = join(directory, 'empty')
  await Promise.all([mkdir(installed), mkdir(empty)])
  await run('npm', ['install', '--no-audit', '--no-fund', join(directory, filename)], {
    cwd: installed, env: ENVIRONMENT, timeout: INSTALL_TIMEOUT_MS
  })
  const orbitstream = async (...words: string[]): Promise<string> => {
    const program = join(installed, 'node_modules/.bin/orbitstream')
    return (await run(program, words, { cwd: empty, env: ENVIRONMENT })).stdout
  }
  t.equal(await orbitstream('--version'), `${version()}\n`)
  const help = await orbitstream('--help')
  t.match(help, /^Usage: orbitstream <command>/)
  for (const name of ['start', 'demo', 'health', 'spool inspect', 'sim']) {
    t.match(help, new RegExp(`^ {2}${name} +\\S`, 'm'))
  }
  t.match(await orbitstream('catalogue', 'init'), /catalogue\.schema\.json/)
  t.ok(existsSync(join(empty, 'catalogue.yaml')))
  t.match(await orbitstream('grafana', '--catalogue', 'catalogue.yaml', '--out', 'grafana'), /^9 files/)
  t.match(await orbitstream('sim', '--help'), /^Usage: orbitstream sim \[options\]/)
  t.match(await orbitstream('sim', 'check', '--help'), /^Usage: orbitstream sim check FILE/)

  const words = ['start', '--host', '127.0.0.1', '--port', '0', '--udp-port', 'off', '--workers', '1']
  const server = start(t, installed, empty, words)
  const { port } = await server.line(({ msg }) => msg === 'ready')
  const sent = await run(process.execPath, ['--input-type=module', '-e', SENDER, `http://127.0.0.1:${String(port)}`], {
    cwd: installed, env: ENVIRONMENT
  })
  t.equal(sent.stdout, '202\n')
  t.match(await orbitstream('health', '--port', String(port)), /healthy/)
  t.equal(await server.stop(), 0, server.stderr)
  t.ok(existsSync(join(empty, 'data/postgres')), 'the data is where the server was started')
})
