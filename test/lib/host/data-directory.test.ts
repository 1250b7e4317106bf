import { fork, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, lchown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { findServer, dataDirMode, lockDirectory, type DirectoryLock } from '../../../lib/host/data-directory.js'
import { CONTAINER, needsContainer } from '../../support/programs/container.js'
import { eventually } from '../../support/eventually.js'
import { hideTreasure, needsRoot, NOBODY } from '../../support/programs/other-user.js'
import { temporaryDirectory } from '../../support/database/postgres.js'

const HOLDER = fileURLToPath(new URL('../../support/programs/lock-holder.js', import.meta.url))

async function holds (t: Test, child: ChildProcess): Promise<void> {
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
}

t.test('one owner at a time', async t => {
  const directory = join(await temporaryDirectory(t), 'made', 'by the lock')
  const lock = await lockDirectory(directory, 'data directory')
  await t.rejects(lockDirectory(directory, 'data directory'), {
    name: 'StartupError',
    message: `The data directory ${directory} is in use by process ${process.pid} on host ${hostname()}. ` +
      'Stop that process, or use another directory.'
  })
  const link = join(directory, '..', 'link')
  await symlink(directory, link)
  await t.rejects(lockDirectory(link, 'spool directory'), /spool directory .* in use/, 'by another path too')
  lock.release()
  const next = await lockDirectory(directory, 'data directory')
  lock.release()
  await t.rejects(
    lockDirectory(directory, 'data directory'), { name: 'StartupError' },
    'a late second release does not give away the next lock')
  next.release()
  next.release()
  const last = await lockDirectory(directory, 'data directory')
  last.release()
})

t.test('signals are for servers only', async t => {
  const directory = await temporaryDirectory(t)
  for (const path of [directory, join(directory, 'missing')]) {
    await t.rejects(findServer(path, 'data directory'), /No server is running on/)
  }
  t.same(await readdir(directory), [], 'looking leaves no file')
  const command = await lockDirectory(directory, 'data directory')
  await t.rejects(findServer(directory, 'data directory'), /process \d+ on host .* a command, not a server/)
  command.release()
  const server = await lockDirectory(directory, 'data directory', 0o700, true)
  t.equal(await findServer(directory, 'data directory'), process.pid)
  for (const [text, why] of [
    [JSON.stringify({ pid: 1, host: 'far', server: true }), 'process 1 on host far, which is not on this host'],
    ['', 'another process, which .*orbitstream.lock does not name: if a server is just starting, try again']
  ] as const) {
    await writeFile(join(directory, 'orbitstream.lock'), text)
    await t.rejects(findServer(directory, 'data directory'), { name: 'StartupError', message: new RegExp(why) })
  }
  server.release()
  await t.rejects(findServer(directory, 'data directory'), /No server is running on/)
})

t.test('a lock whose process was killed', async t => {
  const directory = await temporaryDirectory(t)
  const child = fork(HOLDER, [directory])
  await holds(t, child)
  await t.rejects(lockDirectory(directory, 'data directory'), new RegExp(`in use by process ${child.pid!} on host`))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await lockDirectory(directory, 'data directory')
  lock.release()
})

t.test('a lock in another container on the same volume', needsContainer, async t => {
  const directory = await temporaryDirectory(t)
  const child = spawn(
    'unshare', [...CONTAINER, process.execPath, HOLDER, directory], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  await holds(t, child)
  await t.rejects(lockDirectory(directory, 'data directory'), /in use by process 1 on host/)
  child.kill('SIGKILL')
  // The kernel ends what is in there a moment later.
  const lock = await eventually(
    'its lock is free', 20_000, async () => await lockDirectory(directory, 'data directory'))
  const inside = spawnSync('unshare', [...CONTAINER, process.execPath, HOLDER, directory], { encoding: 'utf8' })
  t.match(inside.stderr, new RegExp(`in use by process ${process.pid} on host`), 'and the other way round')
  lock.release()
})

t.test('what stands in the file does not matter', async t => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'orbitstream.lock')
  for (const text of [
    '', 'nonsense', 'null', '{"pid":"1"}', JSON.stringify({ pid: process.pid, start: 'before', nonce: 'x' }),
    'x'.repeat(10_000)
  ]) {
    await writeFile(path, text, { mode: 0o600 })
    const lock = await lockDirectory(directory, 'data directory')
    t.same(JSON.parse(await readFile(path, 'utf8')), { pid: process.pid, host: hostname(), server: false })
    await writeFile(path, text)
    await t.rejects(
      lockDirectory(directory, 'data directory'), { name: 'StartupError', message: /in use by (another )?process/ })
    lock.release()
  }
})

t.test('of many at once, one wins', async t => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 3; round++) {
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => lockDirectory(directory, 'data directory')))
    const locks = results.flatMap<DirectoryLock>(result => result.status === 'fulfilled' ? [result.value] : [])
    t.equal(locks.length, 1)
    locks[0]!.release()
  }
})

t.test('without the program flock nothing starts', async t => {
  const directory = await temporaryDirectory(t)
  const { PATH } = process.env
  t.teardown(() => { process.env['PATH'] = PATH })
  process.env['PATH'] = directory
  await t.rejects(
    lockDirectory(directory, 'data directory'), { name: 'StartupError', message: /^The flock program is missing/ })
  for (const [script, said] of [
    ['echo flock: no locks available >&2; exit 1', 'flock: no locks available'], ['exit 71', 'flock exited with 71']
  ] as const) {
    await writeFile(join(directory, 'flock'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    await t.rejects(
      lockDirectory(directory, 'data directory'),
      { name: 'StartupError', message: new RegExp(`cannot be locked: ${said}`) })
  }
})

t.test('root writes where no other user can turn the way, and nowhere else', needsRoot, async t => {
  const directory = await temporaryDirectory(t)
  const treasure = await hideTreasure(t)
  const make = async (name: string): Promise<string> => {
    await mkdir(join(directory, name))
    return join(directory, name)
  }
  const theirs = await make('theirs')
  await mkdir(join(theirs, 'roots'))
  await treasure.linkFrom(join(theirs, 'orbitstream.lock'))
  await chown(theirs, NOBODY, NOBODY)
  const open = await make('open')
  await chmod(open, 0o1777)
  const link = join(directory, 'link')
  await symlink(await make('target'), link)
  await lchown(link, NOBODY, NOBODY)
  for (const [path, why] of [
    [theirs, `${theirs} belongs to user ID ${NOBODY}`], [join(theirs, 'roots'), `${theirs} belongs`],
    [open, `${open} is writable by everyone`], [link, `${link} belongs`]
  ] as const) {
    await t.rejects(
      lockDirectory(path, 'DATA_DIR'),
      { name: 'StartupError', message: new RegExp(`^Root does not write to .*${why}`) })
  }
  const ownLink = join(directory, 'own link')
  await symlink(theirs, ownLink)
  for (const path of [join(theirs, 'new'), join(ownLink, 'new', 'deep')]) {
    await t.rejects(
      lockDirectory(path, 'SPOOL_DIR'),
      { name: 'StartupError', message: new RegExp(`^Root does not write to .*${theirs} belongs`) })
  }
  t.same((await readdir(theirs)).sort(), ['orbitstream.lock', 'roots'], 'no directory is made there either')
  const planted = await make('planted')
  await treasure.linkFrom(join(planted, 'orbitstream.lock'))
  await t.rejects(lockDirectory(planted, 'DATA_DIR'), { name: 'StartupError', message: /orbitstream.lock is a link/ })
  const below = join(open, 'below')
  const lock = await lockDirectory(below, 'DATA_DIR', dataDirMode(true))
  t.equal((await stat(below)).mode & 0o777, 0o711, 'below a directory like /tmp')
  lock.release()
  await treasure.check()
})

t.test('a lock that is no file is no lock', async t => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'orbitstream.lock'))
  await t.rejects(lockDirectory(directory, 'data directory'), { message: /orbitstream.lock is a link, or not a regular/ })
})

t.test('a place where no directory can be is named, and not tried for ever', async t => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'file')
  await writeFile(file, '')
  for (const place of ['/proc/orbitstream', '/proc/orbitstream/data', file, join(file, 'data')]) {
    await t.rejects(
      lockDirectory(place, 'DATA_DIR'), { message: `The DATA_DIR ${place} cannot be created: choose another one.` })
  }
  const deep = join(directory, 'a', 'b', 'c')
  const lock = await lockDirectory(deep, 'DATA_DIR')
  t.equal((await stat(deep)).mode & 0o777, 0o700)
  lock.release()
})
