import { fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { access, chmod, chown, constants, cp, lstat, mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import { connect, sqlState } from '../../../lib/store/db.js'
import { embeddedUrl, startEmbedded } from '../../../lib/store/embedded.js'
import type { EmbeddedOptions, EmbeddedServer } from '../../../lib/store/embedded.js'
import { defaultPlaces } from '../../../lib/store/embedded-files.js'
import { findPostmaster, waitForEnd } from '../../../lib/store/embedded-process.js'
import { silentLog, temporaryDirectory } from '../../support/postgres.js'

// Each test makes a database.
t.setTimeout(120_000)

const STARTER = fileURLToPath(new URL('../../support/embedded-starter.js', import.meta.url))
const NOBODY = 65_534
const isRoot = process.getuid?.() === 0
const needsRoot = isRoot ? {} : { skip: 'needs root' }

/** Whether every user can reach this clone: a process of another user must load the program from it. */
function othersReachUs (): boolean {
  for (let path = fileURLToPath(import.meta.url); path !== dirname(path); path = dirname(path)) {
    if ((statSync(path).mode & 0o005) === 0) return false
  }
  return true
}

const needsAnotherUser = isRoot && !othersReachUs() ? { skip: 'other users cannot reach this clone' } : needsRoot
const CONNECT = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }

async function start (t: Test, dataDir: string, options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedServer> {
  const server = await startEmbedded({ dataDir, log: silentLog, fsync: false, ...options })
  t.teardown(() => server.stop('immediate'))
  return server
}

async function query<Row extends object> (url: string, sql: string): Promise<Row[]> {
  const database = await connect(url, CONNECT)
  try {
    return (await database.query<Row>(sql)).rows
  } finally {
    await database.close()
  }
}

interface Started { readonly url: string, readonly adopted: boolean, readonly directory: string, readonly error?: string }

/** Starts the server from another process, as another user if wanted. */
async function startElsewhere (t: Test, dataDir: string, user?: number, sharedDir = '/nonexistent'): Promise<{ child: ChildProcess, started: Started }> {
  const account = user === undefined ? {} : { uid: user, gid: user }
  const child = fork(STARTER, [dataDir, defaultPlaces().packageDir, sharedDir], { ...account, silent: true, env: { PATH: process.env.PATH, HOME: dataDir } })
  t.teardown(() => child.kill('SIGKILL'))
  const [started] = await once(child, 'message') as [Started]
  return { child, started }
}

/** Ends what a killed starter left. */
function endLater (t: Test, directory: string): void {
  t.teardown(async () => {
    const left = await findPostmaster(directory)
    if (left !== null) process.kill(left.pid, 'SIGQUIT')
  })
}

async function untilEnded (directory: string): Promise<void> {
  while (await findPostmaster(directory) !== null) { /* each turn reads a file */ }
}

t.test('made once, started again, stopped', async t => {
  const dataDir = join(await temporaryDirectory(t), 'data')
  t.equal(await embeddedUrl(dataDir), null)
  await mkdir(join(dataDir, 'postgres.new'), { recursive: true })
  await writeFile(join(dataDir, 'postgres.new', 'half'), 'made by a start that was cut off')

  const first = await start(t, dataDir)
  t.notOk(first.adopted)
  t.equal(first.directory, join(dataDir, 'postgres'))
  t.same(await embeddedUrl(dataDir), { url: first.url, running: true })
  t.equal((await stat(join(dataDir, 'postgres-password'))).mode & 0o777, 0o600)
  const withoutPassword = new URL(first.url)
  withoutPassword.password = 'guess'
  t.equal(sqlState(await connect(withoutPassword.href, CONNECT).catch((error: unknown) => error)), '28P01')
  t.same(await query(first.url, `SELECT current_database() AS database, datcollate, datlocprovider, datlocale, pg_encoding_to_char(encoding) AS encoding,
    current_setting('listen_addresses') AS addresses, current_setting('data_checksums') AS checksums, current_setting('synchronous_commit') AS sync,
    current_setting('unix_socket_directories') AS sockets FROM pg_database WHERE datname = current_database()`), [{
    database: 'orbitstream',
    datcollate: 'C',
    datlocprovider: 'b',
    datlocale: 'C.UTF-8',
    encoding: 'UTF8',
    addresses: '127.0.0.1',
    checksums: 'on',
    sync: 'on',
    sockets: ''
  }])
  await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
  t.equal(first.stop(), first.stop(), 'stopping is shared')
  await first.stop()
  t.same(await embeddedUrl(dataDir), { url: first.url, running: false })

  await writeFile(join(dataDir, 'postgres.log'), Buffer.alloc(10_000_001))
  const second = await start(t, dataDir)
  t.equal(second.url, first.url, 'the same port and password')
  t.same(await query(second.url, 'SELECT answer FROM kept'), [{ answer: 42 }])
  t.ok((await stat(join(dataDir, 'postgres.log'))).size < 10_000, 'a log that grew large begins anew')
  t.same((await readdir(dataDir)).sort(), ['postgres', 'postgres-password', 'postgres-port', 'postgres.log', 'postgres.log.old'])
  await second.stop()
})

t.test('the server of a program that was killed is adopted', async t => {
  const dataDir = await temporaryDirectory(t)
  endLater(t, join(dataDir, 'postgres'))
  const { child, started } = await startElsewhere(t, dataDir)
  t.notOk(started.adopted)
  await query(started.url, 'CREATE TABLE kept ()')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const server = await start(t, dataDir)
  t.ok(server.adopted)
  t.equal(server.url, started.url)
  await query(server.url, 'SELECT FROM kept')
  await server.stop()
  t.equal(await findPostmaster(server.directory), null)
  const again = await start(t, dataDir)
  t.notOk(again.adopted)
  await query(again.url, 'SELECT FROM kept')
})

t.test('a program that exits without stopping leaves no server', async t => {
  const dataDir = await temporaryDirectory(t)
  endLater(t, join(dataDir, 'postgres'))
  const { child, started } = await startElsewhere(t, dataDir)
  child.send('exit')
  await once(child, 'exit')
  await untilEnded(started.directory)
  t.pass('it ended')
})

t.test('Ctrl-C in the terminal does not reach the server', async t => {
  const dataDir = await temporaryDirectory(t)
  const server = await start(t, dataDir)
  const { pid } = (await findPostmaster(server.directory))!
  const stats = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (stats === null) return t.pass('no /proc here')
  const [, , group] = stats.slice(stats.lastIndexOf(')') + 2).split(' ')
  t.equal(Number(group), pid, 'it leads a process group of its own')
})

t.test('a server that was killed, with its lock file left', async t => {
  const dataDir = await temporaryDirectory(t)
  const { child, started } = await startElsewhere(t, dataDir)
  endLater(t, started.directory)
  await query(started.url, 'CREATE TABLE kept ()')
  child.kill('SIGKILL')
  await once(child, 'exit')
  process.kill((await findPostmaster(started.directory))!.pid, 'SIGKILL')
  await untilEnded(started.directory)
  await access(join(started.directory, 'postmaster.pid'))
  const second = await start(t, dataDir)
  t.notOk(second.adopted)
  await query(second.url, 'SELECT FROM kept')
})

/** Answers as soon as the server lets anybody in. */
async function untilAnswered (url: string): Promise<void> {
  while (await query(url, 'SELECT 1').then(() => false, () => true)) { /* each turn waits for the socket */ }
}

/** Counts what a log says. */
function countingLog (): { log: EmbeddedOptions['log'], count: (pattern: RegExp) => number } {
  const lines: string[] = []
  const log = pino({ base: null }, { write: line => { lines.push(line) } })
  return { log, count: pattern => lines.filter(line => pattern.test(line)).length }
}

t.test('a server that ends by itself is started again', async t => {
  const dataDir = await temporaryDirectory(t)
  const { log, count } = countingLog()
  const server = await start(t, dataDir, { log })
  for (const round of [1, 2]) {
    const { pid } = (await findPostmaster(server.directory))!
    process.kill(pid, 'SIGKILL')
    await waitForEnd(pid, 10_000)
    await untilAnswered(server.url)
    // The server may answer a moment before its starter knows.
    while (count(/was started/) < round + 1) await query(server.url, 'SELECT 1')
    t.equal(count(/ended by itself/), round)
  }
  // Its port is taken for a while: it must come back on the same one.
  process.kill((await findPostmaster(server.directory))!.pid, 'SIGSTOP')
  const occupant = createServer(socket => socket.destroy())
  t.teardown(() => occupant.close())
  process.kill((await findPostmaster(server.directory))!.pid, 'SIGKILL')
  await untilEnded(server.directory)
  occupant.listen({ port: Number(new URL(server.url).port), host: '127.0.0.1' })
  await once(occupant, 'listening')
  while (count(/did not start/) < 2) await query(server.url, 'SELECT 1').catch(() => undefined)
  occupant.close()
  await untilAnswered(server.url)
  await server.stop()
  t.equal(await findPostmaster(server.directory), null)
})

t.test('stopping while it is started again', async t => {
  const dataDir = await temporaryDirectory(t)
  const server = await start(t, dataDir)
  const { pid } = (await findPostmaster(server.directory))!
  process.kill(pid, 'SIGKILL')
  await waitForEnd(pid, 10_000)
  await server.stop()
  t.equal(await findPostmaster(server.directory), null)
})

t.test('an adopted server that ends by itself is started again', async t => {
  const dataDir = await temporaryDirectory(t)
  const { child, started } = await startElsewhere(t, dataDir)
  endLater(t, started.directory)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const server = await start(t, dataDir)
  t.ok(server.adopted)
  const { pid } = (await findPostmaster(server.directory))!
  process.kill(pid, 'SIGKILL')
  await waitForEnd(pid, 10_000)
  await untilAnswered(server.url)
  await server.stop()
  t.equal(await findPostmaster(server.directory), null)
})

t.test('a lock file whose process id belongs to somebody else now', async t => {
  const dataDir = await temporaryDirectory(t)
  const first = await start(t, dataDir)
  const lock = await readFile(join(first.directory, 'postmaster.pid'), 'utf8')
  await first.stop()
  const { uid, gid } = await stat(first.directory)
  // Of the same user: only then PostgreSQL itself would take it for its postmaster and refuse.
  const other = spawn('sleep', ['60'], isRoot ? { uid, gid } : {})
  t.teardown(() => other.kill('SIGKILL'))
  await writeFile(join(first.directory, 'postmaster.pid'), lock.replace(/^\d+/, String(other.pid)))
  await chown(join(first.directory, 'postmaster.pid'), uid, gid)
  const second = await start(t, dataDir)
  t.notOk(second.adopted)
  await query(second.url, 'SELECT 1')
})

t.test('ports', async t => {
  const dataDir = await temporaryDirectory(t)
  const first = await start(t, dataDir)
  const port = Number(new URL(first.url).port)
  await first.stop()
  const occupant = createServer().listen(port, '127.0.0.1')
  t.teardown(() => occupant.close())
  await once(occupant, 'listening')
  await t.rejects(start(t, dataDir, { port }), { name: 'StartupError', message: /did not start[^]*could not bind/ }, 'a port that was asked for is not exchanged')
  const second = await start(t, dataDir)
  t.not(Number(new URL(second.url).port), port)
  await query(second.url, 'SELECT 1')
})

t.test('a password that is gone or wrong', async t => {
  const dataDir = await temporaryDirectory(t)
  const first = await start(t, dataDir)
  await first.stop()
  const path = join(dataDir, 'postgres-password')
  await writeFile(path, 'wrong')
  await t.rejects(start(t, dataDir), { name: 'StartupError', message: /refuses the password/ })
  t.equal(await findPostmaster(first.directory), null, 'and nothing is left running')
  await rm(path)
  await t.rejects(start(t, dataDir), { name: 'StartupError', message: /postgres-password is missing/ })
})

t.test('programs that do not run here', async t => {
  const directory = await temporaryDirectory(t)
  const packageDir = join(directory, 'package')
  await mkdir(join(packageDir, 'native/bin'), { recursive: true })
  await writeFile(join(packageDir, 'native/pg-symlinks.json'), '[]')
  await writeFile(join(packageDir, 'package.json'), '{"version":"0"}')
  const places = { packageDir, sharedDir: join(directory, 'shared') }
  await t.rejects(start(t, join(directory, 'data'), { places }), { name: 'StartupError', message: /does not run on this machine.*ENOENT.*DATABASE_URL/ })
  await writeFile(join(packageDir, 'native/bin/postgres'), '#!/bin/sh\necho missing library >&2\nexit 127\n', { mode: 0o755 })
  await t.rejects(start(t, join(directory, 'data'), { places }), { message: /missing library/ })
  await writeFile(join(packageDir, 'native/pg-symlinks.json'), '[{"source":"native/a/b","target":"native/a/c"}]')
  await t.rejects(start(t, join(directory, 'data'), { places }), { message: /native\/a\/c is missing/ })
})

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
  t.equal((await readdir(places.sharedDir)).filter(name => name.includes('.left-')).length, 1, 'and the old one is kept')
  await third.stop()

  await rm(third.directory, { recursive: true })
  await t.rejects(start(t, dataDir, { places }), { name: 'StartupError', message: /is gone/ })
})

t.test('as root, in a directory that all can reach', needsRoot, async t => {
  const dataDir = await temporaryDirectory(t)
  const server = await start(t, dataDir, { places: { ...defaultPlaces(), sharedDir: '/nonexistent' } })
  t.equal(server.directory, join(dataDir, 'postgres'))
  t.not((await stat(server.directory)).uid, 0)
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

  const asRoot = await start(t, home)
  t.equal(asRoot.directory, started.directory, 'root goes on with it, as its owner')
  await query(asRoot.url, 'SELECT FROM kept')
  await asRoot.stop()
})

t.test('as an ordinary user, with the database of somebody else', needsAnotherUser, async t => {
  const dataDir = await temporaryDirectory(t)
  const server = await start(t, dataDir)
  await server.stop()
  const { started } = await startElsewhere(t, dataDir, NOBODY)
  t.match(started.error, /belongs to user id|not readable for this user/)
  await access(join(dataDir, 'postgres-password'), constants.R_OK)
})
