/**
 * Files of fixed names in our own directories. A directory may have been somebody else's before it became ours: what
 * lies there under one of our names may be a link to a file that only we can write, or a pipe that never answers.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StartupError, systemCode } from '../support/startup-error.js'
import { syncDirectory } from './directories.js'
import { isRoot } from './owner.js'

/** For the owner alone. */
const FILE_MODE = 0o600

/**
 * Opens a file, never a link or anything else than a file; for root only one that is root's and has no second name.
 * Gives a descriptor that stays open until it is closed.
 */
export function openPlain (path: string, flags: number): number {
  let fd
  try {
    fd = openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, FILE_MODE)
  } catch (error) {
    // ENXIO: a pipe that nobody reads, or a socket.
    if (['ELOOP', 'ENXIO'].includes(systemCode(error))) throw notPlain(path, error)
    throw error
  }
  const stats = fstatSync(fd)
  if (stats.isFile() && (!isRoot() || (stats.uid === 0 && stats.nlink === 1))) return fd
  closeSync(fd)
  throw notPlain(path)
}

function notPlain (path: string, cause?: unknown): StartupError {
  return new StartupError(`${path} is a link, or another user's: nothing is read or written there. Move it away${isRoot() ? ', or give it to root (chown)' : ''}.`, { cause })
}

/** Content of a file of one line; null if there is none. */
export function readSmall (path: string): string | null {
  let fd
  try {
    fd = openPlain(path, constants.O_RDONLY)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    if (systemCode(error) === 'EACCES') throw new StartupError(`${path} is not readable for this user: run as its owner, or give the whole directory to this user (chown -R).`, { cause: error })
    throw error
  }
  try {
    return readFileSync(fd, 'utf8').trim()
  } finally {
    closeSync(fd)
  }
}

/** Writes a file of one line, whole or not at all; when it resolves a power cut takes it no more. One writer at a time. */
export async function writeSmall (path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  const handle = await open(temporary, 'wx', FILE_MODE)
  try {
    await handle.writeFile(`${text}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}
