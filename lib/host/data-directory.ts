/**
 * A directory of ours: made, checked and locked, so that one running program owns it.
 *
 *   <directory>/orbitstream.lock   {"pid":4711,"host":"web-1"}
 *
 * The lock is one of the kernel's (lib/host/file-lock.ts): it ends with its process, however that ends, and holds for
 * everybody who sees the same file, in other containers too. The file stays: removing it would let two programs lock two
 * files of one name. What stands in it is for people alone.
 */
import { closeSync, ftruncateSync, writeSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { makeDirectory } from './directories.js'
import { lockFile } from './file-lock.js'
import { isRoot, rootHindrance } from './owner.js'
import { StartupError, systemCode } from '../support/startup-error.js'

export interface DirectoryLock {
  /** Gives the directory free; further calls do nothing. */
  release (): void
}

/** What lies in our directories is nobody else's business. */
const DIRECTORY_MODE = 0o700
const LOCK_FILE = 'orbitstream.lock'

/**
 * Mode of a new DATA_DIR.
 * @param embedded whether the embedded PostgreSQL lies in it, which for root runs as another account: that one passes
 *   through to its part, and sees no names
 */
export function dataDirMode (embedded: boolean): number {
  return embedded && isRoot() ? 0o711 : DIRECTORY_MODE
}

/**
 * Makes a directory if it is not there, and gives its real path; throws StartupError if it cannot be, or if root must not
 * write there.
 * @param what what the directory is, for the message: "DATA_DIR"
 * @param mode of what is made
 */
export async function ownDirectory (directory: string, what: string, mode = DIRECTORY_MODE): Promise<string> {
  try {
    const written = resolve(directory)
    // Before it is made, since that follows links as well; and after, since somebody may have been quicker.
    await refuseHinderedRoot(written, what)
    await makeDirectory(written, mode)
    await refuseHinderedRoot(written, what)
    return await realpath(written)
  } catch (cause) {
    throw unusable(what, directory, cause)
  }
}

/** Root must not write where others may put links in its way. */
export async function refuseHinderedRoot (directory: string, what: string): Promise<void> {
  const hindrance = await rootHindrance(directory)
  if (hindrance === null) return
  throw new StartupError(`Root does not write to the ${what} ${directory}: ${hindrance}, who could put links in its way. ` +
    'Start as that user, or give it to root alone (chown -R root:root, chmod o-w), or choose another one.')
}

/** Locks a directory as ownDirectory() makes it; throws StartupError if it is locked already. */
export async function lockDirectory (directory: string, what: string, mode = DIRECTORY_MODE): Promise<DirectoryLock> {
  const real = await ownDirectory(directory, what, mode)
  const path = join(real, LOCK_FILE)
  const fd = await lockFile(path).catch((cause: unknown) => { throw unusable(what, real, cause) })
  if (fd === null) {
    throw new StartupError(`The ${what} ${real} is in use by ${await describeHolder(path)}. Stop that one, or give this one another directory.`)
  }
  let open = true
  const release = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  try {
    nameHolder(fd)
  } catch (cause) {
    release()
    throw unusable(what, real, cause)
  }
  return { release }
}

/** In place, so that a disk that has become full meanwhile does not matter. */
function nameHolder (fd: number): void {
  const name = Buffer.from(`${JSON.stringify({ pid: process.pid, host: hostname() })}\n`)
  if (writeSync(fd, name, 0, name.length, 0) < name.length) throw Object.assign(new Error('a short write'), { code: 'ENOSPC' })
  ftruncateSync(fd, name.length)
}

async function describeHolder (path: string): Promise<string> {
  try {
    const { pid, host } = JSON.parse(await readFile(path, 'utf8')) as { readonly pid?: unknown, readonly host?: unknown }
    if (Number.isInteger(pid) && typeof host === 'string') return `process ${Number(pid)} on host ${host}`
  } catch {
    // It was about to be written, or a person wrote something.
  }
  return 'another process'
}

/** What to do where the directory takes no file; other errors stay as they are. */
function unusable (what: string, directory: string, cause: unknown): unknown {
  switch (systemCode(cause)) {
    case 'ENOSPC':
      return new StartupError(`The disk of the ${what} ${directory} is full: not even a lock file finds room. Free some space, then start again; what lies in the directory stays.`, { cause })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StartupError(`User id ${process.getuid?.() ?? 'unknown'} may not write to the ${what} ${directory}: give the directory to that user (chown), or choose another one.`, { cause })
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartupError(`The ${what} ${directory} cannot be made there: choose another one.`, { cause })
    default:
      return cause
  }
}
