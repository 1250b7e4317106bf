/** The systemd unit: systemd's own verdict on it, that it fits the program, and that the server reports readiness. */
import t from 'tap'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadConfig } from '../../lib/config/config.js'
import { parseDuration } from '../../lib/config/setting-types.js'
import { takeServiceManager } from '../../lib/host/service-manager.js'
import { eventually } from '../support/eventually.js'
import { temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** With continued lines joined. */
const UNIT = (await readFile(join(ROOT, 'deploy/systemd/orbitstream.service'), 'utf8')).replaceAll(/\\\n\s*/g, '')
const LIMITS = await readFile(join(ROOT, 'deploy/systemd/90-orbitstream.conf'), 'utf8')
/** Where the package is installed; docs/SYSTEMD.md says so too. */
const PACKAGE = '/opt/orbitstream/node_modules/orbitstream'
/** Of 10; what is above 2 is "OK" at best. */
const EXPOSURE_MAX_TENTHS = 20
/** A datagram socket like systemd's: prints each message. */
const RECEIVER = 'import socket, sys\n' +
  's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\n' +
  'while True: print(s.recv(4096).decode(), flush=True)'

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0
const missing = (...programs: string[]): { skip: string } | object => {
  const absent = programs.filter((program) => !has(program))
  return absent.length === 0 ? {} : { skip: `${absent.join(', ')} not found` }
}

function valueOf (name: string): string {
  const values = [...UNIT.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)
  if (values.length !== 1) throw new Error(`${values.length} lines ${name}=`)
  return values[0] ?? ''
}

t.test('systemd understands the unit, and finds it well confined', missing('systemd-analyze'), async (t) => {
  const unit = join(await temporaryDirectory(t), 'orbitstream.service')
  // The program of the unit must exist.
  await writeFile(unit, UNIT.replace('/usr/bin/node', process.execPath).replaceAll(PACKAGE, ROOT))
  const run = promisify(execFile)
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', unit])
  t.same([stdout, stderr], ['', ''])
  await t.resolves(run('systemd-analyze', ['security', '--offline=true', `--threshold=${EXPOSURE_MAX_TENTHS}`, unit]))
})

t.test('the unit fits the program and its settings', (t) => {
  const loaded = loadConfig({ env: {} })
  if (!loaded.ok) throw new Error('no defaults')
  const { shutdownDeadlineMs, udpReceiveBufferBytes } = loaded.config
  const [, program, command, option] = valueOf('ExecStart').split(' ')
  t.ok(existsSync(program?.replace(PACKAGE, ROOT) ?? ''), 'the program exists')
  t.same([command, option], ['start', '--config'])
  t.ok(existsSync(join(ROOT, valueOf('Documentation').slice(`file://${PACKAGE}/`.length))))
  t.ok((parseDuration(valueOf('TimeoutStopSec')) ?? 0) >= shutdownDeadlineMs + 10_000, 'a stop is not cut short')
  t.equal(valueOf('KillMode'), 'mixed', 'SIGTERM goes to the primary alone')
  t.equal(valueOf('RestartPreventExitStatus'), '2', 'the exit code of invalid settings')
  t.equal(Number(/^net\.core\.rmem_max = (\d+)$/m.exec(LIMITS)?.[1]), udpReceiveBufferBytes)
  t.end()
})

t.test('the server reports when it is ready, once', missing('systemd-notify', 'python3'), async (t) => {
  const dataDir = await temporaryDirectory(t)
  const socket = join(dataDir, 'notify')
  const receiver = spawn('python3', ['-c', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  let received = ''
  receiver.stdout.on('data', (chunk: Buffer) => { received += chunk.toString() })
  t.teardown(() => receiver.kill('SIGKILL'))
  await eventually('the socket is bound', 20_000, async () => await Promise.resolve(existsSync(socket) || undefined))
  const { program } = await startIngest(t, { dataDir, env: { NOTIFY_SOCKET: socket }, args: ['--workers', '1'] })
  await eventually('the report arrives', 20_000, async () => await Promise.resolve(received !== '' || undefined))
  t.equal(await program.stop(), 0, program.stderr)
  t.equal(received.match(/READY=1/g)?.length, 1, received)
  t.notMatch(program.stdout, 'systemd was not told')
})

t.test('the socket is not passed on, and a report that fails is an error', async (t) => {
  t.equal(takeServiceManager({ NOTIFY_SOCKET: '' }), null)
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/nowhere/notify', PATH: '/nowhere' }
  const report = takeServiceManager(env)
  t.same(env, { PATH: '/nowhere' })
  await t.rejects(report?.() ?? Promise.resolve(), { code: 'ENOENT' })
})
