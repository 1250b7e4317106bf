import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { lockDirectory } from '../../../lib/store/data-directory.js'
import { processStart } from '../../../lib/store/process-identity.js'
import { temporaryDirectory } from '../../support/postgres.js'

const HOLDER = fileURLToPath(new URL('../../support/lock-holder.js', import.meta.url))

t.test('one owner at a time', async t => {
  const directory = join(await temporaryDirectory(t), 'made', 'by the lock')
  const lock = await lockDirectory(directory, 'data directory')
  await t.rejects(lockDirectory(directory, 'data directory'), {
    name: 'StartupError',
    message: `The data directory ${directory} is in use by process ${process.pid}. Stop that one, or give this one another directory.`
  })
  const link = join(directory, '..', 'link')
  await symlink(directory, link)
  await t.rejects(lockDirectory(link, 'spool directory'), /spool directory .* in use/, 'by another path too')
  await lock.release()
  t.same(await readdir(directory), [])
  const next = await lockDirectory(directory, 'data directory')
  await lock.release()
  await t.rejects(lockDirectory(directory, 'data directory'), { name: 'StartupError' }, 'a late second release does not give away the next lock')
  await Promise.all([next.release(), next.release()])
  t.same(await readdir(directory), [])
})

t.test('a lock whose process was killed', async t => {
  const directory = await temporaryDirectory(t)
  const child = fork(HOLDER, [directory])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  await t.rejects(lockDirectory(directory, 'data directory'), new RegExp(`in use by process ${child.pid!}`))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await lockDirectory(directory, 'data directory')
  await lock.release()
})

t.test('stale locks of every shape are taken over', async t => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'orbitstream.lock')
  const reused = JSON.stringify({ pid: process.pid, start: 'before', nonce: 'x' })
  for (const text of ['', 'nonsense', 'null', '{"pid":"1"}', reused]) {
    await writeFile(path, text)
    // Left by a process that died in the middle of a takeover.
    await writeFile(`${path}.takeover`, reused)
    const lock = await lockDirectory(directory, 'data directory')
    t.equal((JSON.parse(await readFile(path, 'utf8')) as { pid: number }).pid, process.pid)
    await lock.release()
    t.same(await readdir(directory), [])
  }
})

t.test('of many that take over a stale lock at once, one wins', async t => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 20; round++) {
    await writeFile(join(directory, 'orbitstream.lock'), JSON.stringify({ pid: process.pid, start: 'before', nonce: 'x' }))
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(directory, 'data directory')))
    const locks = results.flatMap(result => result.status === 'fulfilled' ? [result.value] : [])
    t.equal(locks.length, 1)
    await locks[0]!.release()
  }
  t.same(await readdir(directory), [])
})

t.test('a lock that cannot be read as a file is no lock', async t => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'orbitstream.lock'))
  await t.rejects(lockDirectory(directory, 'data directory'), { code: 'EISDIR' })
})

t.test('a place where no directory can be is named, and not tried for ever', async t => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'file')
  await writeFile(file, '')
  for (const place of ['/proc/orbitstream', '/proc/orbitstream/data', file, join(file, 'data')]) {
    await t.rejects(lockDirectory(place, 'DATA_DIR'), { message: `The DATA_DIR ${place} cannot be made there: choose another one.` })
  }
  const deep = join(directory, 'a', 'b', 'c')
  const lock = await lockDirectory(deep, 'DATA_DIR')
  t.ok((await stat(deep)).isDirectory())
  await lock.release()
})

t.test('identity of a process', async t => {
  t.equal(await processStart(process.pid), await processStart(process.pid))
  t.not(await processStart(process.pid), await processStart(1))
  t.equal(await processStart(2 ** 22 + 1), null)
})
