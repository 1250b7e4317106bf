import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { realFiles } from '../../../lib/spool/file-system.js'
import { makeDirectory } from './support.js'

t.test('no link is followed, and files are private', async (t) => {
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const directory = join(await makeDirectory(t), 'made', 'deep')
  await realFiles.makeDirectory(directory)
  t.equal((await stat(directory)).mode & 0o777, 0o700)
  await realFiles.makeDirectory(directory)
  const target = join(directory, 'target')
  await writeFile(target, 'kept')
  const link = join(directory, 'link')
  await symlink(target, link)
  await t.rejects(realFiles.create(link), { code: 'EEXIST' })
  await t.rejects(realFiles.replace(link), { code: 'ELOOP' })
  await t.rejects(realFiles.open(link, 'read'), { code: 'ELOOP' })
  await t.rejects(realFiles.open(link, 'change'), { code: 'ELOOP' })
  t.equal(await readFile(target, 'utf8'), 'kept')
  for (const make of ['create', 'replace'] as const) {
    const file = join(directory, make)
    await (await realFiles[make](file)).close()
    t.equal((await stat(file)).mode & 0o777, 0o600)
  }
})

t.test('creating a directory in an impossible place fails at once', async (t) => {
  const directory = await makeDirectory(t)
  await t.rejects(realFiles.makeDirectory('/proc/orbitstream/deep'), { code: 'ENOENT' })
  await writeFile(join(directory, 'file'), '')
  await t.rejects(realFiles.makeDirectory(join(directory, 'file')), { code: 'EEXIST' })
  await mkdir(join(directory, 'there'))
  await realFiles.makeDirectory(join(directory, 'there'))
})
