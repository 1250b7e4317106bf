/**
 * Who may change what lies in a directory. Root follows no way that somebody else can turn: below a directory of another
 * user's every name may become a link at any moment, and what root writes or gives away is then a file of root's. So
 * there root acts as that user, or not at all. Whom a group lets write is trusted: root has said so.
 */
import { constants, type Stats } from 'node:fs'
import { access, lstat, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { StartupError, systemCode } from '../support/startup-error.js'

/** A user that programs run as. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

interface NamedAccount extends Account {
  readonly name: string
}

const ROOT = 0
const WRITABLE_FOR_ALL = 0o002
/** Of a directory: names may be added by all, and changed by their owners alone. */
const STICKY = 0o1000

export function isRoot (): boolean {
  return process.geteuid?.() === ROOT
}

/** The accounts of this machine, as /etc/passwd has them. */
export async function listAccounts (): Promise<NamedAccount[]> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  return lines.filter((fields) => fields.length > 3).map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
}

/** Whether every user may add and replace what lies in a directory. */
export async function isWritableForAll (directory: string): Promise<boolean> {
  return ((await stat(directory)).mode & WRITABLE_FOR_ALL) !== 0
}

/**
 * Why root must not write in a directory, or make it: who can turn the way to it. Null if nobody can, or if this is not
 * root.
 */
export async function rootHindrance (directory: string): Promise<string | null> {
  if (!isRoot()) return null
  for (const way of await waysTo(directory)) {
    for (const { path, stats } of await namesOn(way)) {
      if (stats.uid !== ROOT) return `${path} belongs to user id ${stats.uid}`
      const kept = stats.isSymbolicLink() || (path !== way && (stats.mode & STICKY) !== 0)
      if ((stats.mode & WRITABLE_FOR_ALL) !== 0 && !kept) return `everybody may write to ${path}`
    }
  }
  return null
}

/**
 * Makes this process, and all that it starts, the user who can turn the way to a directory, or to where it will be made;
 * gives the user id. Null: nothing was done, since nobody but root can, or this is not root.
 * @param programs files that the user must be able to read
 */
export async function becomeOwner (directory: string, programs: readonly string[]): Promise<number | null> {
  const owner = isRoot() ? await foreignOwner(directory) : null
  if (owner === null) return null
  const account = (await listAccounts().catch(() => [])).find(({ uid }) => uid === owner.uid)
  try {
    become(owner, account)
  } catch (cause) {
    throw new StartupError(`The way to ${directory} belongs to user id ${owner.uid}, and root may not become that user here: start as that user, or choose another directory.`, { cause })
  }
  for (const program of programs) {
    await access(program, constants.R_OK).catch((cause: unknown) => {
      throw new StartupError(`The way to ${directory} belongs to user id ${owner.uid}, so the program has to run as that user, who cannot read ${program}. ` +
        'Choose a directory of root\'s, or install the program where that user can read it.', { cause })
    })
  }
  return owner.uid
}

/** Of the first name on the ways to a directory that is not root's. */
async function foreignOwner (directory: string): Promise<Stats | null> {
  for (const way of await waysTo(directory)) {
    const foreign = (await namesOn(way)).find(({ stats }) => stats.uid !== ROOT)
    if (foreign !== undefined) return foreign.stats
  }
  return null
}

/** As written, and as it is when links are followed. */
async function waysTo (directory: string): Promise<string[]> {
  const written = resolve(directory)
  return [written, await realWay(written)]
}

/** As realpath(), also of what is not there yet. */
async function realWay (path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (!isMissing(error) || path === dirname(path)) throw error
    return join(await realWay(dirname(path)), basename(path))
  }
}

/** Every name on the way that is there, the root directory first. */
async function namesOn (way: string): Promise<Array<{ path: string, stats: Stats }>> {
  const above = way === dirname(way) ? [] : await namesOn(dirname(way))
  try {
    return [...above, { path: way, stats: await lstat(way) }]
  } catch (error) {
    if (!isMissing(error)) throw error
    return above
  }
}

function isMissing (error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCode(error))
}

/** A user without an account gets the group of the directory, but never root's. Groups first: a user may not change them. */
function become (owner: Account, account: Account | undefined): void {
  const gid = account?.gid ?? (owner.gid === ROOT ? owner.uid : owner.gid)
  process.setgroups?.([gid])
  process.setgid?.(gid)
  process.setuid?.(owner.uid)
}
