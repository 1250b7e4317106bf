/**
 * Who may change the contents of a directory. Root must not follow a path that someone else can redirect: below another
 * user's directory any name may become a link at any moment, and what root then writes or chowns is a file of root's.
 * So there root acts as that user, or not at all. Group-writable directories are trusted: root granted that.
 */
import { constants, type Stats } from 'node:fs'
import { access, lstat, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'

/** A user to run programs as. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

interface NamedAccount extends Account {
  readonly name: string
}

const ROOT = 0
const WRITABLE_FOR_ALL = 0o002
/** On a directory: everyone may add entries, but only owners may change them. */
const STICKY = 0o1000

export function isRoot (): boolean {
  return process.geteuid?.() === ROOT
}

/** The accounts in /etc/passwd. */
export async function listAccounts (): Promise<NamedAccount[]> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  return lines
    .filter((fields) => fields.length > 3)
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
}

/** Whether every user may add and replace files in a directory. */
export async function isWritableForAll (directory: string): Promise<boolean> {
  return ((await stat(directory)).mode & WRITABLE_FOR_ALL) !== 0
}

/**
 * Why root must not write to or create a directory: who can redirect its path. Null if nobody can, or if this process
 * is not root.
 */
export async function rootAccessProblem (directory: string): Promise<string | null> {
  if (!isRoot()) return null
  for (const variant of await pathVariants(directory)) {
    for (const { path, stats } of await componentsOf(variant)) {
      if (stats.uid !== ROOT) return `${path} belongs to user ID ${stats.uid}`
      const kept = stats.isSymbolicLink() || (path !== variant && (stats.mode & STICKY) !== 0)
      if ((stats.mode & WRITABLE_FOR_ALL) !== 0 && !kept) return `${path} is writable by everyone`
    }
  }
  return null
}

/**
 * Makes this process, and all that it starts, the user who can redirect the path of a directory that exists or will be
 * created; returns the user ID. Null: nothing was done, because only root can, or this process is not root.
 * @param programs files that the user must be able to read
 */
export async function becomeOwner (directory: string, programs: readonly string[]): Promise<number | null> {
  const owner = isRoot() ? await foreignOwner(directory) : null
  if (owner === null) return null
  const account = (await listAccounts().catch(() => [])).find(({ uid }) => uid === owner.uid)
  try {
    become(owner, account)
  } catch (cause) {
    throw new StartupError(
      `The path to ${directory} belongs to user ID ${owner.uid}, and root cannot switch to that user here: start as ` +
      'that user, or choose another directory.',
      { cause }
    )
  }
  for (const program of programs) {
    await access(program, constants.R_OK).catch((cause: unknown) => {
      throw new StartupError(
        `The path to ${directory} belongs to user ID ${owner.uid}, so the program must run as that user, who cannot ` +
        `read ${program}. Choose a directory that belongs to root, or install the program where that user can read it.`,
        { cause }
      )
    })
  }
  return owner.uid
}

/** Of the first path component that does not belong to root. */
async function foreignOwner (directory: string): Promise<Stats | null> {
  for (const variant of await pathVariants(directory)) {
    const foreign = (await componentsOf(variant)).find(({ stats }) => stats.uid !== ROOT)
    if (foreign !== undefined) return foreign.stats
  }
  return null
}

/** As written, and with links resolved. */
async function pathVariants (directory: string): Promise<string[]> {
  const written = resolve(directory)
  return [written, await resolveLinks(written)]
}

/** As realpath(), also for paths that do not exist yet. */
async function resolveLinks (path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (!isMissing(error) || path === dirname(path)) throw error
    return join(await resolveLinks(dirname(path)), basename(path))
  }
}

/** Every existing component of a path, the root directory first. */
async function componentsOf (path: string): Promise<Array<{ path: string, stats: Stats }>> {
  const above = path === dirname(path) ? [] : await componentsOf(dirname(path))
  try {
    return [...above, { path, stats: await lstat(path) }]
  } catch (error) {
    if (!isMissing(error)) throw error
    return above
  }
}

function isMissing (error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCode(error))
}

/** A user without an account gets the directory's group, but never root's. Groups first: a user may not change them. */
function become (owner: Account, account: Account | undefined): void {
  const gid = account?.gid ?? (owner.gid === ROOT ? owner.uid : owner.gid)
  process.setgroups?.([gid])
  process.setgid?.(gid)
  process.setuid?.(owner.uid)
}
