import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import {
  access, appendFile, chown, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { sqlState, connect } from '../../../lib/database/connection.js'
import { embeddedUrl } from '../../../lib/embedded/embedded.js'
import type { EmbeddedOptions } from '../../../lib/embedded/embedded.js'
import { findPostmaster, isRunning, waitForEnd } from '../../../lib/embedded/embedded-process.js'
import { lockFile } from '../../../lib/host/file-lock.js'
import { CONNECT, endLater, query, start, startElsewhere } from '../../support/database/embedded.js'
import { eventually, within } from '../../support/eventually.js'
import { temporaryDirectory } from '../../support/database/postgres.js'

// Each test makes a database.
t.setTimeout(120_000)

async function untilEnded (directory: string): Promise<void> {
  while (await findPostmaster(directory) !== null) { /* each turn reads a file */ }
}

t.test('made once, started again, stopped', async t => {
  const dataDir = join(await temporaryDirectory(t), 'data')
  t.equal(await embeddedUrl(dataDir), null)
  await mkdir(join(dataDir, 'postgres.new'), { recursive: true })
  await writeFile(join(dataDir, 'postgres.new', 'half'), 'made by a start that was cut off')

  const first = await start(t, dataDir, { logCheckMs: 10 })
  t.notOk(first.adopted)
  t.equal(first.directory, join(dataDir, 'postgres'))
  t.same(await embeddedUrl(dataDir), { url: first.url, running: true })
  t.equal((await stat(join(dataDir, 'postgres-password'))).mode & 0o777, 0o600)
  const withoutPassword = new URL(first.url)
  withoutPassword.password = 'guess'
  t.equal(sqlState(await connect(withoutPassword.href, CONNECT).catch((error: unknown) => error)), '28P01')
  t.same(await query(first.url, `SELECT current_database() AS database, datcollate, datlocprovider, datlocale,
    pg_encoding_to_char(encoding) AS encoding,
    current_setting('listen_addresses') AS addresses, current_setting('data_checksums') AS checksums,
    current_setting('synchronous_commit') AS sync,
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
  const logPath = join(dataDir, 'postgres.log')
  await appendFile(logPath, Buffer.alloc(10_000_001))
  await eventually('a log that grows large is emptied', 60_000, async () =>
    (await stat(logPath)).size < 10_000 || undefined)
  t.ok((await stat(`${logPath}.old`)).size > 10_000_000)
  await query(first.url, 'SELECT 1 / 0').catch(() => undefined)
  t.match(await readFile(logPath, 'utf8'), /^[^\0]+division by zero/, 'the server goes on writing it')
  t.equal(first.stop(), first.stop(), 'stopping is shared')
  await first.stop()
  t.same(await embeddedUrl(dataDir), { url: first.url, running: false })

  await writeFile(logPath, Buffer.alloc(10_000_001))
  const second = await start(t, dataDir)
  t.equal(second.url, first.url, 'the same port and password')
  t.same(await query(second.url, 'SELECT answer FROM kept'), [{ answer: 42 }])
  t.ok((await stat(logPath)).size < 10_000, 'a log that grew large begins anew')
  t.same(
    (await readdir(dataDir)).sort(),
    ['postgres', 'postgres-password', 'postgres-port', 'postgres.lock', 'postgres.log', 'postgres.log.old'])
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

t.test('a server that exits unexpectedly is restarted', async t => {
  const dataDir = await temporaryDirectory(t)
  const { log, count } = countingLog()
  const server = await start(t, dataDir, { log })
  const logPath = join(dataDir, 'postgres.log')
  for (const round of [1, 2]) {
    const { pid } = (await findPostmaster(server.directory))!
    // Larger than what Node.js reads as a whole.
    await truncate(logPath, 3e9)
    await appendFile(logPath, `the end of log ${round}`)
    process.kill(pid, 'SIGKILL')
    await waitForEnd(pid, 10_000)
    await untilAnswered(server.url)
    // The server may answer a moment before its starter knows.
    while (count(/was started/) < round + 1) await query(server.url, 'SELECT 1')
    t.equal(count(/exited unexpectedly/), round)
    t.equal(count(new RegExp(`the end of log ${round}`)), 1)
  }
  // Its port is taken for a while: it must come back on the same one.
  const occupant = createServer(socket => socket.destroy())
  t.teardown(() => occupant.close())
  let isTaken = false
  while (!isTaken) {
    // The next start may be quicker than this test; then it is ended, too.
    const { pid } = (await findPostmaster(server.directory))!
    process.kill(pid, 'SIGKILL')
    await waitForEnd(pid, 10_000)
    occupant.listen({ port: Number(new URL(server.url).port), host: '127.0.0.1' })
    isTaken = await once(occupant, 'listening').then(() => true, () => false)
    if (!isTaken) await untilAnswered(server.url)
  }
  while (count(/did not start/) < 2) await query(server.url, 'SELECT 1').catch(() => undefined)
  occupant.close()
  await untilAnswered(server.url)
  await server.stop()
  t.equal(await findPostmaster(server.directory), null)
})

/** Works in the directory as its owner, like a process that a killed server has left behind. */
async function leaveProcess (t: Test, directory: string): Promise<ChildProcess> {
  const { uid, gid } = await stat(directory)
  const left = spawn('sleep', ['60'], { cwd: directory, ...process.getuid?.() === 0 ? { uid, gid } : {} })
  t.teardown(() => left.kill('SIGKILL'))
  await once(left, 'spawn')
  return left
}

t.test('stopping during a restart', async t => {
  const dataDir = await temporaryDirectory(t)
  const { log, count } = countingLog()
  const server = await start(t, dataDir, { log })
  const { pid } = (await findPostmaster(server.directory))!
  // The next one to have the lock, so that the restart waits.
  const lock = openSync(join(dataDir, 'postgres.lock'), 'r+')
  const locking = spawn('flock', ['-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', lock] })
  await leaveProcess(t, server.directory)
  process.kill(pid, 'SIGKILL')
  await once(locking, 'exit')
  await eventually('the restart begins', 30_000, () => Promise.resolve(count(/exited unexpectedly/) === 1 || undefined))
  await within('it stops, although the restart waits', 30_000, server.stop())
  t.equal(await findPostmaster(server.directory), null)
  t.equal(count(/retrying/), 0, 'and does not announce another attempt')
  closeSync(lock)
})

t.test('processes that a killed server has left behind', async t => {
  const dataDir = await temporaryDirectory(t)
  const first = await start(t, dataDir)
  await first.stop()
  const lock = await lockFile(join(dataDir, 'postgres.lock'))
  await t.rejects(
    start(t, dataDir), { name: 'StartupError', message: /still runs on .*, in another container or on another host/ })
  const left = await leaveProcess(t, first.directory)
  await t.rejects(
    start(t, dataDir, { signal: AbortSignal.abort() }), { name: 'StartupError', message: /^Stopped before/ },
    'waiting for them can be ended')
  const starting = start(t, dataDir)
  left.kill('SIGKILL')
  closeSync(lock!)
  await query((await starting).url, 'SELECT 1')
})

t.test('an adopted server that exits unexpectedly is restarted', async t => {
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
  const other = spawn('sleep', ['60'], process.getuid?.() === 0 ? { uid, gid } : {})
  t.teardown(() => other.kill('SIGKILL'))
  await writeFile(join(first.directory, 'postmaster.pid'), lock.replace(/^\d+/, String(other.pid)))
  await chown(join(first.directory, 'postmaster.pid'), uid, gid)
  const second = await start(t, dataDir)
  t.notOk(second.adopted)
  await query(second.url, 'SELECT 1')
})

t.test('a process that has ended is not running, even if its parent takes no notice', async t => {
  t.ok(await isRunning(process.pid))
  t.notOk(await isRunning(2 ** 22 + 1))
  const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'])
  t.teardown(() => parent.kill('SIGKILL'))
  const [line] = await once(parent.stdout, 'data') as [Buffer]
  const pid = Number(line.toString())
  // A shell would take notice.
  await eventually('the parent is no shell', 30_000, async () =>
    await readFile(`/proc/${String(parent.pid)}/comm`, 'utf8') === 'sleep\n' || undefined)
  t.ok(await isRunning(pid))
  process.kill(pid, 'SIGKILL')
  t.ok(await waitForEnd(pid, 10_000))
  t.doesNotThrow(() => process.kill(pid, 0), 'it is a zombie')
})

t.test('ports', async t => {
  const dataDir = await temporaryDirectory(t)
  const first = await start(t, dataDir)
  const port = Number(new URL(first.url).port)
  await first.stop()
  const occupant = createServer().listen(port, '127.0.0.1')
  t.teardown(() => occupant.close())
  await once(occupant, 'listening')
  await t.rejects(
    start(t, dataDir, { port }), { name: 'StartupError', message: /did not start[^]*could not bind/ },
    'a port that was asked for is not exchanged')
  const second = await start(t, dataDir)
  t.not(Number(new URL(second.url).port), port)
  await query(second.url, 'SELECT 1')
})

t.test('a password that is gone or wrong, of a database elsewhere', async t => {
  const directory = await temporaryDirectory(t)
  const dataDir = join(directory, 'data')
  await mkdir(dataDir)
  await symlink('../elsewhere', join(dataDir, 'postgres'))
  const first = await start(t, dataDir)
  t.equal(first.directory, join(directory, 'elsewhere'), 'a relative link is one from where it is')
  await first.stop()
  await writeFile(join(dataDir, 'postgres-port'), 'damaged')
  t.equal(await embeddedUrl(dataDir), null)
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
  await t.rejects(
    start(t, join(directory, 'data'), { places }),
    { name: 'StartupError', message: /does not run on this machine.*ENOENT.*DATABASE_URL/ })
  await writeFile(
    join(packageDir, 'native/bin/postgres'), '#!/bin/sh\necho missing library >&2\nexit 127\n', { mode: 0o755 })
  await t.rejects(start(t, join(directory, 'data'), { places }), { message: /missing library/ })
  await writeFile(join(packageDir, 'native/pg-symlinks.json'), '[{"source":"native/a/b","target":"native/a/c"}]')
  await t.rejects(start(t, join(directory, 'data'), { places }), { message: /native\/a\/c is missing/ })
})
