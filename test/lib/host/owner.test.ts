import { execFile } from 'node:child_process'
import { chmod, chown, lchown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { NOBODY, needsAnotherUser } from '../../support/programs/other-user.js'
import { temporaryDirectory } from '../../support/database/postgres.js'

const MODULE = new URL('../../../lib/host/owner.js', import.meta.url).href
const NO_ACCOUNT = 54_321

/** What a root process has become: user ID, group ID and all groups; or the error message. */
async function become (directory: string, program = process.execPath): Promise<unknown> {
  const script = `import { becomeOwner } from '${MODULE}'
    const uid = await becomeOwner(${JSON.stringify(directory)}, [${JSON.stringify(program)}])
      .catch((error) => error.message)
    const ids = [uid, process.getuid(), process.geteuid(), process.getgid(), process.getgroups()]
    console.log(JSON.stringify(typeof uid === 'string' ? uid : ids))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])
  return JSON.parse(stdout)
}

t.test('root becomes the user who can redirect the path of a directory', needsAnotherUser, async t => {
  const directory = await temporaryDirectory(t)
  const make = async (name: string, uid: number, gid: number): Promise<string> => {
    const path = join(directory, name)
    await mkdir(path)
    await chown(path, uid, gid)
    return path
  }
  const roots = await make('roots', 0, 0)
  t.same(await become(roots), [null, 0, 0, 0, process.getgroups?.()])
  t.same(await become(join(roots, 'new', 'deep')), [null, 0, 0, 0, process.getgroups?.()])

  const theirs = await make('theirs', NOBODY, NOBODY)
  const nobody = [NOBODY, NOBODY, NOBODY, NOBODY, [NOBODY]]
  t.same(await become(theirs), nobody)
  t.same(await become(join(theirs, 'new', 'deep')), nobody, 'one that does not exist yet')
  await mkdir(join(theirs, 'roots'))
  t.same(await become(join(theirs, 'roots')), nobody, 'what is root\'s itself can be exchanged')
  const link = join(directory, 'link')
  await symlink(roots, link)
  await lchown(link, NOBODY, NOBODY)
  t.same(await become(link), nobody, 'a link, too')
  await symlink(theirs, join(directory, 'own link'))
  t.same(await become(join(directory, 'own link')), nobody, 'a link of root\'s leads there')
  t.same(await become(join(directory, 'own link', 'new', 'deep')), nobody, 'and one that will be created')

  t.same(await become(await make('nameless', NO_ACCOUNT, NO_ACCOUNT + 1)), [
    NO_ACCOUNT, NO_ACCOUNT, NO_ACCOUNT, NO_ACCOUNT + 1, [NO_ACCOUNT + 1]
  ])
  t.same(await become(await make('of group root', NO_ACCOUNT, 0)), [
    NO_ACCOUNT, NO_ACCOUNT, NO_ACCOUNT, NO_ACCOUNT, [NO_ACCOUNT]
  ], 'never in root\'s group')

  const program = join(directory, 'program')
  await writeFile(program, '')
  await chmod(program, 0o700)
  t.match(
    await become(theirs, program),
    `belongs to user ID ${NOBODY}, so the program must run as that user, who cannot read ${program}`
  )
})
