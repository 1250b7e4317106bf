/**
 * Directories that OrbitStream creates, checks and locks, so that one running program owns each.
 *
 *   <directory>/orbitstream.lock   {"pid":4711,"host":"web-1"}
 *
 * It is a kernel lock (lib/host/file-lock.ts): it ends with its process, however that exits, and is visible to every
 * process that sees the file, in other containers too. The file is never removed: otherwise two programs could lock two
 * files of the same name. Its content says where to send signals, and is otherwise informative.
 */
import { closeSync, ftruncateSync, writeSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { makeDirectory } from './directories.js'
import { lockFile } from './file-lock.js'
import { isRoot, rootAccessProblem } from './owner.js'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'

export interface DirectoryLock {
  /** Idempotent. */
  release (): void
}

/** Other users have no access. */
const DIRECTORY_MODE = 0o700
const LOCK_FILE = 'orbitstream.lock'

/**
 * Mode of a new DATA_DIR.
 * @param embedded whether it contains the embedded PostgreSQL, which under root runs as another account: that account
 *   may traverse the directory but not list it
 */
export function dataDirMode (embedded: boolean): number {
  return embedded && isRoot() ? 0o711 : DIRECTORY_MODE
}

/**
 * Creates a directory if it does not exist, and returns its real path. Throws a StartupError if that fails, or if root
 * must not write there.
 * @param what name of the directory in messages, such as "DATA_DIR"
 * @param mode of created directories
 */
export async function ownDirectory (directory: string, what: string, mode = DIRECTORY_MODE): Promise<string> {
  try {
    const written = resolve(directory)
    // Before, since mkdir follows links; and after, since another process may have interfered.
    await refuseHinderedRoot(written, what)
    await makeDirectory(written, mode)
    await refuseHinderedRoot(written, what)
    return await realpath(written)
  } catch (cause) {
    throw unusable(what, directory, cause)
  }
}

/** Root must not write where other users can place symlinks. */
export async function refuseHinderedRoot (directory: string, what: string): Promise<void> {
  const hindrance = await rootAccessProblem(directory)
  if (hindrance === null) return
  throw new StartupError(
    `Root does not write to the ${what} ${directory}: ${hindrance}, who could place symlinks there. ` +
    'Start as that user, or make it accessible to root alone (chown -R root:root, chmod o-w), or choose another one.')
}

/**
 * Creates a directory like ownDirectory() and locks it; throws a StartupError if it is already locked.
 * @param isServer whether the process takes the signals that findServer() is for
 */
export async function lockDirectory (
  directory: string, what: string, mode = DIRECTORY_MODE, isServer = false
): Promise<DirectoryLock> {
  const real = await ownDirectory(directory, what, mode)
  const path = join(real, LOCK_FILE)
  const fd = await lockFile(path).catch((cause: unknown) => { throw unusable(what, real, cause) })
  if (fd === null) {
    throw new StartupError(`The ${what} ${real} is in use by ${describe(await readHolder(path))}. ` +
      'Stop that process, or use another directory.')
  }
  let open = true
  const release = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  try {
    nameHolder(fd, isServer)
  } catch (cause) {
    release()
    throw unusable(what, real, cause)
  }
  return { release }
}

/**
 * Id of the server on this host that has locked the directory. Throws a StartupError if there is none; creates no file.
 */
export async function findServer (directory: string, what: string): Promise<number> {
  const path = join(directory, LOCK_FILE)
  const fd = await lockFile(path, false).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return -1
    throw error
  })
  if (fd !== null) {
    if (fd >= 0) closeSync(fd)
    throw new StartupError(`No server is running on the ${what} ${directory}.`)
  }
  const holder = await readHolder(path)
  const isHere = holder?.host === hostname()
  if (isHere && holder.isServer) return holder.pid
  const why = holder === null
    ? `which ${path} does not name: if a server is just starting, try again.`
    : isHere
      ? 'which is a command, not a server.'
      : 'which is not on this host; signals reach only processes of the same host and container.'
  throw new StartupError(`The ${what} ${directory} is in use by ${describe(holder)}, ${why}`)
}

/** In place, so that it works on a full disk. */
function nameHolder (fd: number, isServer: boolean): void {
  const name = Buffer.from(`${JSON.stringify({ pid: process.pid, host: hostname(), server: isServer })}\n`)
  if (writeSync(fd, name, 0, name.length, 0) < name.length) {
    throw Object.assign(new Error('a short write'), { code: 'ENOSPC' })
  }
  ftruncateSync(fd, name.length)
}

interface Holder {
  readonly pid: number
  readonly host: string
  readonly isServer: boolean
}

/** Null: unknown. */
async function readHolder (path: string): Promise<Holder | null> {
  try {
    const { pid, host, server } = JSON.parse(await readFile(path, 'utf8')) as Readonly<Record<string, unknown>>
    if (Number.isInteger(pid) && Number(pid) > 0 && typeof host === 'string') {
      return { pid: Number(pid), host, isServer: server === true }
    }
  } catch {
    // Not written yet, or edited by hand.
  }
  return null
}

function describe (holder: Holder | null): string {
  return holder === null ? 'another process' : `process ${holder.pid} on host ${holder.host}`
}

/** A StartupError with instructions if the directory cannot be used; other errors unchanged. */
function unusable (what: string, directory: string, cause: unknown): unknown {
  switch (systemCode(cause)) {
    case 'ENOSPC':
      return new StartupError(
        `The disk of the ${what} ${directory} is full: there is no space even for a lock file. ` +
        'Free some space, then start again; the contents of the directory are kept.', { cause })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StartupError(
        `User id ${process.getuid?.() ?? 'unknown'} may not write to the ${what} ${directory}: ` +
        'give the directory to that user (chown), or choose another one.', { cause })
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartupError(`The ${what} ${directory} cannot be created: choose another one.`, { cause })
    default:
      return cause
  }
}
