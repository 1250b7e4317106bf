/** The embedded PostgreSQL where root starts it, or another user than the one before; and in containers. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  access, chmod, chown, constants, cp, lchown, lstat, mkdir, readdir, readFile, readlink, rm, stat
} from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { EmbeddedServer } from '../../../lib/embedded/embedded.js'
import { defaultPlaces } from '../../../lib/embedded/embedded-files.js'
import { findPostmaster, waitForEnd } from '../../../lib/embedded/embedded-process.js'
import { runIngest } from '../../support/programs/command.js'
import { CONTAINER, needsContainer } from '../../support/programs/container.js'
import { query, start, STARTER, startElsewhere, type Started } from '../../support/database/embedded.js'
import { hideTreasure, needsAnotherUser, needsRoot, NOBODY } from '../../support/programs/other-user.js'
import { temporaryDirectory } from '../../support/database/postgres.js'

// Most make a database.
t.setTimeout(120_000)

t.test('as root, from a clone that nobody else can read', needsRoot, async t => {
  const root = await temporaryDirectory(t)
  const home = join(root, 'home')
  await mkdir(home, { mode: 0o700 })
  const packageDir = join(home, 'package')
  await cp(defaultPlaces().packageDir, packageDir, { recursive: true, verbatimSymlinks: true })
  await chmod(join(packageDir, 'native/bin/postgres'), 0o700)
  await rm(join(packageDir, 'native/lib/libicuuc.so.60'))
  const places = { packageDir, sharedDir: join(root, 'shared') }
  const dataDir = join(home, 'data')

  const first = await start(t, dataDir, { places })
  await query(first.url, 'CREATE TABLE kept ()')
  const { version } = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8')) as { version: string }
  t.equal(await readlink(join(dataDir, 'postgres')), first.directory)
  t.match(first.directory, /\/shared\/[0-9a-f]{12}$/)
  t.same((await readdir(places.sharedDir)).sort(), [first.directory.split('/').at(-1)!, `postgresql-${version}`].sort())
  t.ok((await lstat(join(packageDir, 'native/lib/libicuuc.so.60'))).isSymbolicLink(), 'missing links are restored')
  await first.stop()

  const second = await start(t, dataDir, { places })
  t.equal(second.directory, first.directory)
  await query(second.url, 'SELECT FROM kept')

  await rm(dataDir, { recursive: true })
  await t.rejects(start(t, dataDir, { places }), { name: 'StartupError', message: /still runs on/ })
  await second.stop()
  await rm(dataDir, { recursive: true })
  const third = await start(t, dataDir, { places })
  t.not(third.url, first.url, 'a data directory that was removed begins with an empty database')
  t.equal(
    (await readdir(places.sharedDir)).filter(name => name.includes('.left-')).length, 1, 'and the old one is kept')
  await third.stop()

  await rm(third.directory, { recursive: true })
  await t.rejects(start(t, dataDir, { places }), { name: 'StartupError', message: /is gone/ })
})

t.test('as root, in a directory that all can reach', needsRoot, async t => {
  const dataDir = await temporaryDirectory(t)
  const unfinished = join(dataDir, 'postgres.new')
  await mkdir(join(unfinished, 'base'), { recursive: true })
  for (const path of [join(unfinished, 'base'), unfinished]) await chown(path, NOBODY, NOBODY)
  const server = await start(t, dataDir, { places: { ...defaultPlaces(), sharedDir: '/nonexistent' } })
  t.equal(server.directory, join(dataDir, 'postgres'))
  t.not((await stat(server.directory)).uid, 0)
  t.notOk((await readdir(dataDir)).includes('postgres.new'), 'what an interrupted start left is removed')
  await server.stop()
  await chown(server.directory, 0, 0)
  await t.rejects(start(t, dataDir), { name: 'StartupError', message: /belongs to root.*chown -R postgres/ })
})

t.test('as an ordinary user with a home of its own', needsAnotherUser, async t => {
  const home = await temporaryDirectory(t)
  await chown(home, NOBODY, NOBODY)
  await chmod(home, 0o700)
  const { child, started } = await startElsewhere(t, home, NOBODY)
  t.equal(started.error, undefined)
  t.equal(started.directory, join(home, 'postgres'))
  t.equal((await stat(started.directory)).uid, NOBODY)
  await query(started.url, 'CREATE TABLE kept ()')
  child.send('stop')
  await once(child, 'exit')
  t.equal(await findPostmaster(started.directory), null)

  await t.rejects(start(t, home), { name: 'StartupError', message: /^Root does not write to/ })
  const asRoot = await runIngest(['migrate', '--data-dir', home])
  t.match(asRoot.err, 'continuing as that user')
  t.equal(asRoot.code, 0, 'root goes on with it, as its owner')
  for (const name of await readdir(home)) t.equal((await lstat(join(home, name))).uid, NOBODY, name)
})

t.test('as an ordinary user, with the database of somebody else', needsAnotherUser, async t => {
  const dataDir = await temporaryDirectory(t)
  const server = await start(t, dataDir)
  await server.stop()
  const { started } = await startElsewhere(t, dataDir, NOBODY)
  t.match(started.error, /belongs to user id|not readable by this user/i)
  await access(join(dataDir, 'postgres-password'), constants.R_OK)
})

t.test('as root, links that the server account placed in its database lead root nowhere', needsRoot, async t => {
  const dataDir = await temporaryDirectory(t)
  const treasure = await hideTreasure(t)
  const first = await start(t, dataDir)
  await first.stop()
  const { uid, gid } = await stat(first.directory)
  const plant = async (name: string): Promise<void> => {
    await rm(join(first.directory, name), { force: true })
    await treasure.linkFrom(join(first.directory, name))
    await lchown(join(first.directory, name), uid, gid)
  }
  for (const name of [
    'orbitstream.conf', 'orbitstream.conf.new', 'postmaster.pid.new', 'PG_VERSION.new'
  ]) await plant(name)
  const second = await start(t, dataDir)
  t.match(await readFile(join(second.directory, 'orbitstream.conf'), 'utf8'), /Written by OrbitStream/)
  t.equal((await lstat(join(second.directory, 'orbitstream.conf'))).uid, uid)
  await second.stop()
  await plant('postmaster.pid')
  await t.rejects(start(t, dataDir), { name: 'StartupError', message: /postmaster.pid.*Permission denied/ })
  await treasure.check()
})

t.test('as root, links that lay there before the directory became root\'s lead nowhere', needsRoot, async t => {
  const dataDir = await temporaryDirectory(t)
  const treasure = await hideTreasure(t)
  for (const name of [
    'postgres.new', 'postgres.new-password', 'postgres-password', 'postgres-password.new', 'postgres-port',
    'postgres-port.new', 'postgres.lock', 'postgres.log', 'postgres'
  ]) {
    await treasure.linkFrom(join(dataDir, name))
    await lchown(join(dataDir, name), NOBODY, NOBODY)
  }
  const named: string[] = []
  const started = async (): Promise<EmbeddedServer> => {
    try {
      return await start(t, dataDir)
    } catch (error) {
      const [, name] = new RegExp(`${dataDir}/(\\S+) is a link`).exec(String(error)) ?? []
      if (name === undefined) throw error
      named.push(name)
      await treasure.check()
      await rm(join(dataDir, name))
      return await started()
    }
  }
  await query((await started()).url, 'SELECT 1')
  t.same(
    named.sort(), ['postgres', 'postgres-password', 'postgres-port', 'postgres.lock', 'postgres.log'],
    'what is only written anew is no matter')
  await treasure.check()
})

/** Starts the server as in a container of its own, whose first process lets it live when the starter is killed. */
async function startInContainer (t: Test, dataDir: string): Promise<{ container: ChildProcess, started: Started }> {
  const container = spawn('unshare', [
    ...CONTAINER, '/bin/sh', '-c', '"$@"; sleep 600', 'sh',
    process.execPath, STARTER, dataDir, defaultPlaces().packageDir, '/nonexistent'
  ], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  t.teardown(() => container.kill('SIGKILL'))
  const [started] = await once(container, 'message') as [Started]
  return { container, started }
}

t.test('a server that another container still runs is not started a second time', {
  ...needsRoot, ...needsContainer
}, async t => {
  const dataDir = await temporaryDirectory(t)
  const { container, started } = await startInContainer(t, dataDir)
  t.equal(started.error, undefined)
  await query(started.url, 'CREATE TABLE kept ()')
  const starter = await descendant(container.pid!, 2)
  process.kill(starter, 'SIGKILL')
  await waitForEnd(starter, 10_000)
  t.match((await startInContainer(t, dataDir)).started.error, /still runs on .*, in another container/)
  await query(started.url, 'SELECT FROM kept')
})

/** The only child of the only child, and so on. */
async function descendant (pid: number, generations: number): Promise<number> {
  const [first] = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ')
  return generations === 0 ? pid : await descendant(Number(first), generations - 1)
}
