import { execFileSync } from 'node:child_process'
import { closeSync, constants, fstatSync } from 'node:fs'
import { chown, link, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openPlain, readSmall, writeSmall } from '../../../lib/host/plain-file.js'
import { temporaryDirectory } from '../../support/database/postgres.js'
import { NOBODY, needsRoot } from '../../support/programs/other-user.js'

const WRITE = constants.O_RDWR | constants.O_CREAT

t.test('neither links nor pipes nor directories are opened', async (t) => {
  const directory = await temporaryDirectory(t)
  const target = join(directory, 'target')
  await writeFile(target, 'kept')
  const name = join(directory, 'link')
  await symlink(target, name)
  await symlink(join(directory, 'made'), join(directory, 'dangling'))
  execFileSync('mkfifo', [join(directory, 'pipe')])
  await mkdir(join(directory, 'directory'))
  const refused = { name: 'StartupError', message: /is a link, or not a regular file.*Move it away/ }
  for (const file of ['link', 'dangling', 'pipe', 'directory']) {
    t.throws(() => openPlain(join(directory, file), WRITE), refused, file)
    t.throws(() =>
      openPlain(join(directory, file), constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND), refused, file)
    t.throws(() => readSmall(join(directory, file)), refused, file)
  }
  await writeSmall(name, 'new')
  t.equal(await readFile(target, 'utf8'), 'kept', 'a link is replaced, not followed')
  t.equal(readSmall(name), 'new')
  await symlink(target, `${name}.new`)
  await writeSmall(name, 'newer')
  t.equal(await readFile(target, 'utf8'), 'kept')
  t.same((await readdir(directory)).sort(), ['dangling', 'directory', 'link', 'pipe', 'target'])
})

t.test('root opens no file that another user controls', needsRoot, async (t) => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'file')
  await writeFile(file, '')
  await link(file, join(directory, 'second name'))
  t.throws(() => openPlain(file, WRITE), { name: 'StartupError' })
  const given = join(directory, 'given')
  await writeFile(given, '')
  await chown(given, NOBODY, NOBODY)
  t.throws(() => openPlain(given, WRITE), { name: 'StartupError', message: /chown/ })
})

t.test('only for the owner, whatever the umask', async (t) => {
  const directory = await temporaryDirectory(t)
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const fd = openPlain(join(directory, 'a'), WRITE)
  t.equal(fstatSync(fd).mode & 0o777, 0o600)
  closeSync(fd)
  await writeSmall(join(directory, 'b'), 'x')
  t.equal((await stat(join(directory, 'b'))).mode & 0o777, 0o600)
})

t.test('a missing file', async (t) => {
  t.equal(readSmall(join(await temporaryDirectory(t), 'none')), null)
})
